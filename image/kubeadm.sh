#!/bin/bash
# Make what the kubeadm machine has beside the ordinary appliance (qemu-tests/kubeadm):
#
#   build/appliance/kubeadm.img    a read-only disk with its dm-verity tree: kubeadm, kubectl, and the store into which
#                                  `crisp bake` has put the images below; kubeadm.img.cmdline vouches for it
#   build/appliance/kubeadm.tree   what is laid over the root: qemu-tests/kubeadm/root and the kernel's configuration
#
# The images are those of `kubeadm config images list`, by those names, of programs that are built from the pinned modules:
#
#   kube-apiserver, kube-controller-manager, kube-scheduler, etcd    one static binary each
#   kube-proxy      with nft, which its nftables mode runs
#   coredns         user 65532 and a file capability, as upstream's
#   pause           the module's pause.c: kubeadm's preflight looks for it, crisp runs none
#   csi:1           the tests' CSI driver and its sidecars, with mke2fs
#   metrics-server:1
#   toybox:1        of the tests, for the workloads
#
#   image/kubeadm.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=oci.sh
. "$root/image/oci.sh"

product=$root/build/$arch/crisp
bin=$root/build/go/kubeadm
disk=$out/kubeadm.disk
tree=$out/kubeadm.tree
from=$root/qemu-tests/kubeadm
sources=()

# named NAME: the whole name that kubeadm gives the image whose last part is NAME.
named()
{
	"$bin/kubeadm" config images list --kubernetes-version "v$version" 2>/dev/null | grep "/$1:" ||
		die "kubeadm lists no image $1"
}

# finish NAME REFERENCE [OPTION]...: the layer, umoci's options for the configuration; it is to be baked by that name.
finish()
{
	local name=$1 reference=$2
	shift 2
	image_layer "$name" 1
	umoci config --image "$oci/$name:1" "$@"
	rm -rf "${oci:?}/$name.bundle"
	sources+=("$reference=oci:$oci/$name:1")
}

# program_begin NAME: an image with that program; prints its root.
program_begin()
{
	local to=$oci/$1.bundle/rootfs
	image_begin "$1" >&2
	mkdir -p "$to/tmp"
	chmod 1777 "$to/tmp"
	install -D -m 755 "$bin/$1" "$to/usr/local/bin/$1"
	echo "$to"
}

path=(--config.env PATH=/usr/local/bin:/usr/sbin:/usr/bin)

control_plane()
{
	local name
	for name in kube-apiserver kube-controller-manager kube-scheduler etcd; do
		program_begin "$name" >/dev/null
		finish "$name" "$(named "$name")" "${path[@]}" --config.entrypoint "$name"
	done
}

proxy_make()
{
	local to
	to=$(program_begin kube-proxy)
	mkdir -p "$to"/usr/{sbin,lib,lib64}
	ln -s usr/sbin usr/lib usr/lib64 "$to/"
	copy_with_libs "$out/sysroot" "$to" usr/sbin/nft
	finish kube-proxy "$(named kube-proxy)" "${path[@]}" --config.entrypoint kube-proxy
}

coredns_make()
{
	local to=$oci/coredns.bundle/rootfs
	image_begin coredns
	install -m 755 "$bin/coredns" "$to/coredns"
	setcap cap_net_bind_service=+ep "$to/coredns"
	finish coredns "$(named coredns)" --config.entrypoint /coredns --config.user 65532:65532
}

pause_make()
{
	local kubernetes reference
	kubernetes=$(cd "$from/programs" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
	reference=$(named pause)
	image_begin pause
	"$vendor_bin/crisp-cc" -Os -s -DVERSION="${reference##*:}" -o "$oci/pause.bundle/rootfs/pause" \
		"$kubernetes/build/pause/linux/pause.c"
	finish pause "$reference" --config.entrypoint /pause --config.user 65535:65535
}

csi_make()
{
	local to
	to=$(program_begin csi)
	mkdir -p "$to"/usr/{sbin,lib,lib64}
	ln -s usr/sbin usr/lib usr/lib64 "$to/"
	copy_with_libs "$out/sysroot" "$to" usr/sbin/mke2fs
	finish csi registry.test:5000/csi:1 "${path[@]}" --config.entrypoint csi
	program_begin metrics-server >/dev/null
	finish metrics-server registry.test:5000/metrics-server:1 "${path[@]}" --config.entrypoint metrics-server
}

toybox_make()
{
	image_begin toybox
	toybox_tree "$oci/toybox.bundle/rootfs"
	finish toybox registry.test:5000/toybox:1 --config.cmd /bin/sh --config.env PATH=/bin
}

disk_make()
{
	rm -rf "$disk"
	mkdir -p "$disk/bin"
	"$product" bake --output "$disk/store" "${sources[@]}"
	install -m 755 "$bin"/{kubeadm,kubectl} "$disk/bin/"
	rm -f "$out/kubeadm.img"
	mkfs.erofs --quiet -T"$SOURCE_DATE_EPOCH" --all-root "$out/kubeadm.img" "$disk" >/dev/null
	verity_append "$out/kubeadm.img" crisp-kubeadm >"$out/kubeadm.img.cmdline"
	rm -rf "$disk"
}

# The kubelet, of which kubeadm has the last word here, comes back by itself when the machine does.
tree_make()
{
	local release
	release=$(cat "$out/kernel.release")
	rm -rf "$tree"
	mkdir -p "$tree/srv/kubeadm" "$tree/usr/lib/modules/$release"
	cp -a "$from/root/." "$tree/"
	cp "$out/kernel/boot/config-$release" "$tree/usr/lib/modules/$release/config"
	sed '/^service kubelet$/,/^$/ { /^\tmanual$/d; s|^\tneeds .*|\tneeds /var/lib/kubelet/config.yaml|
		s|^\trun .*|\trun /bin/busybox sh /etc/kubelet.sh| }' \
		"$root/image/files/etc/crisp-init.conf" >"$tree/etc/crisp-init.conf"
	printf '\nverified crisp-kubeadm /srv/kubeadm\n' >>"$tree/etc/crisp-init.conf"
}

main()
{
	local inputs=("$0" "$root/image/oci.sh" "$bin" "$product" "$vendor_bin/toybox" "$vendor_bin/dash" "$payload"
		"$out/sysroot.packages")
	version=$(sed -n 's/^\tk8s.io\/kubernetes v\([0-9.]*\).*/\1/p' "$from/programs/go.mod")
	tree_make
	stamp_is "$out/kubeadm.img" "${inputs[@]}" && return 0
	oci=$out/kubeadm.oci
	rm -rf "$oci"
	mkdir -p "$oci"
	control_plane
	proxy_make
	coredns_make
	pause_make
	csi_make
	toybox_make
	disk_make
	rm -rf "$oci"
	stamp_set "$out/kubeadm.img" "${inputs[@]}"
}

main
