#!/bin/bash
# Build the appliance's root: an EROFS image with its dm-verity tree behind it, build/appliance/root.img,
# and the command line that vouches for it, build/appliance/cmdline.
#
#   image/root.sh
#
# The same inputs give the same image: times, owners, UUIDs and the salt are fixed by them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=modules.sh
. "$root/image/modules.sh"
# shellcheck source=oci.sh
. "$root/image/oci.sh"

tree=$out/root.dir
product=$root/build/$arch/crisp
other=$root/build/other/crisp
go_bin=$root/build/go/bin
vendor_bin=$root/build/vendor/$arch/bin
# shellcheck disable=SC2034 # for oci.sh
payload=$out/payload
cni_plugins="bridge host-local loopback portmap bandwidth"
# Debian's programs in the image, each with its libraries.
programs="usr/bin/docker-registry usr/sbin/mke2fs usr/sbin/e2fsck usr/sbin/nft"
# What busybox is called as; everything else that a shell wants comes from toybox.
busybox_links="sh ash mount umount ip vi less top free poweroff"

sysroot_make()
{
	apt_unpack "$kernel_suite" "$out/sysroot" docker-registry e2fsprogs nftables busybox-static
	apt_unpack "$kernel_suite" "$out/sysroot-containerd" containerd runc crun
}

skeleton()
{
	rm -rf "$tree"
	mkdir -p "$tree"/{dev,proc,sys,run,tmp,var,srv/registry,etc,usr/{bin,sbin,lib,lib64,libexec/crisp-tests}} \
		"$tree"/opt/cni/bin
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree/"
	ln -s var/root "$tree/root"
	cp -r "$root/image/files/." "$tree/"
	# containerd 1.7 knows CNI up to 1.0
	mkdir -p "$tree/etc/containerd/net.d"
	sed 's/"cniVersion": "1.1.0"/"cniVersion": "1.0.0"/' "$tree/etc/cni/net.d/10-bridge.conflist" \
		>"$tree/etc/containerd/net.d/10-bridge.conflist"
	ln -s ../var/lib/kubernetes "$tree/etc/kubernetes"
	ln -s ../proc/self/mounts "$tree/etc/mtab"
}

shell_install()
{
	local name
	install -m 755 "$out/sysroot/usr/bin/busybox" "$tree/usr/bin/busybox"
	for name in $busybox_links; do
		ln -s busybox "$tree/usr/bin/$name"
	done
	install -m 755 "$vendor_bin/toybox" "$tree/usr/bin/toybox"
	for name in $("$vendor_bin/toybox"); do
		[ -e "$tree/usr/bin/$name" ] || ln -s toybox "$tree/usr/bin/$name"
	done
}

programs_install()
{
	local file
	for file in $programs; do
		copy_with_libs "$out/sysroot" "$tree" "$file"
	done
	for file in containerd containerd-shim-runc-v2; do
		copy_with_libs "$out/sysroot-containerd" "$tree" "usr/bin/$file"
	done
	# also the runtimes of two RuntimeClasses (/etc/crisp/config.d)
	for file in usr/sbin/runc usr/bin/crun; do
		copy_with_libs "$out/sysroot-containerd" "$tree" "$file"
	done
	install -m 755 "$out/init" "$tree/usr/sbin/init"
	install -m 755 "$go_bin/kubelet" "$tree/usr/bin/"
	for file in $cni_plugins; do
		install -m 755 "$go_bin/$file" "$tree/opt/cni/bin/"
	done
	install -m 755 "$go_bin/scenario" "$go_bin/critests" "$out/payload" "$tree/usr/libexec/crisp-tests/"
	install -m 644 "$go_bin/selinux.policy" "$tree/usr/libexec/crisp-tests/"
	if [ -x "$product" ]; then
		install -m 755 "$product" "$tree/usr/bin/crisp"
	else
		echo "root.sh: there is no $product: an image without it" >&2
	fi
	[ ! -x "$other" ] || install -m 755 "$other" "$tree/usr/libexec/crisp-tests/crisp-other"
}

secrets_install()
{
	local to="$tree/etc/crisp/certs.d/registry.test:5000"
	mkdir -p "$tree/etc/pki" "$tree/etc/ssl/certs"
	install -m 600 "$out"/pki/{registry.key,registry.crt,kubelet.key,kubelet.crt,htpasswd} "$tree/etc/pki/"
	install -m 644 "$out/pki/ca.crt" "$to/ca.crt"
	# for who wants to trust the tests' CA everywhere
	install -m 644 "$out/pki/ca.crt" "$tree/etc/pki/ca.crt"
	install -m 600 "$out/pki/auth.json" "$tree/etc/crisp/auth.json"
}

# The image that is part of this OS: pods run from it without any registry. Its layer is no other image's, so that tests of
# pulls see what they pull. The host's crisp bakes, for whatever board.
store_make()
{
	local bundle baker
	baker=$root/build/$(uname -m)/crisp
	[ -x "$baker" ] || { echo "root.sh: there is no $baker: no baked store" >&2; return 0; }
	oci=$out/root.oci
	rm -rf "$oci"
	mkdir -p "$oci" "$tree/usr/share/crisp"
	image_begin baked
	bundle=$oci/baked.bundle/rootfs
	toybox_tree "$bundle"
	echo "from the OS image" >"$bundle/etc/baked"
	image_layer baked 1
	umoci config --image "$oci/baked:1" --config.cmd /bin/sh --config.env PATH=/bin
	"$baker" bake --output "$tree/usr/share/crisp/store" --platform "linux/$go_arch" \
		"baked.test/toybox:1=oci:$oci/baked:1" >/dev/null
	rm -rf "$oci"
}

erofs_make()
{
	local uuid
	find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	uuid=$(uuid_of "$(stamp_of "$tree")")
	rm -f "$out/root.img"
	mkfs.erofs --quiet -zlz4hc,9 -C65536 -T"$SOURCE_DATE_EPOCH" -U"$uuid" --all-root \
		"$out/root.img" "$tree" >/dev/null
}

main()
{
	local inputs=("$root/image" "$root/board/$board" "$out/init" "$out/kernel.version" "$product" "$other" "$go_bin"
		"$vendor_bin/toybox" "$vendor_bin/dash" "$payload" "$out/pki" "$out/sysroot.packages" "$out/sysroot-containerd.packages")
	sysroot_make
	"$root/image/pki.sh"
	stamp_is "$out/root.img" "${inputs[@]}" && return 0
	skeleton
	shell_install
	programs_install
	secrets_install
	store_make
	# shellcheck disable=SC2086 # a list of words
	modules_install "$tree/usr/lib/crisp-modules" $modules
	erofs_make
	echo "$kernel_cmdline $(verity_append "$out/root.img" crisp)" >"$out/cmdline"
	rm -rf "$tree"
	stamp_set "$out/root.img" "${inputs[@]}"
}

main
