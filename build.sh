#!/bin/bash
# The one command of the repository.
#
#   ./build.sh deps           install what the build needs (Debian 12 or 13, as root or with sudo)
#   ./build.sh build          fetch and build the pinned parts, then crisp: build/x86_64/crisp
#   ./build.sh image          the appliance: kernel, initramfs, verified root, the tests' registry
#   ./build.sh demo           boot the appliance in QEMU and run real pods in it; --interactive leaves a console
#   ./build.sh demo --kubeadm boot it with kubeadm's programs and a baked control plane: kubeadm init, then a table of checks
#   ./build.sh test           everything: unit tests, fuzz targets, checks of the source, the appliance's tests
#   ./build.sh conformance    Kubernetes' own node tests (hours, emulated): stop it, and the same command goes on;
#                             --focus REGEXP, --again, --fresh, --shard I/N, --minutes N, --list, --help
#   ./build.sh compare [PATTERN]    the CRI tests (all: hours) on crisp and on containerd with runc: one table; --list, --help
#   ./build.sh survival       power cuts under load, unflushed disk caches lost: [--cuts N] (20), [--seed N] to have the same again
#   ./build.sh bench          measure crisp beside containerd with runc and with crun, in one machine, turn by turn, and the
#                             stages of a pull natively: build/bench has results, table and pictures; --quick, --native, --help
#   ./build.sh fuzz [SECONDS]       run every fuzz target for that long (300)
#   ./build.sh clean          remove what was built; downloads and third-party parts stay
#
# Each verb does what it needs first. Options of qemu-tests/run.sh may follow demo.
set -euo pipefail
cd "$(dirname "$0")"
root=$PWD
toolchain=$root/build/go/toolchain
log=$root/build/log
fuzz_in_test=4
# of the checks in qemu-tests/kubeadm; all take a quarter of an hour
cluster_in_test='^(a-Deployment|its-Service|ConfigMap|in-place|kubectl-exec|kubectl-port|a-CSI)'

die()
{
	echo "build.sh: $*" >&2
	exit 1
}

seconds()
{
	date +%s.%N
}

say_end()
{
	local word='done'
	[ "$2" = 0 ] || word="FAILED ($2)"
	printf '==> %s: %s, %.1f s\n' "$1" "$word" "$(echo "$(seconds) $3" | awk '{ print $1 - $2 }')"
}

# step TITLE COMMAND...: says what is done and how long it took; a failed step ends the run.
step()
{
	local title=$1 began code=0
	shift
	began=$(seconds)
	echo "==> $title"
	# not in a condition: there `set -e` would not hold inside of the command
	set +e
	(set -e; "$@")
	code=$?
	set -e
	say_end "$title" "$code" "$began"
	[ "$code" = 0 ] || exit "$code"
}

# ---- what the build needs ------------------------------------------------------------------------

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

packages_wanted()
{
	sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' vendor/packages image/packages | sort -u
}

packages_missing()
{
	local package
	for package in $(packages_wanted); do
		[ "$package" = golang-go ] && command -v go >/dev/null && continue
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed' ||
			echo "$package"
	done
}

packages_install()
{
	local missing
	missing=$(packages_missing)
	[ -n "$missing" ] || return 0
	echo "    missing: $(echo "$missing" | tr '\n' ' ')"
	as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
		>"$log/deps.log" 2>&1 || { tail -n 20 "$log/deps.log" >&2; return 1; }
}

go_wanted()
{
	find qemu-tests -name go.mod -exec sed -n 's/^go //p' {} + | sort -V | tail -n 1
}

# A Go that is old can still fetch a newer one, as a module; one that is not there is none of ours.
go_install()
{
	local wanted version dir
	wanted=$(go_wanted)
	version=$(go env GOVERSION | sed 's/^go//')
	[ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" != "$wanted" ] || return 0
	[ ! -x "$toolchain/bin/go" ] || return 0
	version=v0.0.1-go$wanted.linux-$(dpkg --print-architecture)
	echo "    go $(go env GOVERSION) is older than $wanted: fetching golang.org/toolchain $version"
	mkdir -p build/go/fetch
	(cd build/go/fetch && echo 'module fetch' >go.mod &&
		GOTOOLCHAIN=local GOFLAGS=-modcacherw GOMODCACHE=$PWD/mod go mod download "golang.org/toolchain@$version")
	dir=build/go/fetch/mod/golang.org/toolchain@$version
	# the module's archive has no execute bits
	chmod -R u+w,+X "$dir"
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
	mv "$dir" "$toolchain"
	rm -rf build/go/fetch
}

go_use()
{
	[ ! -x "$toolchain/bin/go" ] || PATH=$toolchain/bin:$PATH
	export PATH GOTOOLCHAIN=local
}

deps_ready=

verb_deps()
{
	[ -z "$deps_ready" ] || return 0
	deps_ready=yes
	mkdir -p "$log"
	step "packages of the build host" packages_install
	step "go toolchain" go_install
	go_use
}

# ---- build ---------------------------------------------------------------------------------------

verb_build()
{
	verb_deps
	step "third-party parts for crisp" vendor/make.sh x86_64
	step "crisp" make --no-print-directory -j2
	ls -l build/x86_64/crisp
}

# Kubernetes' programs take minutes, and other steps wait for the network: they are built beside them, the kubelet first.
go_begin()
{
	rm -f "$log"/go-{kubelet,kubeadm,e2e-node}.code
	(go_part kubelet qemu-tests/build.sh; go_part kubeadm qemu-tests/kubeadm/build.sh
		go_part e2e-node qemu-tests/e2e-node/build.sh) &
}

go_part()
{
	local name=$1 code=0
	shift
	"$@" >"$log/go-$name.log" 2>&1 || code=$?
	echo $code >"$log/go-$name.code"
}

go_end()
{
	while [ ! -e "$log/go-$1.code" ]; do
		sleep 1
	done
	[ "$(cat "$log/go-$1.code")" = 0 ] || { tail -n 20 "$log/go-$1.log" >&2; return 1; }
}

image_parts()
{
	step "kernel" image/kernel.sh
	step "initramfs" initramfs/build.sh
	step "test images, pushed into a registry" image/test-images.sh
}

image_root()
{
	step "crisp as another version, for tests of updates" make --no-print-directory -j2 other
	step "root file system with its dm-verity tree" image/root.sh
	echo "    kernel $(cat build/appliance/kernel.version), root $(du -h build/appliance/root.img | cut -f1)"
}

verb_image()
{
	verb_deps
	step "kubelet, CNI plugins and test programs" qemu-tests/build.sh
	verb_build
	image_parts
	image_root
}

# ---- run -----------------------------------------------------------------------------------------

verb_demo()
{
	verb_image
	case "${1:-}" in
	--interactive)
		echo "==> the console: the pods' node, with crisp's client and toybox; 'poweroff' ends it"
		qemu-tests/run.sh "$@"
		;;
	--kubeadm)
		shift
		kubeadm_parts
		step "demo: a cluster made by kubeadm, unplugged" kubeadm_run "$@"
		;;
	*)
		step "demo: pods on a real kubelet" qemu-tests/run.sh --timeout 1500 "$@" demo
		;;
	esac
}

# The programs of a cluster, and the disk with the images that are baked from them.
kubeadm_parts()
{
	step "kubeadm, etcd, the control plane, CoreDNS" qemu-tests/kubeadm/build.sh
	step "their images, baked into a verified disk" image/kubeadm.sh
}

kubeadm_run()
{
	qemu-tests/run.sh --memory 5120 --timeout 5400 --over build/appliance/kubeadm.tree \
		--disk crisp-kubeadm=build/appliance/kubeadm.img "$@" kubeadm
}

# The tests of Kubernetes, the disk with their images, and the program that runs them.
conformance_parts()
{
	step "Kubernetes' node tests" qemu-tests/e2e-node/build.sh
	step "their images, in a registry" image/conformance.sh
	step "the program that runs them" conformance_program
}

conformance_program()
{
	(cd qemu-tests && GOFLAGS=-buildvcs=false go build -o "$root/build/go/host/conformance" ./conformance/host)
}

verb_conformance()
{
	verb_image
	conformance_parts
	build/go/host/conformance "$@"
}

survival_program()
{
	(cd qemu-tests && GOFLAGS=-buildvcs=false go build -o "$root/build/go/host/survival" ./survival/host)
}

verb_survival()
{
	verb_image
	step "the program that cuts the power" survival_program
	build/go/host/survival "$@"
}

# Linked with the product's own objects: what is measured is what is shipped.
bench_programs()
{
	local obj=build/x86_64/obj
	(cd qemu-tests && GOFLAGS=-buildvcs=false go build -o "$root/build/go/host/bench" ./bench/host)
	build/vendor/x86_64/bin/crisp-cc -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -Isrc -Ibuild/gen -Ibuild/vendor \
		-Wl,--gc-sections -o build/go/host/stages qemu-tests/bench/stages/stages.c \
		"$obj"/{base,sys,wire,store,image}/*.o "$obj"/gen/*.o \
		-lmbedtls -lmbedx509 -lmbedcrypto -lnghttp2 -lprotobuf-c -lyyjson -lyaml -lisal -lzstd -lseccomp -lcap
}

verb_bench()
{
	verb_image
	step "the disk to pull from" image/bench.sh
	step "the programs that measure natively and report" bench_programs
	build/go/host/bench "$@"
}

verb_compare()
{
	verb_image
	step "the program that puts two runtimes side by side" compare_program
	build/go/host/compare "$@"
}

compare_program()
{
	(cd qemu-tests && GOFLAGS=-buildvcs=false go build -o "$root/build/go/host/compare" ./cri/compare)
}

verb_fuzz()
{
	verb_deps
	step "third-party parts for native tests" vendor/make.sh native
	step "fuzz targets, ${1:-300} s each" make --no-print-directory -j2 fuzz "FUZZ_SECONDS=${1:-300}"
}

verb_clean()
{
	rm -rf build/x86_64 build/other build/native build/fuzz build/log build/appliance
}

# ---- test ----------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0

# Adds up the lines 'N passed, N failed[, N skipped]' of a suite; one that failed without a count of failures counts as one.
tally()
{
	local file=$1 code=$2 p f s
	read -r p f s < <(sed -n 's/^\(.*: \)\?\([0-9]*\) passed, \([0-9]*\) failed\(, \([0-9]*\) skipped\)\?.*$/\2 \3 0\5/p' \
		"$file" | awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
	[ "$code" = 0 ] || [ "$f" -gt 0 ] || f=1
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# suite TITLE COMMAND...: goes on after a failure, and counts it. What it says goes to the terminal and to a file.
suite()
{
	local title=$1 file began code=0
	shift
	file=$log/$(echo "$title" | tr -c 'a-z0-9\n' -).log
	began=$(seconds)
	echo "==> $title"
	"$@" 2>&1 | tee "$file" || code=1
	tally "$file" "$code"
	say_end "$title" "$code" "$began"
}

# A check without a count of its own is one test.
check()
{
	local title=$1 code=0
	shift
	"$@" || code=$?
	if [ "$code" = 0 ]; then
		echo "$title: 1 passed, 0 failed"
	else
		echo "$title: 0 passed, 1 failed"
	fi
	return "$code"
}

verb_test()
{
	verb_deps
	go_begin
	step "third-party parts for crisp" vendor/make.sh x86_64
	step "third-party parts for native tests" vendor/make.sh native
	step "crisp" make --no-print-directory -j2
	suite "layers of the source" check layers make --no-print-directory layers
	suite "packages of the CRI tests, inventory of vulnerabilities" check "go test" env -C qemu-tests go test ./cri/... ./conformance/... ./powercut ./survival/...
	suite "unit tests" make --no-print-directory -j2 check
	suite "fuzz targets" make --no-print-directory -j2 fuzz "FUZZ_SECONDS=$fuzz_in_test"
	image_parts
	step "kubelet, CNI plugins and test programs" go_end kubelet
	image_root
	# one boot for both: the suite (qemu-tests/cri/cases/short.txt) first, the kubelet is started after it
	suite "the appliance: CRI tests, demo" qemu-tests/run.sh --timeout 3300 --name test --append crisp.short=yes critests,demo
	# boots of their own: the kernel runs with one of the two
	suite "the appliance: SELinux" qemu-tests/run.sh --timeout 900 --name selinux \
		--append 'lsm=landlock,lockdown,yama,selinux,bpf enforcing=1 crisp.cases=^(selinux/|apparmor/asked)' critests
	step "the OCI runtime validation suite" qemu-tests/oci/build.sh
	suite "the appliance: OCI runtime validation" qemu-tests/run.sh --timeout 1200 --name oci --over build/go/oci/tree oci
	suite "the appliance: containerd with crisp as its OCI runtime" qemu-tests/run.sh --timeout 1200 --name oci-containerd \
		--runtime containerd --append 'crisp.handler=crisp crisp.cases=^(containers|process)/' critests
	step "systemd as PID 1" image/systemd-root.sh
	suite "the appliance: systemd's cgroup driver" qemu-tests/run.sh --systemd --timeout 1200 --name systemd \
		--append 'crisp.cases=^(systemd|reload)/|^resources/(memory|cpu$|unified$|oom-[ks]|update)' critests
	step "kubeadm, etcd, the control plane, CoreDNS" go_end kubeadm
	step "their images, baked into a verified disk" image/kubeadm.sh
	suite "the appliance: a cluster made by kubeadm" kubeadm_run --timeout 1500 --append "crisp.cases=$cluster_in_test"
	step "Kubernetes' node tests" go_end e2e-node
	step "their images, in a registry" image/conformance.sh
	step "the program that runs them" conformance_program
	suite "the appliance: a selection of Kubernetes' node tests" build/go/host/conformance --short --minutes 25
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

usage()
{
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'
	exit "$1"
}

main()
{
	local verb=${1:-help}
	shift || true
	case $verb in
	deps | build | image | demo | test | conformance | survival | compare | bench | fuzz | clean) "verb_$verb" "$@" ;;
	help | --help | -h) usage 0 ;;
	*) usage 2 >&2 ;;
	esac
}

main "$@"
