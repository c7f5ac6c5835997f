# shellcheck shell=bash
# The minimal Debian, of the suite that is the script's argument, for the scripts beside it: an image of its own for each, in
# $dir, which starts what is to be tested as a service.

# shellcheck source=tests/vm/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../vm/common.sh"
# shellcheck source=tests/vm/archive.sh
. "$here/archive.sh"
packages=$top/tests/packages
suite=${1:-bookworm}
log=$top/build/log/packages-${0##*/}-$suite.log
mkdir -p "${log%/*}"
dir=$(mktemp -d "$top/build/packages.XXXXXX")
trap 'rm -rf "$dir"' EXIT

commands=()

# put FILE GUEST-FILE MODE
put() {
	commands+=("write $1 $2" "sif $2 mode 010$3")
}

# install_debian TEST [PACKAGE...]: $dir/debian, with build/dist/ and the test, which runs once a boot, and PACKAGEs
install_debian() {
	local file
	cp --sparse=always "$("$packages/image" "$suite" "${@:2}")" "$dir/debian"
	cat >"$dir/unit" <<-END
		[Unit]
		Description=tests of the packages
		After=multi-user.target
		[Service]
		Type=oneshot
		TimeoutStartSec=infinity
		ExecStart=/root/flatiommu/$1
		[Install]
		WantedBy=multi-user.target
	END
	commands+=('mkdir /root/flatiommu' 'mkdir /root/flatiommu/build' 'mkdir /root/flatiommu/build/dist')
	for file in README.md VERSION doc/containers.md tests/guest/docs.list tests/packages/lib.sh; do
		put "$top/$file" "/root/flatiommu/${file##*/}" 0644
	done
	put "$packages/$1" "/root/flatiommu/$1" 0755
	for file in "$top"/build/dist/*.{deb,tar.gz}; do
		put "$file" "/root/flatiommu/build/dist/${file##*/}" 0644
	done
	put "$dir/unit" /etc/systemd/system/under-test.service 0644
	commands+=('symlink /etc/systemd/system/multi-user.target.wants/under-test.service ../under-test.service')
	printf '%s\n' "${commands[@]}" >"$dir/commands"
	debugfs -w -f "$dir/commands" "$dir/debian" >/dev/null 2>"$dir/debugfs.log" || die "$(<"$dir/debugfs.log")"
}

# newest_kernel: to $dir/vmlinuz and $dir/initrd, as a boot loader finds it; $release is its
newest_kernel() {
	release=$(debugfs -R 'ls -p /boot' "$dir/debian" 2>/dev/null | sed -n 's,.*/vmlinuz-\([^/]*\)/.*,\1,p' | sort -V | tail -n 1)
	debugfs -R "dump /boot/vmlinuz-$release $dir/vmlinuz" "$dir/debian" 2>/dev/null
	debugfs -R "dump /boot/initrd.img-$release $dir/initrd" "$dir/debian" 2>/dev/null
}

# shellcheck disable=SC2034
append='root=/dev/vda rw console=ttyS0 mitigations=off systemd.mask=fstrim.timer'

# who starts QEMU, and is at its console
console=()

# emulate ARGUMENT...: QEMU, with Debian's disk, an edu and an nvme; what the test says is in $dir/tap
emulate() {
	[[ -e $dir/disk ]] || truncate -s 64M "$dir/disk"
	timeout 3000 "${console[@]}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 2G -nodefaults \
		-no-user-config -display none \
		-drive "file=$dir/debian,format=raw,if=none,id=debian,cache=unsafe" -device virtio-blk-pci,drive=debian,addr=02.0 \
		-device edu,addr=04.0,dma_mask=0xffffffffffffffff \
		-drive "file=$dir/disk,format=raw,if=none,id=disk" -device nvme,drive=disk,serial=flat0,addr=05.0 "$@" </dev/null
}

# passed: the test's output, without what firmware says on each serial port; and that nothing in it failed
passed() {
	local said
	said=$(grep -aE '^(ok|not ok|#|1\.\.)' "$dir/tap")
	printf '%s\n' "$said"
	grep -q '^ok' <<<"$said" && ! grep -q '^not ok' <<<"$said"
}
