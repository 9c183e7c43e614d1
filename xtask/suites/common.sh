# What all suites share. Each is called with the mounted folder and a folder for scratch files
# outside of it, and works in a folder of its own below the mount. QUICK=1 asks for a short run.
set -euo pipefail
mount=$1
scratch=$2
suite=$(basename "$0" .sh)
work=$mount/$suite
mkdir -p "$work" "$scratch"
quick=${QUICK:-0}
pick() { if [ "$quick" = 1 ]; then echo "$1"; else echo "$2"; fi; }
