#!/bin/bash
# Build the programs of a cluster that kubeadm makes into build/go/kubeadm: kubeadm, kubectl, etcd, those of the control plane,
# kube-proxy, CoreDNS, metrics-server and the tests' CSI driver. Takes minutes, once.
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

# addon_build NAME MODULE PACKAGE: what runs in pods of the cluster, from a module of its own.
addon_build()
{
	stamp_is "$bin/$1" "$here/$2" "$go_arch" && return 0
	(cd "$here/$2" && nice go build -p 2 -trimpath -ldflags '-s -w' -o "$bin/$1" "$3")
	stamp_set "$bin/$1" "$here/$2" "$go_arch"
}

mkdir -p "$bin"
programs_build
addon_build coredns coredns .
addon_build metrics-server metrics sigs.k8s.io/metrics-server/cmd/metrics-server
addon_build csi csi .
