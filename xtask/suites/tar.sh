# Thousands of small files out of an archive, and compared.
. "$(dirname "$0")/common.sh"
files=$(pick 500 5000)
src=$scratch/tree
rm -rf "$src"
for n in $(seq 1 "$files"); do
  dir=$src/d$((n % 50))/e$((n % 7))
  mkdir -p "$dir"
  echo "file $n" > "$dir/f$n"
done
ln -s f1 "$src/link"
head -c 3000000 /dev/urandom > "$src/large"
chmod 600 "$src/large"
tar -C "$scratch" -cf "$scratch/tree.tar" tree
tar -C "$work" -xf "$scratch/tree.tar"
diff -r --no-dereference "$src" "$work/tree"
tar -C "$work" -df "$scratch/tree.tar"
tar -C "$work" -cf "$scratch/back.tar" tree
rm -rf "$scratch/back"
mkdir "$scratch/back"
tar -C "$scratch/back" -xf "$scratch/back.tar"
diff -r --no-dereference "$src" "$scratch/back/tree"
