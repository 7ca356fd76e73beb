#!/bin/bash
# Build the OCI runtime validation suite (github.com/opencontainers/runtime-tools, the version go.mod pins) into
# build/go/oci/tree, to be laid over the root (qemu-tests/run.sh --over …): `validation`, one program for all its tests, and what they expect beside them. Each test is a program of
# its own there; here its package gets a name, so that they share one binary: 60 would not fit the image.
#
#   qemu-tests/oci/build.sh
# shellcheck source=../../image/lib.sh
. "$(dirname "$0")/../../image/lib.sh"
here=$root/qemu-tests/oci
work=$root/build/go/oci/source
to=$root/build/go/oci/tree/usr/libexec/crisp-tests/oci
module=github.com/opencontainers/runtime-tools
# shellcheck disable=SC2154
export CGO_ENABLED=0 GOOS=linux GOARCH=$go_arch GOFLAGS=-buildvcs=false GOTOOLCHAIN=${GOTOOLCHAIN:-auto}

sources_make()
{
	local from=$1 dir name names=()
	rm -rf "$work"
	mkdir -p "$work"
	cp "$here"/{go.mod,go.sum,main.go,known.go} "$work/"
	for dir in "$from"/validation/*/; do
		name=$(basename "$dir")
		[ "$name" != util ] || continue
		mkdir "$work/$name"
		sed -e "s/^package main\$/package t_$name/" -e 's/^func main() {$/func Main() {/' \
			"$dir$name.go" >"$work/$name/$name.go"
		names+=("$name")
	done
	{
		echo "package main"
		echo "import ("
		# shellcheck disable=SC2046
		printf '\tt_%s "crisp.dev/oci-validation/%s"\n' $(for name in "${names[@]}"; do echo "$name" "$name"; done)
		echo ")"
		echo "func init() {"
		# shellcheck disable=SC2016
		for name in "${names[@]}"; do
			printf '\ttests["%s"] = t_%s.Main\n' "$name" "$name"
		done
		echo "}"
	} >"$work/tests.go"
}

main()
{
	local from stamp=$root/build/go/oci/validation
	stamp_is "$stamp" "$here" "$go_arch" && return 0
	from=$(cd "$here" && go list -m -f '{{.Dir}}' "$module" 2>/dev/null)
	[ -d "$from" ] || from=$(cd "$here" && go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	sources_make "$from"
	mkdir -p "$to"
	(cd "$work" && go build -trimpath -ldflags "-s -w" -o "$to/validation" . &&
		go build -trimpath -ldflags "-s -w" -o "$to/runtimetest" "$module/cmd/runtimetest")
	# the archive of a busybox and a shell's tools that the containers run in
	install -m 644 "$from/rootfs-amd64.tar.gz" "$to/rootfs-$go_arch.tar.gz"
	rm -rf "$work"
	touch "$stamp"
	stamp_set "$stamp" "$here" "$go_arch"
}

main
