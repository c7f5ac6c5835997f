#!/bin/bash
# If a file system of the host is mounted through a function, bind refuses it: the kernel's unbind would wait for the umount.
. "${0%/*}/lib.sh"
. "${0%/*}/uses.sh"
export TERM=dumb

modprobe -a 9p 9pnet_virtio
mkdir /tmp/share "/tmp/a share"
like "$(basename "$(readlink /sys/bus/pci/devices/$SHARE/virtio*/driver)")" "9p" "the function has 9p's driver"
# of uses.sh
# shellcheck disable=SC2034
subject=$SHARE driver=$(driver_of "$SHARE")

succeeds "it is mounted" mount -t 9p -o trans=virtio,version=9p2000.L share "/tmp/a share"
refuses "mounted" "share, a file system of the host, is mounted at /tmp/a share" "umount '/tmp/a share'"
umount "/tmp/a share"
unshare --mount --propagation private sh -c 'mount -t 9p -o trans=virtio,version=9p2000.L share /tmp/share && exec sleep 300' &
holder=$!
until_true 20 grep -q sleep "/proc/$holder/comm"
refuses "in another mount namespace" "share, .* at /tmp/share in sleep\\[$holder\\]" "nsenter -t $holder -m umount /tmp/share"
kill $holder
wait $holder 2>/dev/null
is "$(said '[.checks[] | select(.check == "use" and .state == "problem")] | length' doctor "$SHARE")" 0 "then nothing uses it"
succeeds "and it is bound" flatiommu bind "$SHARE"
succeeds "and given back" flatiommu unbind "$SHARE"
is "$(driver_of "$SHARE")" "$driver" "it has its driver"
rmdir /tmp/share "/tmp/a share"
modprobe -r -a 9p 9pnet_virtio 2>/dev/null
done_testing
