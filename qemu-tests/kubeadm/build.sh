#!/bin/bash
# Build the programs of a cluster that kubeadm makes into build/go/kubeadm: kubeadm, kubectl, etcd, those of the control plane,
# kube-proxy and CoreDNS. Takes minutes, once.
#
#   qemu-tests/kubeadm/build.sh
# shellcheck source=../../image/lib.sh
. "$(dirname "$0")/../../image/lib.sh"
# shellcheck source=../kubernetes.sh
. "$root/qemu-tests/kubernetes.sh"
here=$root/qemu-tests/kubeadm
bin=$root/build/go/kubeadm
export CGO_ENABLED=0 GOOS=linux GOARCH=$go_arch GOFLAGS=-buildvcs=false GOTOOLCHAIN=${GOTOOLCHAIN:-auto}

programs_build()
{
	local version
	version=$(kubernetes_version "$here/programs/go.mod")
	stamp_is "$bin/kubeadm" "$here/programs" "$version" "$go_arch" && return 0
	(cd "$here/programs" &&
		nice go build -p 2 -trimpath -ldflags "$(kubernetes_ldflags "$version")" -o "$bin/" tool)
	# its package is etcd/server
	mv "$bin/server" "$bin/etcd"
	stamp_set "$bin/kubeadm" "$here/programs" "$version" "$go_arch"
}

coredns_build()
{
	stamp_is "$bin/coredns" "$here/coredns" "$go_arch" && return 0
	(cd "$here/coredns" && nice go build -p 2 -trimpath -ldflags '-s -w' -o "$bin/coredns" .)
	stamp_set "$bin/coredns" "$here/coredns" "$go_arch"
}

mkdir -p "$bin"
programs_build
coredns_build
