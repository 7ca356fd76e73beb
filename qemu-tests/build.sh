#!/bin/bash
# Build the Go programs of the appliance and its tests into build/go/bin: the kubelet and the CNI plugins, which
# only change with go.mod, and the scenario program.
#
#   qemu-tests/build.sh
# shellcheck source=../image/lib.sh
. "$(dirname "$0")/../image/lib.sh"
# shellcheck source=kubernetes.sh
. "$root/qemu-tests/kubernetes.sh"
here=$root/qemu-tests
bin=$root/build/go/bin
export CGO_ENABLED=0 GOOS=linux GOARCH=$go_arch GOFLAGS=-buildvcs=false GOTOOLCHAIN=${GOTOOLCHAIN:-auto}

tools_build()
{
	stamp_is "$bin/kubelet" "$here/go.mod" "$here/go.sum" "$go_arch" && return 0
	(cd "$here" && nice go build -p 2 -trimpath -ldflags "$(kubernetes_ldflags "$(kubernetes_version go.mod)")" \
		-o "$bin/" tool)
	stamp_set "$bin/kubelet" "$here/go.mod" "$here/go.sum" "$go_arch"
}

scenario_build()
{
	(cd "$here" && go build -trimpath -ldflags "-s -w" -o "$bin/" ./cmd/...)
}

# The kernel's form of the SELinux policy of the CRI tests (version 33: Linux 5.8).
selinux_build()
{
	"$here/cri/selinux.sh" >"$bin/selinux.cil"
	secilc -c 33 -N -f /dev/null -o "$bin/selinux.policy" "$bin/selinux.cil"
}

mkdir -p "$bin"
tools_build
selinux_build
scenario_build
