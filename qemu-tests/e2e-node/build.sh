#!/bin/bash
# Build Kubernetes' node tests and the programs of their images into build/go/e2e-node, all from the module that
# go.mod pins: the version of the appliance's kubelet. Takes minutes, once.
#
#   qemu-tests/e2e-node/build.sh
# shellcheck source=../../image/lib.sh
. "$(dirname "$0")/../../image/lib.sh"
here=$root/qemu-tests/e2e-node
bin=$root/build/go/e2e-node
export CGO_ENABLED=0 GOOS=linux GOARCH=$go_arch GOFLAGS=-buildvcs=false GOTOOLCHAIN=${GOTOOLCHAIN:-auto}

# report.go must be part of the test program. go lays nothing over its module cache; so the smallest module that only the tests
# import is used from a copy, which gets that file.
module_copy()
{
	local name=k8s.io/system-validators copy=$bin/system-validators
	rm -rf "$copy"
	cp -r "$(go list -m -f '{{.Dir}}' $name)" "$copy"
	chmod -R u+w "$copy"
	cp "$here/report.go" "$copy/validators/crisp_report.go"
	cp go.mod go.sum "$bin/"
	go mod edit -replace "$name=$copy" "$bin/go.mod"
}

main()
{
	local inputs=("$here" "$go_arch")
	stamp_is "$bin/e2e_node.test" "${inputs[@]}" && return 0
	mkdir -p "$bin"
	cd "$here"
	# the images' programs, and ginkgo, which runs a test program's specs in several processes
	nice go build -p 2 -trimpath -ldflags '-s -w' -o "$bin/" tool
	module_copy
	# -mod=mod: the copy imports what its own go.mod does not name
	GOFLAGS+=' -mod=mod' nice go test -c -vet=off -p 2 -trimpath -ldflags '-s -w' -modfile "$bin/go.mod" \
		-o "$bin/e2e_node.test" k8s.io/kubernetes/test/e2e_node
	stamp_set "$bin/e2e_node.test" "${inputs[@]}"
}

main
