# One Ceph cluster of one monitor, one disk and one S3 gateway, in a chroot; it stays until it is killed.
#   unshare -m bash rgw.sh CHROOT DATA MONITOR_PORT S3_PORT KEY SECRET
# It is called in a mount namespace of its own, so that nothing stays mounted. All that it writes lies in
# DATA, which it sees as /ceph. The disk is a sparse file: it takes what is stored, up to 32 GiB.
set -euo pipefail
chroot=$1 data=$2 monitor_port=$3 s3_port=$4 key=$5 secret=$6
mkdir -p "$chroot/ceph" "$data/mon" "$data/osd" "$data/run"
cluster=$(cat /proc/sys/kernel/random/uuid)
# The monitor refuses to start below 5 % of free disk, which on a large one is more than all of this takes.
# One copy of everything, eight placement groups a pool, and only this machine: as small as it gets.
cat > "$data/ceph.conf" <<C
[global]
fsid = $cluster
mon host = [v2:127.0.0.1:$monitor_port]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = /ceph/keyring
mon data = /ceph/mon
mon allow pool size one = true
mon data avail crit = 1
mon max pg per osd = 1000
osd data = /ceph/osd
osd objectstore = bluestore
bluestore block size = 34359738368
osd class dir = /usr/lib/$(uname -m)-linux-gnu/rados-classes
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
log file = /ceph/log
run dir = /ceph/run
admin socket = /ceph/run/\$name.asok
pid file = /ceph/run/\$name.pid
rgw frontends = beast endpoint=127.0.0.1:$s3_port tcp_nodelay=1
rgw gc obj min wait = 1
rgw gc processor period = 30
C
mount -t proc proc "$chroot/proc"
mount --bind /dev "$chroot/dev"
mount --bind "$data" "$chroot/ceph"
exec chroot "$chroot" bash -s "$cluster" "$monitor_port" "$key" "$secret" <<'C'
set -euo pipefail
cluster=$1 monitor_port=$2 key=$3 secret=$4
export CEPH_CONF=/ceph/ceph.conf
as_root="--setuser root --setgroup root"
ceph-authtool --create-keyring /ceph/keyring --gen-key -n mon. --cap mon 'allow *'
ceph-authtool /ceph/keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
monmaptool --create --fsid "$cluster" --addv a "[v2:127.0.0.1:$monitor_port]" /ceph/monmap
ceph-mon --mkfs -i a --monmap /ceph/monmap --keyring /ceph/keyring
ceph-mon -f -i a $as_root &
disk=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph osd new "$disk"
timeout 60 ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' >> /ceph/keyring
ceph-osd -i 0 --mkfs --osd-uuid "$disk" $as_root
ceph-osd -f -i 0 $as_root &
for _ in $(seq 200); do
  if timeout 10 ceph osd stat | grep -q '1 up'; then break; fi
  sleep 0.2
done
# This makes the gateway's pools, too, and fails if the disk did not come up.
timeout 90 radosgw-admin user create --uid=xtask --display-name=xtask --access-key="$key" --secret-key="$secret"
radosgw -f -n client.admin $as_root &
# Whichever ends first ends all.
wait -n
exit 1
C
