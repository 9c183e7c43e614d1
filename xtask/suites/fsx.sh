# Random reads, writes, cuts and maps of one file, compared with what they should be.
. "$(dirname "$0")/common.sh"
cat > "$scratch/fsx.toml" <<'T'
flen = 262144
[opsize]
min = 1
max = 65536
align = 1
[weights]
close_open = 1
read = 10
write = 10
truncate = 5
mapread = 2
mapwrite = 2
fsync = 1
fdatasync = 1
invalidate = 0.1
T
fsx -N "$(pick 3000 100000)" -S 42 -f "$scratch/fsx.toml" -P "$scratch" "$work/file"
