#!/bin/bash
# If something uses a disk, through any number of layers, bind refuses it and names the chain; bind also names the
# contents of an unused disk.
. "${0%/*}/lib.sh"
. "${0%/*}/uses.sh"
export TERM=dumb
# of uses.sh
# shellcheck disable=SC2034
subject=$FN0 driver=nvme

log_mark
export DM_DISABLE_UDEV=1
modprobe loop
disk=$(disk_of "$FN0")
name=${disk##*/}
mkdir /tmp/mnt /tmp/upper

# wipe: no test's data is another's
wipe() {
	dd if=/dev/zero of="${1-$disk}" bs=1M count=8 status=none
	sync
}

diag "a loop device"
mkfs.ext4 -q -F "$disk"
loop=$(losetup -f --show "$disk")
refuses "a loop device" "$name is below the loop device ${loop##*/} " "losetup -d $loop"
mount "$loop" /tmp/mnt
cp /etc/passwd /tmp/mnt/kept
refuses "a file system on it" "${loop##*/} is mounted at /tmp/mnt \\($name -> ${loop##*/} -> /tmp/mnt\\) .*1 more" \
	"umount /tmp/mnt"
like "$(texts)" "problem ${loop##*/} is mounted.*problem $name is below the loop device ${loop##*/}" "doctor says both"
is "$(log_since | grep -c "I/O error")" 0 "nothing is lost"
umount /tmp/mnt
losetup -d "$loop"

diag "files on a file system"
mount "$disk" /tmp/mnt
truncate -s 16M /tmp/mnt/image
mkfs.ext4 -q -F /tmp/mnt/image
loop=$(losetup -f --show /tmp/mnt/image)
mount "$loop" /tmp/upper
rm /tmp/mnt/image
refuses "a deleted file's loop device" "${loop##*/} is mounted at /tmp/upper \\($name -> ${loop##*/} -> /tmp/upper\\)" \
	"umount /tmp/upper"
second=$(losetup -f --show "$loop")
refuses "a loop device on a loop device" "${loop##*/} is below the loop device ${second##*/} \\($name -> ${loop##*/} ->" \
	"losetup -d $second"
losetup -d "$second"
umount /tmp/upper
losetup -d "$loop"
truncate -s 0 /tmp/mnt/swap
chmod 600 /tmp/mnt/swap
dd if=/dev/zero of=/tmp/mnt/swap bs=1M count=4 status=none
mkswap -q /tmp/mnt/swap >/dev/null 2>&1
swapon /tmp/mnt/swap
refuses "a swap file" "$name has /tmp/mnt/swap, which is swapped to" "swapoff /tmp/mnt/swap"
swapoff /tmp/mnt/swap
unshare --mount --propagation private sleep 300 &
sleeper=$!
until_true 10 grep -q sleep "/proc/$sleeper/comm"
umount /tmp/mnt
refuses "a mount of another namespace" "$name is mounted at /tmp/mnt in the mount namespace of sleep\\[$sleeper\\]" \
	"nsenter -t $sleeper -m umount /tmp/mnt"
succeeds "what mends it does" nsenter -t $sleeper -m umount /tmp/mnt
kill $sleeper
wait $sleeper 2>/dev/null
like "$(texts)" "warning $name has ext4: a program" "a file system that is not mounted is said"
wipe

diag "partitions"
# one of Linux's, from 1 MiB on
printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\240\0\0' | dd of="$disk" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
like "$(texts)" "warning $name has a partition table" "a partition table is said"
blockdev --rereadpt "$disk"
until_true 10 test -b "${disk}p1"
mkfs.ext4 -q -F -L data "${disk}p1"
like "$(texts)" "warning $name has a partition table, ${name}p1 has ext4 data: " "and what is in the partition"
output=$(flatiommu --json bind "$FN0")
is "$(driver_of "$FN0")" vfio-pci "that is no refusal"
like "$(jq -r '.warnings[0]' <<<"$output")" "$FN0: .*${name}p1 has ext4 data" "but bind says it, too"
flatiommu unbind "$FN0" >/dev/null
disk=$(disk_of "$FN0")
like "$(flatiommu bind "$FN0" | head -n 1)" "^warning: $FN0: .*${name}p1 has ext4 data" "before it says what it has done"
flatiommu unbind "$FN0" >/dev/null
disk=$(disk_of "$FN0")
until_true 10 test -b "${disk}p1"
mount "${disk}p1" /tmp/mnt
refuses "a mounted partition" "${name}p1 is mounted at /tmp/mnt" "umount /tmp/mnt"
umount /tmp/mnt
wipe
blockdev --rereadpt "$disk"

diag "open by programs"
mkdir /tmp/dev
mknod /tmp/dev/other b $((0x$(stat -c %t "$disk"))) $((0x$(stat -c %T "$disk")))
# shellcheck disable=SC2016
unshare --mount bash -c 'mount -t tmpfs tmpfs /dev && cp -a /tmp/dev/other /dev && exec 6</dev/other && sleep 300' &
opener=$!
until_true 10 test -e "/proc/$opener/fd/6"
refuses "by another node" "$name is open by (bash|sleep)\\[" "kill [0-9]+"
pkill -P $opener sleep
kill $opener 2>/dev/null
wait $opener 2>/dev/null
rm -r /tmp/dev
worker="/tmp/(udev-worker)"
cp "$(command -v sleep)" "$worker"
"$worker" 300 <"$disk" &
opener=$!
until_true 10 test -e "/proc/$opener/fd/0"
is "$(texts)" '' "udev is no user of it"
kill $opener
wait $opener 2>/dev/null
controller=$(basename "/sys/bus/pci/devices/$FN0/nvme/"*)
exec 6<"/dev/$controller"
refuses "the controller" "/dev/$controller is open by tool-uses-disk"
exec 6<&-
# the generic node of a disk that is not below its controllers, as there may be several
is_live() {
	[[ $(cat "/sys/bus/pci/devices/$SRIOV_PF/nvme/"nvme*/state 2>/dev/null) == live ]]
}
until_true 60 is_live
controller=$(basename "/sys/bus/pci/devices/$SRIOV_PF/nvme/"nvme*)
for path in /sys/class/nvme-subsystem/*/"$controller"; do
	node=$(basename "${path%/*}/"nvme*n1)
done
node=/dev/ng${node#nvme}
exec 6<"$node"
subject=$SRIOV_PF refuses "a disk's generic node" "$node is open by tool-uses-disk"
exec 6<&-
if [[ -e $(echo /sys/devices/pnp0/*/*:0/*:0.0) ]]; then
	is "$(texts)" '' "what is open of a serial port by the name of 00:02:0.0 is not open of 02:00.0"
fi

diag "dm, MD, zram, the NVMe target"
modprobe dm_mod
echo "0 32768 linear $disk 0" | dmsetup create lower
echo "0 16384 linear /dev/mapper/lower 0" | dmsetup create upper
refuses "dm on dm" "dm-[0-9]* \\(lower\\) is a member of dm-[0-9]* \\(upper\\) \\($name -> dm-" "dmsetup remove upper"
mkfs.ext4 -q -F /dev/mapper/upper
mount /dev/mapper/upper /tmp/mnt
refuses "a file system on it" "dm-[0-9]* \\(upper\\) is mounted at /tmp/mnt \\($name -> .*lower\\) -> .*upper\\) -> /tmp/mnt\\)"
is "$(said '[.checks[] | select(.check == "use")] | length' doctor "$FN0")" 3 "doctor has each layer"
umount /tmp/mnt
dmsetup remove upper
dmsetup remove lower
wipe
mdadm --quiet --create /dev/md9 --run --level=1 --raid-devices=2 --metadata=1.2 "$disk" missing
until_true 10 test -e /sys/block/md9
refuses "an MD array" "$name is a member of md9" "mdadm --stop /dev/md9"
mdadm --quiet --stop /dev/md9
refuses "a member of one that is stopped" "$name is a member of an MD volume or array"
wipe
modprobe zram num_devices=0
zram=zram$(</sys/class/zram-control/hot_add)
echo "$disk" >"/sys/block/$zram/backing_dev"
refuses "zram's backing device" "$name is a member of $zram" "echo 1 >/sys/block/$zram/reset"
echo 1 >"/sys/block/$zram/reset"
echo "${zram#zram}" >/sys/class/zram-control/hot_remove
modprobe nvmet
mount -t configfs configfs /sys/kernel/config 2>/dev/null
export=/sys/kernel/config/nvmet/subsystems/test
mkdir "$export"
mkdir "$export/namespaces/1"
echo "$disk" >"$export/namespaces/1/device_path"
is "$(texts)" '' "what is not enabled is no use"
echo 1 >"$export/namespaces/1/enable"
refuses "an export" "$name is exported by the kernel's NVMe target, in $export/namespaces/1" \
	"echo 0 >$export/namespaces/1/enable"
rmdir "$export/namespaces/1" "$export"
mount -t tmpfs none /sys/kernel/config
for file in target/core/iblock_0/test/udev_path usb_gadget/test/functions/mass_storage.0/lun.0/file; do
	mkdir -p "/sys/kernel/config/${file%/*}"
	echo "$disk" >"/sys/kernel/config/$file"
done
like "$(texts)" "$name is exported by the kernel's SCSI target, in /sys/kernel/config/target/core/iblock_0/test: bind needs" "the SCSI target"
like "$(texts)" "$name is exported by the kernel's USB gadget, in /sys/kernel/config/usb_gadget/test/functions/mass_storage.0/lun.0: " "a gadget"
umount /sys/kernel/config
if modprobe block2mtd "block2mtd=$disk"; then
	refuses "a holder that is not known" "$name is in use by the kernel"
	rmmod block2mtd
else
	skip "a holder that is not known" "this kernel has no block2mtd"
fi

diag "file systems of several devices"
other=$(disk_of "$NVME")
mke2fs -q -F -O journal_dev -b 4096 "$disk"
mkfs.ext4 -q -F -b 4096 -J device="$disk" "$other"
mount "$other" /tmp/mnt
refuses "a journal" "$name is the journal of a mounted file system"
umount /tmp/mnt
wipe
wipe "$other"
# of this size there is no room for two copies
if modprobe btrfs && mkfs.btrfs -q -f -M -n 4096 -d single -m single "$other" "$disk"; then
	mount -o "device=$disk" "$other" /tmp/mnt
	refuses "btrfs" "$name is mounted at /tmp/mnt"
	umount /tmp/mnt
	wipe "$other"
	wipe
else
	not_ok "btrfs is made"
fi

is "$(texts)" '' "with nothing on it, doctor says nothing"
succeeds "and bind binds" flatiommu bind "$FN0"
succeeds "and unbind unbinds" flatiommu unbind "$FN0"
disk_of "$FN0" >/dev/null
umount /sys/kernel/config 2>/dev/null
rmdir /tmp/mnt /tmp/upper
modprobe -r -a nvmet zram raid1 md_mod dm_mod btrfs loop 2>/dev/null
is "$(log_since | grep -c "I/O error")" 0 "no write was lost"
done_testing
