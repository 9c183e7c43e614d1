#!/bin/bash
# A real cluster that speaks S3: Ceph with one monitor, one disk in memory and its gateway, in a
# chroot of Debian sid (bookworm's Ceph is too old to know conditional writes).
#   rgw.sh ROOT up PORT    installs it into ROOT if need be (some minutes, 1.5 GB), and starts it
#   rgw.sh ROOT down       ends it and drops its data
# The gateway listens on 127.0.0.1:PORT; keys testing / nothing-secret. Needs root.
set -euo pipefail
root=$1
ceph=$root/ceph

install() {
  command -v debootstrap > /dev/null || { apt-get update -qq; apt-get install -y -qq debootstrap; }
  mirror=$(sed -n 's|^URIs: \(.*/debian\)/*$|\1|p;s|^deb \([^ ]*/debian\)/* .*|\1|p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | head -1)
  debootstrap --variant=minbase --include=ca-certificates sid "$root" "$mirror"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  attach
  # One of the packages it draws in cannot be configured in a chroot, and is not needed: what counts
  # is whether the gateway is there.
  chroot "$root" env DEBIAN_FRONTEND=noninteractive bash -c \
    'apt-get update -qq; apt-get install -y -qq --no-install-recommends radosgw ceph-mon ceph-osd ceph-common' || true
  [ -x "$root/usr/bin/radosgw" ] || { echo "the package radosgw could not be installed" >&2; exit 1; }
}

attach() {
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
  mountpoint -q "$root/dev" || mount --bind /dev "$root/dev"
}

configure() {
  mkdir -p "$ceph"/{mon,osd,log,run} "$root/etc/ceph"
  cat > "$root/etc/ceph/ceph.conf" << C
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:$(($1 + 1)),v1:127.0.0.1:$(($1 + 2))]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = /ceph/keyring
mon data = /ceph/mon
osd data = /ceph/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
log file = /ceph/log/\$name.log
run dir = /ceph/run
pid file = /ceph/run/\$name.pid
admin socket = /ceph/run/\$name.asok
osd class dir = /usr/lib/x86_64-linux-gnu/rados-classes
rgw frontends = beast endpoint=127.0.0.1:$1 tcp_nodelay=1
rgw enable ops log = false
rgw enable usage log = false
[osd]
keyring = /ceph/osd/keyring
C
}

start() {
  chroot "$root" bash -euo pipefail -s "$1" << 'C'
port=$1
cd /ceph
fsid=$(sed -n 's/^fsid = //p' /etc/ceph/ceph.conf)
hosts=$(sed -n 's/^mon host = //p' /etc/ceph/ceph.conf)
ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *' > /dev/null
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' > /dev/null
monmaptool --create --clobber --fsid "$fsid" --addv a "$hosts" monmap > /dev/null
ceph-mon --mkfs -i a --monmap monmap --keyring keyring
ceph-mon -i a --setuser root --setgroup root
osd=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph osd new "$osd"
ceph auth get-or-create osd.0 mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *' > osd/keyring
ceph-osd -i 0 --mkfs --osd-uuid "$osd" --setuser root --setgroup root
ceph-osd -i 0 --setuser root --setgroup root
for _ in $(seq 30); do ceph osd stat | grep -q '1 up' && break; sleep 1; done
radosgw -n client.admin --setuser root --setgroup root
for _ in $(seq 60); do (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 1; done
timeout 90 radosgw-admin user create --uid=test --display-name=test \
  --access-key=testing --secret-key=nothing-secret > /dev/null
C
}

down() {
  for signal in TERM KILL; do
    for file in "$ceph"/run/*.pid; do
      [ -e "$file" ] && kill -s $signal "$(cat "$file")" 2> /dev/null && sleep 1
    done
  done
  rm -rf "$ceph"
  umount -l "$root/proc" "$root/dev" 2> /dev/null || true
}

case $2 in
up)
  [ -x "$root/usr/bin/radosgw" ] || install
  down || true
  attach
  configure "$3"
  start "$3"
  ;;
down) down || true ;;
esac
