# A copy with all attributes, which finds nothing to do the second time.
. "$(dirname "$0")/common.sh"
src=$scratch/rsync-src
rm -rf "$src"
for n in $(seq 1 "$(pick 100 1000)"); do
  mkdir -p "$src/d$((n % 20))"
  head -c $((n * 11)) /dev/urandom > "$src/d$((n % 20))/f$n"
done
chmod 700 "$src/d1"
chmod 640 "$src/d1/"*
ln -s d1/f1 "$src/link"
touch -d "2001-02-03 04:05:06.789" "$src/d2/f2"
rsync -a "$src/" "$work/copy/"
left=$(rsync -aic "$src/" "$work/copy/")
if [ -n "$left" ]; then echo "still to do: $left"; exit 1; fi
head -c 100000 /dev/urandom >> "$src/d3/f3"
rsync -a --inplace "$src/" "$work/copy/"
test -z "$(rsync -aic "$src/" "$work/copy/")"
rsync -a --delete "$src/d1/" "$work/copy/d2/"
diff -r --no-dereference "$src/d1" "$work/copy/d2"
