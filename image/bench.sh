#!/bin/bash
# Make the disk that ./build.sh bench pulls from, build/appliance/bench.img: the tests' registry and in it
#
#   big:gzip    one layer: Debian's containerd, runc and crun with all they need, some 140 MB
#   big:zstd    the same layer in zstd
#
# It takes the place of registry.img (qemu-tests/run.sh --registry).
#
#   image/bench.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=oci.sh
. "$root/image/oci.sh"

oci=$out/bench.oci

# The layer's blob.
largest()
{
	find "$oci/$1/blobs/sha256" -type f -printf '%s %f\n' | sort -n | tail -n 1 | cut -d' ' -f2
}

main()
{
	local inputs=("$0" "$root/image/oci.sh" "$out/registry.img.stamp" "$out/sysroot-containerd.packages")
	stamp_is "$out/bench.img" "${inputs[@]}" && return 0
	rm -rf "$oci" "$out/bench.registry"
	mkdir -p "$oci"
	fsck.erofs --extract="$out/bench.registry" "$out/registry.img" >/dev/null
	image_begin big
	cp -a "$out/sysroot-containerd/." "$oci/big.bundle/rootfs/"
	image_layer big 1
	registry_start "$out/bench.registry"
	push big:1 big:gzip
	skopeo copy --quiet --insecure-policy --dest-compress-format zstd "oci:$oci/big:1" "oci:$oci/big-zstd:1"
	push big-zstd:1 big:zstd
	registry_pack "$out/bench.registry" "$out/bench.img"
	cp "$oci"/big/blobs/sha256/"$(largest big)" "$out/bench.gzip"
	cp "$oci"/big-zstd/blobs/sha256/"$(largest big-zstd)" "$out/bench.zstd"
	rm -rf "$oci" "$out/bench.registry"
	stamp_set "$out/bench.img" "${inputs[@]}"
}

main
