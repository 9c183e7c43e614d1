# Debian's unstable release with Ceph in a folder of its own.
#   unshare -m bash install-rgw.sh CHROOT
# It is called in a mount namespace of its own, so that nothing stays mounted.
set -euo pipefail
chroot=$1
if [ ! -x "$chroot/usr/bin/apt-get" ]; then
  # The machine's own source of Debian packages, where it has one.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$' || true)
  debootstrap --variant=minbase --include=ca-certificates sid "$chroot" ${mirror:+"$mirror"}
fi
cp /etc/resolv.conf "$chroot/etc/resolv.conf"
mountpoint -q "$chroot/proc" || mount -t proc proc "$chroot/proc"
export DEBIAN_FRONTEND=noninteractive
# A mirror may be older than its lists say.
chroot "$chroot" apt-get -o Acquire::Check-Valid-Until=false update -qq
# The set-up of some packages that it draws in fails in a chroot, and nothing here needs them: who
# calls this looks for the programs.
chroot "$chroot" apt-get install -y -qq --no-install-recommends radosgw ceph-mon ceph-osd ceph-common || true
