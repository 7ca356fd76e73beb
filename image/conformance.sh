#!/bin/bash
# Make the disk of Kubernetes' node tests, build/appliance/conformance.img: the test program, and a registry with
# the images that its specs run. It takes the place of registry.img (qemu-tests/run.sh --registry).
#
# The images have the names and tags of k8s.io/kubernetes/test/utils/image/manifest.go, in our registry. Their programs are built
# from that module's sources; what its Dockerfiles take from Alpine, Debian or Docker Hub comes from Debian's packages, and
# busybox from vendor/:
#
#   e2e-test-images/agnhost           busybox (static), bash, curl, agnhost; the older tag differs in its label only
#   e2e-test-images/busybox           busybox
#   e2e-test-images/glibc-dns-testing busybox with Debian's hostname, which asks glibc
#   e2e-test-images/ipc-utils         busybox with util-linux' ipcs, ipcmk and ipcrm
#   e2e-test-images/kitten            agnhost with two files
#   e2e-test-images/nginx             busybox with Debian's nginx
#   e2e-test-images/nonewprivs        busybox with the set-user-ID program nnp
#   e2e-test-images/nonroot           busybox, USER 1234
#   k8s/pause                         the module's pause.c
#
#   image/conformance.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=oci.sh
. "$root/image/oci.sh"

bin=$root/build/go/e2e-node
sys=$out/sysroot-conformance
disk=$out/conformance.disk
busybox=$vendor_bin/busybox

module_dir()
{
	(cd "$root/qemu-tests/e2e-node" && GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' k8s.io/kubernetes)
}

# tags_of IMAGE: the manifest's entry reads configs[Name] = Config{list.Registry, "IMAGE", "TAG"}.
tags_of()
{
	sed -n -e '/list.PrivateRegistry/d' \
		-e "s|^\tconfigs\[[A-Za-z]*\] = Config{[A-Za-z0-9.]*, \"$1\", \"\(.*\)\"}|\1|p" \
		"$kubernetes/test/utils/image/manifest.go" | sort -u | grep . || die "the manifest names no image $1"
}

# tree NAME: begins an image, and prints its root, which has busybox and the users that images have.
tree()
{
	local to=$oci/$1.bundle/rootfs name
	image_begin "$1" >&2
	mkdir -p "$to"/{etc,tmp,root,dev,proc,sys,home,uploads,var/{log,run,registry},usr/{bin,sbin,lib,lib64,local/bin}}
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$to/"
	chmod 1777 "$to/tmp"
	install -m 755 "$busybox" "$to/usr/bin/busybox"
	for name in $("$busybox" --list); do
		ln -s busybox "$to/usr/bin/$name" 2>/dev/null || true
	done
	cat >"$to/etc/passwd" <<-USERS
	root:x:0:0:root:/root:/bin/sh
	daemon:x:1:1:daemon:/usr/sbin:/bin/false
	nobody:x:65534:65534:nobody:/home:/bin/false
	user-defined-in-image:x:1000:1000::/home:/bin/sh
	USERS
	cat >"$to/etc/group" <<-GROUPS
	root:x:0:
	daemon:x:1:
	nobody:x:65534:
	user-defined-in-image:x:1000:
	group-defined-in-image:x:50000:user-defined-in-image
	GROUPS
	# a spec looks for the name of the images' usual base
	echo 'NAME="stands for Alpine Linux"' >"$to/etc/os-release"
	echo "$to"
}

# debian_file ROOT FILE...: of Debian's packages, in place of busybox' link.
debian_file()
{
	local to=$1 file
	shift
	for file; do
		[ ! -L "$to/$file" ] || rm "$to/$file"
		copy_with_libs "$sys" "$to" "$file"
	done
}

# finish NAME IMAGE [OPTION]...: the layer, umoci's options for the configuration, and the push under each of its tags.
finish()
{
	local name=$1 image=$2 tag tags
	shift 2
	tags=$(tags_of "${image#*/}")
	image_layer "$name" 1
	umoci config --image "$oci/$name:1" --config.env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin "$@"
	for tag in $tags; do
		umoci config --image "$oci/$name:1" --config.label "version=$tag"
		push "$name:1" "$image:$tag"
	done
	rm -rf "${oci:?}/$name.bundle"
}

# What agnhost's fake-registry-server serves: an index, its manifest, the blobs, each below its digest; pause:testing.
fake_registry()
{
	local to=$1/pause hash digest index
	mkdir -p "$to/manifests" "$to/blobs"
	for digest in "$oci"/pause/blobs/sha256/*; do
		hash=${digest##*/}
		install -D -m 644 "$digest" "$to/blobs/sha256/${hash:0:2}/$hash/data"
		install -D -m 644 "$digest" "$to/manifests/sha256/${hash:0:2}/$hash/data"
	done
	index=$(jq -c --arg a "$go_arch" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "1") |
		{mediaType, digest, size, platform: {os: "linux", architecture: $a}} |
		{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [.]}' "$oci/pause/index.json")
	hash=$(printf %s "$index" | sha256sum | cut -d' ' -f1)
	mkdir -p "$to/manifests/sha256/${hash:0:2}/$hash"
	printf %s "$index" >"$to/manifests/sha256/${hash:0:2}/$hash/data"
	echo "sha256:$hash" >"$to/manifests/testing"
}

pause_make()
{
	image_begin pause
	"$root/build/vendor/$arch/bin/crisp-cc" -Os -s -DVERSION="$(tags_of pause)" \
		-o "$oci/pause.bundle/rootfs/pause" "$kubernetes/build/pause/linux/pause.c"
	finish pause k8s/pause --config.entrypoint /pause --config.user 65535:65535
}

agnhost_tree()
{
	local to=$1
	debian_file "$to" usr/bin/bash usr/bin/curl
	install -m 755 "$bin/agnhost" "$to/agnhost"
	ln -s agnhost "$to/agnhost-2"
	cp "$kubernetes"/test/images/agnhost/porter/localhost.{crt,key} "$to/"
	fake_registry "$to/var/registry"
}

agnhost_make()
{
	local to options=(--config.entrypoint /agnhost)
	to=$(tree agnhost)
	agnhost_tree "$to"
	finish agnhost e2e-test-images/agnhost "${options[@]}" --config.cmd pause
	to=$(tree kitten)
	agnhost_tree "$to"
	cp "$kubernetes"/test/images/kitten/html/{kitten.jpg,data.json} "$to/"
	finish kitten e2e-test-images/kitten "${options[@]}" --config.cmd test-webserver
}

nginx_make()
{
	local to
	to=$(tree nginx)
	debian_file "$to" usr/sbin/nginx
	mkdir -p "$to"/{etc/nginx,var/lib/nginx,var/log/nginx,usr/share/nginx/html}
	echo 'Welcome to nginx!' >"$to/usr/share/nginx/html/index.html"
	cat >"$to/etc/nginx/nginx.conf" <<-CONF
	error_log /dev/stderr;
	pid /tmp/nginx.pid;
	events { }
	http { access_log off; server { listen 80; root /usr/share/nginx/html; } }
	CONF
	finish nginx e2e-test-images/nginx --config.cmd nginx --config.cmd -g --config.cmd 'daemon off;' \
		--config.stopsignal SIGQUIT
}

small_make()
{
	local to
	tree busybox >/dev/null
	finish busybox e2e-test-images/busybox --config.cmd sh
	tree nonroot >/dev/null
	finish nonroot e2e-test-images/nonroot --config.cmd sh --config.user 1234
	to=$(tree nonewprivs)
	install -m 6755 "$bin/nonewprivs" "$to/usr/local/bin/nnp"
	finish nonewprivs e2e-test-images/nonewprivs --config.cmd nnp
	to=$(tree ipc-utils)
	debian_file "$to" usr/bin/ipcs usr/bin/ipcmk usr/bin/ipcrm
	finish ipc-utils e2e-test-images/ipc-utils --config.cmd sh
	to=$(tree glibc-dns-testing)
	debian_file "$to" usr/bin/hostname
	finish glibc-dns-testing e2e-test-images/glibc-dns-testing --config.cmd sh
}

programs()
{
	mkdir -p "$disk/e2e-node"
	cp "$bin"/{e2e_node.test,ginkgo} "$disk/e2e-node/"
	# the test looks for it beside itself
	ln -s /usr/bin/kubelet "$disk/e2e-node/kubelet"
}

main()
{
	local inputs=("$0" "$root/image/oci.sh" "$root/image/lib.sh" "$bin/e2e_node.test.stamp" "$sys.packages" "$busybox")
	"$root/vendor/make.sh" "$arch" busybox
	apt_unpack "$kernel_suite" "$sys" bash curl hostname nginx util-linux
	stamp_is "$out/conformance.img" "${inputs[@]}" && return 0
	kubernetes=$(module_dir)
	oci=$out/conformance.oci
	rm -rf "$oci" "$disk"
	mkdir -p "$oci"
	registry_start "$disk"
	pause_make
	agnhost_make
	nginx_make
	small_make
	programs
	registry_pack "$disk" "$out/conformance.img"
	rm -rf "$oci" "$disk"
	stamp_set "$out/conformance.img" "${inputs[@]}"
}

main
