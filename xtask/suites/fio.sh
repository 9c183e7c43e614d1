# Written blocks carry checksums, and are read back by another way than they were written.
. "$(dirname "$0")/common.sh"
size=$(pick 8M 64M)
for engine in psync mmap; do
  fio --name=random-$engine --directory="$work" --ioengine=$engine --rw=randwrite --bs=4k-64k \
    --size="$size" --verify=crc32c --verify_state_save=0 --verify_fatal=1 --do_verify=1 --end_fsync=1 \
    --output="$scratch/fio-$engine.txt" || { tail -20 "$scratch/fio-$engine.txt"; exit 1; }
done
fio --name=sequential --directory="$work" --ioengine=psync --rw=write --bs=1M --size="$size" \
  --verify=crc32c --verify_state_save=0 --verify_fatal=1 --do_verify=1 --numjobs=3 --output="$scratch/fio-seq.txt" \
  || { tail -20 "$scratch/fio-seq.txt"; exit 1; }
