# A repository on the mount: clone, commits, the hardest collection, a full check, a worktree.
. "$(dirname "$0")/common.sh"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
origin=$scratch/origin
rm -rf "$origin"
git init -q -b main "$origin"
for n in $(seq 1 "$(pick 30 300)"); do
  mkdir -p "$origin/dir$((n % 10))"
  head -c $((n * 37)) /dev/urandom | base64 > "$origin/dir$((n % 10))/file$n"
done
git -C "$origin" add -A
git -C "$origin" commit -qm first
git clone -q "$origin" "$work/clone"
cd "$work/clone"
for n in $(seq 1 20); do
  echo "line $n" >> "dir$((n % 10))/file$n"
  echo "$n" > "new$n"
  git add -A
  git commit -qm "commit $n"
done
test -z "$(git status --porcelain)"
git gc -q --aggressive --prune=now
git fsck --full --strict
git worktree add -q ../tree HEAD~5
test -z "$(git -C ../tree status --porcelain)"
git checkout -q HEAD~10
git checkout -q main
test "$(git log --oneline | wc -l)" = 21
git worktree remove ../tree
