# A build on the mount, from sources to a program that runs.
. "$(dirname "$0")/common.sh"
cd "$work"
rm -rf hello
cargo new -q --vcs none hello
cd hello
cat > src/lib.rs <<'T'
pub fn sum(numbers: &[u64]) -> u64 { numbers.iter().sum() }
#[test]
fn sums() { assert_eq!(sum(&[1, 2, 3]), 6); }
T
echo 'fn main() { println!("{}", hello::sum(&[20, 22])); }' > src/main.rs
export CARGO_TARGET_DIR=$PWD/target
cargo build -q --offline
test "$(./target/debug/hello)" = 42
echo 'fn main() { println!("{}", hello::sum(&[20, 23])); }' > src/main.rs
test "$(cargo run -q --offline)" = 43
if [ "$quick" = 0 ]; then cargo test -q --offline; fi
