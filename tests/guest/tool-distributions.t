#!/bin/bash
# Cures use this distribution's package manager, and the key that signs modules here. If there is no known one, the
# message names the package or key.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

release=$(uname -r)
# as a regex
matched=${release//+/\\+}
mkdir /tmp/elsewhere
cp "$(command -v flatiommu)" /tmp/elsewhere
doctor=(/tmp/elsewhere/flatiommu --json doctor)

# distribution LINE...: of os-release(5)
distribution() {
	printf '%s\n' "$@" >/etc/os-release
}
mv /etc/os-release /tmp/os-release-away

# installs NAME HEADERS: what doctor says is to be installed
installs() {
	local found
	found=$(line module "no flatiommu.ko" "${doctor[@]}")
	is "$(jq -r .cure <<<"$found")" "${2:+$2 && }make module && insmod module/flatiommu.ko" "$1: headers"
	like "$(jq -r .text <<<"$found")" "the kernel's headers \(/lib/modules/$matched/build\) are missing" "$1: which they are"
}

distribution ID=debian
installs Debian "apt install linux-headers-$release"
distribution 'NAME="Linux Mint"' ID=linuxmint 'ID_LIKE="ubuntu debian"'
installs "one that is like Debian" "apt install linux-headers-$release"
distribution ID=fedora
installs Fedora "dnf install kernel-devel-$release"
distribution 'ID="rocky"' 'ID_LIKE="rhel centos fedora"'
installs "one that is like RHEL" "dnf install kernel-devel-$release"
distribution 'ID="opensuse-leap"' 'ID_LIKE="suse opensuse"'
installs openSUSE "zypper install kernel-${release##*-}-devel"
distribution ID=arch
installs "Arch, with a kernel that is not its own" ''
distribution ID=nixos
installs "one that is not known" ''
: >/etc/os-release
installs "none" ''
distribution ID=debian

# as another kernel's, compressed, in which nothing can be seen
other=/lib/modules/3.0/extra/flatiommu.ko.xz
mkdir -p "${other%/*}"
echo compressed >$other
like "$(line module . "${doctor[@]}" | jq -r '.state + " " + .text')" \
	"^problem $other is built for another kernel, and $matched runs; the kernel's headers \(/lib/modules/$matched/build\) are missing, too\$" \
	"another kernel's"
rm -r /lib/modules/3.0

diag "keys"
extra=/lib/modules/$release/updates/dkms
mkdir -p "$extra" /etc/dkms/framework.conf.d /var/lib/dkms /var/lib/shim-signed/mok /root/keys
echo Y >/tmp/enforced
mount --bind /tmp/enforced /sys/module/module/parameters/sig_enforce
mount -t tmpfs firmware /sys/firmware
efi=/sys/firmware/efi/efivars
mkdir -p $efi

issuer=30060c0454657374
# certificate FILE SERIAL: as much of one as names it, with a serial number of 8 bytes
certificate() {
	xxd -r -p >"$1" <<<"301d301ba0030201020208$2""30020600$issuer"
}
# signed SERIAL: the module, as if with the key of that certificate
signed() {
	{
		cat "$MODULE"
		xxd -r -p <<<"$issuer""0208$1"
		printf '~Module signature appended~\n'
	} >"$extra/flatiommu.ko"
	depmod
}
# enrolled FILE...: in shim's list
enrolled() {
	cat /dev/null "$@" >$efi/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23
}
# wants NAME FILE: doctor says that this certificate is to be enrolled
wants() {
	local found
	found=$(line module "is signed with the key of" "${doctor[@]}")
	like "$(jq -r .text <<<"$found")" "signed with the key of $2, which this machine does not know" "$1: the key is named"
	is "$(jq -r .cure <<<"$found")" "apt install mokutil && mokutil --import $2" "$1: with the cure"
}

certificate /var/lib/dkms/mok.pub 1111111111111111
signed 1111111111111111
enrolled
wants "DKMS's own" /var/lib/dkms/mok.pub
enrolled /var/lib/dkms/mok.pub
is "$(line module . "${doctor[@]}" | jq -r '.state + " " + .cure')" "warning modprobe flatiommu" "enrolled, there is nothing to say of it"
enrolled
{
	echo '# mok_certificate=/nowhere'
	echo 'mok_signing_key="/root/keys/one.key"'
	echo 'mok_certificate="/root/keys/one.der"'
} >/etc/dkms/framework.conf
certificate /root/keys/one.der 2222222222222222
wants "a module from before the configuration" /var/lib/dkms/mok.pub
signed 2222222222222222
wants "the one of framework.conf" /root/keys/one.der
echo 'mok_certificate=/root/keys/two.der' >/etc/dkms/framework.conf.d/own.conf
certificate /root/keys/two.der 3333333333333333
signed 3333333333333333
wants "the one of framework.conf.d" /root/keys/two.der
certificate /var/lib/shim-signed/mok/MOK.der 4444444444444444
signed 4444444444444444
wants "shim's" /var/lib/shim-signed/mok/MOK.der
cp /var/lib/shim-signed/mok/MOK.der $efi/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f
is "$(line module . "${doctor[@]}" | jq -r .cure)" "modprobe flatiommu" "firmware's own list counts, too"
rm -r /etc/dkms/framework.conf /etc/dkms/framework.conf.d/own.conf $efi/db-*
signed 5555555555555555
wants "a module whose signer is not to be seen, made by DKMS" /var/lib/dkms/mok.pub
distribution ID=ubuntu
wants "the same on Ubuntu" /var/lib/shim-signed/mok/MOK.der
cp "$MODULE" "$extra/flatiommu.ko"
like "$(line module "is not signed" "${doctor[@]}" | jq -r .cure)" \
	"sign-file sha256 /var/lib/shim-signed/mok/MOK.priv /var/lib/shim-signed/mok/MOK.der ${extra//+/\\+}/flatiommu.ko && modprobe" \
	"a module that is not signed: by this key"
umount /sys/module/module/parameters/sig_enforce

diag "a kernel that loads nothing any more"
echo 1 >/tmp/enforced
mount --bind /tmp/enforced /proc/sys/kernel/modules_disabled
is "$(line module "kernel.modules_disabled" "${doctor[@]}" | jq -r .state)" problem "it is said"
umount /proc/sys/kernel/modules_disabled /sys/firmware

diag "modules of the kernel that are not there"
modprobe -r vfio-pci 2>/dev/null
mkdir /tmp/none
# vfio: what doctor says of vfio-pci
vfio() {
	line vfio "^vfio_pci " "${doctor[@]}" | jq -r '.state + " " + .text'
}
mount --bind /tmp/none "/lib/modules/$release"
like "$(vfio)" "^problem .*nor any module of this kernel \($matched\): a newer one was installed since it was booted" "none at all"
found=$(line module "nor any other module" "${doctor[@]}")
is "$(jq -r '.state + " " + (.cure // "none")' <<<"$found")" "problem none" "and there is nothing to make flatiommu.ko for"
touch /tmp/none/modules.dep
like "$(vfio)" "^problem .*this kernel \($matched\) has no such module" "one that it was not built with"
echo "CONFIG_VFIO_PCI=m" >/tmp/none/config
like "$(vfio)" "^problem .*though this kernel \($matched\) has it: another package of its modules is missing" "one of another package"
umount "/lib/modules/$release"

rm -r "$extra" /etc/dkms /var/lib/dkms /var/lib/shim-signed /root/keys /tmp/elsewhere /tmp/enforced /tmp/none
depmod
rm /etc/os-release
mv /tmp/os-release-away /etc/os-release
done_testing
