#!/bin/bash
# Make the images that the tests' registry serves, with umoci and skopeo, push them into a docker-registry on
# loopback, and pack its storage as a read-only disk: build/appliance/registry.img.
#
#   toybox:1    one layer: toybox, dash, the tests' payload; toybox:zstd the same with a zstd layer
#   debian:1    Debian programs in four gzip layers, with whiteouts, an opaque directory, hard links, a file
#               capability and user xattrs; debian:zstd the same layers in zstd
#   multi:1     an index of two architectures (linux/amd64, linux/arm64); multi:other-only is an index without
#               this board's own
#   config:1    user, group, environment, working directory, volume, stop signal, labels
#   pause:1     for runtimes that need one
#
#   image/test-images.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=oci.sh
. "$root/image/oci.sh"

payload_make()
{
	local cc=$vendor_bin/crisp-cc
	stamp_is "$payload" "$root/qemu-tests/payload" "$cc" && return 0
	"$cc" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Os -s -o "$payload" \
		"$root"/qemu-tests/payload/*.c
	stamp_set "$payload" "$root/qemu-tests/payload" "$cc"
}

toybox_make()
{
	image_begin toybox
	toybox_tree "$oci/toybox.bundle/rootfs"
	image_layer toybox 1
	umoci config --image "$oci/toybox:1" --config.cmd /bin/sh --config.env PATH=/bin
	image_begin pause
	install -D -m 755 "$payload" "$oci/pause.bundle/rootfs/bin/payload"
	image_layer pause 1
	umoci config --image "$oci/pause:1" --config.entrypoint /bin/payload --config.entrypoint pause
}

debian_make()
{
	local tree=$oci/debian.bundle/rootfs sys=$out/sysroot-debian
	apt_unpack "$kernel_suite" "$sys" dash coreutils base-files iputils-ping grep sed findutils
	image_begin debian
	cp -a "$sys/." "$tree/"
	rm -rf "$tree"/usr/share/{doc,man,locale,info} "$tree"/usr/lib/*/{ossl-modules,gconv}
	ln -sf dash "$tree/usr/bin/sh"
	mkdir -p "$tree"/{tmp,root,proc,sys,dev,opt/opaque,opt/gone} && chmod 1777 "$tree/tmp"
	echo lower >"$tree/opt/opaque/lower"
	echo gone >"$tree/opt/gone/file"
	echo first >"$tree/opt/replaced"
	image_layer debian 1
	# the second layer: hard links, a capability, user xattrs, a fifo, a setuid file, a sparse file, odd names
	echo linked >"$tree/opt/link-a"
	ln "$tree/opt/link-a" "$tree/opt/link-b"
	cp "$tree/usr/bin/ping" "$tree/opt/ping-cap"
	setcap cap_net_raw+ep "$tree/opt/ping-cap"
	setfattr -n user.crisp -v hello "$tree/opt/link-a"
	mkfifo "$tree/opt/fifo"
	install -m 4755 "$tree/usr/bin/id" "$tree/opt/id-setuid"
	truncate -s 8M "$tree/opt/sparse" && echo end >>"$tree/opt/sparse"
	echo odd >"$tree/opt/$(printf 'n\303\244me with blanks')"
	echo long >"$tree/opt/$(printf 'x%.0s' $(seq 200))"
	image_layer debian 1
	# the third: whiteouts, a file for a directory, a directory for a file
	rm -r "$tree/opt/gone" "$tree/opt/replaced"
	echo "a file now" >"$tree/opt/gone"
	mkdir "$tree/opt/replaced" && echo inside >"$tree/opt/replaced/file"
	rm "$tree/opt/link-b"
	image_layer debian 1
	# the fourth: an opaque directory
	mkdir -p "$oci/opaque" && echo upper >"$oci/opaque/upper"
	umoci insert --opaque --image "$oci/debian:1" "$oci/opaque" /opt/opaque
	umoci config --image "$oci/debian:1" --config.cmd /bin/sh --config.env PATH=/usr/sbin:/usr/bin
}

config_make()
{
	local image=$oci/config:1
	image_begin config
	toybox_tree "$oci/config.bundle/rootfs"
	mkdir -p "$oci/config.bundle/rootfs/data" && echo "from the image" >"$oci/config.bundle/rootfs/data/file"
	chown 1000:1000 "$oci/config.bundle/rootfs/data"
	image_layer config 1
	umoci config --image "$image" --config.user user --config.workingdir /data --config.volume /data \
		--config.env PATH=/bin --config.env FROM_IMAGE=yes --config.stopsignal SIGUSR1 \
		--config.entrypoint /bin/payload --config.cmd signals --config.cmd 7 \
		--config.label test.label=value --config.exposedports 8080/tcp
}

multi_make()
{
	local a other=arm64
	[ "$go_arch" = arm64 ] && other=amd64
	for a in amd64 arm64; do
		image_begin "multi-$a" "$a"
		toybox_tree "$oci/multi-$a.bundle/rootfs"
		echo "$a" >"$oci/multi-$a.bundle/rootfs/etc/architecture"
		image_layer "multi-$a" 1
		umoci config --image "$oci/multi-$a:1" --config.cmd /bin/sh --config.env PATH=/bin
	done
	index_make multi arm64 amd64
	index_make other "$other"
}

# index_make NAME ARCHITECTURE...: an index is a blob like any other; its manifests are those of the images multi-ARCHITECTURE.
index_make()
{
	local name=$1 a index hash list=
	shift
	mkdir -p "$oci/$name/blobs/sha256"
	for a; do
		cp -n "$oci/multi-$a"/blobs/sha256/* "$oci/$name/blobs/sha256/"
		list+=$(descriptor "multi-$a" | jq -c --arg a "$a" '. + {platform: {os: "linux", architecture: $a}}')
	done
	echo '{"imageLayoutVersion":"1.0.0"}' >"$oci/$name/oci-layout"
	index=$(jq -s -c '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' <<<"$list")
	hash=$(printf %s "$index" | sha256sum | cut -d' ' -f1)
	printf %s "$index" >"$oci/$name/blobs/sha256/$hash"
	jq -n --arg d "sha256:$hash" --argjson s "${#index}" '{ schemaVersion: 2, manifests: [{
		mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $s,
		annotations: {"org.opencontainers.image.ref.name": "1"}}]}' >"$oci/$name/index.json"
}

descriptor()
{
	jq -c '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "1") |
		{mediaType, digest, size}' "$oci/$1/index.json"
}

# Through a layout of its own: pushing from the first one would find its gzip layers in the registry, and use those.
push_zstd()
{
	skopeo copy --quiet --insecure-policy --dest-compress-format zstd "oci:$oci/$1:1" "oci:$oci/$1-zstd:1"
	push "$1-zstd:1" "$1:zstd"
}

push_all()
{
	push toybox:1 toybox:1
	push_zstd toybox
	push pause:1 pause:1
	push debian:1 debian:1
	push_zstd debian
	push config:1 config:1
	push multi:1 multi:1 --all
	push other:1 multi:other-only --all
	# the zstd ones must be what they are called
	skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:$port/debian:zstd" |
		jq -e '[.layers[].mediaType | endswith("zstd")] | all' >/dev/null || die "debian:zstd has other layers"
	skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:$port/debian:1" |
		jq -e '.layers | length == 4 and all(.mediaType | endswith("gzip"))' >/dev/null ||
		die "debian:1 has other layers"
}

main()
{
	local inputs=("$0" "$root/image/oci.sh" "$vendor_bin/toybox" "$vendor_bin/dash" "$payload" "$root/board/$board")
	payload_make
	stamp_is "$out/registry.img" "${inputs[@]}" && return 0
	rm -rf "$oci" "$out/registry"
	mkdir -p "$oci"
	toybox_make
	debian_make
	config_make
	multi_make
	registry_start "$out/registry"
	push_all
	registry_pack "$out/registry" "$out/registry.img"
	rm -rf "$oci" "$out/registry"
	stamp_set "$out/registry.img" "${inputs[@]}"
}

main
