# A database in each journal mode, with three writers at once.
. "$(dirname "$0")/common.sh"
rows=$(pick 20 200)
for mode in DELETE TRUNCATE PERSIST WAL; do
  db=$work/$mode.db
  sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t(writer INT, n INT, data TEXT);" > /dev/null
  writers=()
  for writer in 1 2 3; do
    (
      for n in $(seq 1 "$rows"); do
        echo ".timeout 60000"
        echo "INSERT INTO t VALUES($writer, $n, hex(randomblob(300)));"
      done | sqlite3 "$db"
    ) &
    writers+=($!)
  done
  for writer in "${writers[@]}"; do wait "$writer"; done
  test "$(sqlite3 "$db" "PRAGMA integrity_check;")" = ok
  test "$(sqlite3 "$db" "SELECT count(*) FROM t;")" = $((3 * rows))
  sqlite3 "$db" "DELETE FROM t WHERE n % 2 = 0; VACUUM;"
  test "$(sqlite3 "$db" "PRAGMA integrity_check;")" = ok
done
