#!/bin/busybox sh
# The first and only program of the guest: prepares devices as the kernel command line says, lets vsmmu look at the
# machine, hands out what it found as a tar archive on the virtio port, and powers off.
#   vsmmu.vfs=BDF:N,...     SR-IOV functions to create first
#   vsmmu.bind=BDF,...      devices to bind to vfio-pci
#   vsmmu.hold=BDF          with IOMMUFD: keep this device's VFIO node open, and probe again
export PATH=/bin HOME=/tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mkdir -p /run /tmp/out
while read -r module; do insmod "$module"; done </modules

setting() { tr ' ' '\n' </proc/cmdline | sed -n "s/^vsmmu\.$1=//p" | tr ',' '\n'; }

wait_for() { # a pattern; prints what it matches. A driver's probe goes on after insmod returns.
  tries=0
  until [ -e "$(echo $1)" ]; do
    tries=$((tries + 1))
    [ $tries -gt 100 ] && { echo "init: $1 did not appear" >&2; return 1; }
    sleep 0.1
  done
  echo $1
}

for vfs in $(setting vfs); do
  pf=/sys/bus/pci/devices/${vfs%:*}
  wait_for "$pf/sriov_numvfs" >/dev/null && echo "${vfs##*:}" >"$pf/sriov_numvfs"
done
for bdf in $(setting bind); do
  device=/sys/bus/pci/devices/$bdf
  wait_for "$device" >/dev/null || continue
  [ -e "$device/driver" ] && echo "$bdf" >"$device/driver/unbind"
  echo vfio-pci >"$device/driver_override"
  echo "$bdf" >/sys/bus/pci/drivers_probe
done

vsmmu() { # name of the output, then arguments
  name=$1
  shift
  echo "init: vsmmu $*"
  node /vsmmu/dist/vsmmu.js "$@" >"/tmp/out/$name" 2>"/tmp/out/$name.err"
  echo "$?" >"/tmp/out/$name.status"
}

told() { # a text that the watch shall print
  tries=0
  until grep -qF "$1" /tmp/out/watch.jsonl; do
    tries=$((tries + 1))
    [ $tries -gt 300 ] && return 1
    sleep 0.1
  done
}
change() { # name, what the watch tells of it, what to write, where
  before=$(cut -d ' ' -f 1 /proc/uptime)
  echo "$3" >"$4"
  told "$2" || return
  echo "$1 $before $(cut -d ' ' -f 1 /proc/uptime)" >>/tmp/out/changes.txt
}

uname -a >/tmp/out/uname.txt
vsmmu probe.json probe --all -o json
vsmmu record.txt record /tmp/out/recording
vsmmu doctor.json doctor -o json
dmesg >/tmp/out/dmesg.txt
# What only a kernel with IOMMUFD can show.
if [ -e /dev/iommu ]; then
  held=$(setting hold)
  sleep 1000 <"/dev/vfio/devices/$(ls "/sys/bus/pci/devices/$held/vfio-dev")" &
  vsmmu held-cached.json probe --all -o json
  rm -r /run/vsmmu # the answers that the probes before have kept
  vsmmu held.json probe --all -o json
  dmesg >/tmp/out/dmesg-held.txt
  rm -r /run/vsmmu
  mkdir -p /etc
  echo 'nobody:x:65534:65534:nobody:/tmp:/bin/sh' >/etc/passwd
  echo 'init: vsmmu probe as nobody'
  su nobody -c 'node /vsmmu/dist/vsmmu.js probe --all -o json' >/tmp/out/unprivileged.json 2>/tmp/out/unprivileged.json.err

  echo 'init: watching for changes'
  pci=/sys/bus/pci
  node /vsmmu/watch.mjs >/tmp/out/watch.jsonl 2>/tmp/out/watch.jsonl.err &
  told '[]' # the first report, which nothing has changed yet
  change unbind '"name":"driver","from":"vfio-pci"' 0000:13:00.0 $pci/drivers/vfio-pci/unbind
  change bind '"name":"driver","to":"vfio-pci"' 0000:13:00.0 $pci/drivers_probe
  change no-vfs '"kind":"removed","bdf":"0000:41:00.2"' 0 $pci/devices/0000:41:00.0/sriov_numvfs
  change unplug '"kind":"removed","bdf":"0000:14:00.0"' 1 $pci/devices/0000:14:00.0/remove
  change plug '"kind":"added","bdf":"0000:14:00.0"' 1 $pci/rescan
fi

tar -C /tmp/out -cf "$(wait_for '/dev/vport?p1')" .
echo "init: done"
poweroff -f
