#!/bin/bash
# Boot the appliance in QEMU and run a scenario in it; its output comes here, its exit code is ours.
#
#   qemu-tests/run.sh [OPTION]... SCENARIO[,SCENARIO]...
#   qemu-tests/run.sh --interactive
#
#   --runtime NAME    crisp (default) or containerd
#   --timeout SEC     end the machine after that time (default 1800)
#   --memory MIB      3072
#   --state FILE      keep the state partition in FILE; default: a new one, thrown away. Also what QEMU calls a disk
#                     elsewhere: nbd+unix:///?socket=PATH
#   --pidfile FILE    QEMU's process ID, for who wants to end it
#   --name NAME       the console's log is build/appliance/NAME.console (default: the scenario's name)
#   --registry FILE   the registry's disk: build/appliance/registry.img
#   --disk NAME=FILE  a further verified disk of the image, found as NAME; FILE.cmdline vouches for it
#   --over DIR        lay DIR's tree over the root file system, for this run
#   --dev             lay today's crisp and test programs (make; qemu-tests/build.sh) over it: no new root image
#   --systemd         systemd as PID 1 (image/systemd-root.sh makes it), and crisp with its cgroup driver
#   --append WORDS    more words for the kernel's command line
#
# The machine has no network card. The scenario is /usr/libexec/crisp-tests/scenario in the image; its standard output
# is a virtio-serial port.
# shellcheck source=../image/lib.sh
. "$(dirname "$0")/../image/lib.sh"

runtime=crisp timeout=1800 memory=3072 state='' name='' append='' interactive='' scenario='' over='' dev='' systemd='' pidfile='' registry=$out/registry.img disk=''
cpus=${CRISP_CPUS:-2}
state_size=6G
tcg='-accel tcg,thread=multi,tb-size=512'

usage()
{
	sed -n '2,/^# shellcheck/s/^# \{0,1\}//p' "$0" | sed '$d' >&2
	exit 2
}

arguments()
{
	while [ $# -gt 0 ]; do
		case $1 in
		--runtime) runtime=$2; shift ;;
		--timeout) timeout=$2; shift ;;
		--memory) memory=$2; shift ;;
		--state) state=$2; shift ;;
		--name) name=$2; shift ;;
		--pidfile) pidfile=$2; shift ;;
		--append) append=$2; shift ;;
		--registry) registry=$2; shift ;;
		--disk) disk=$2; shift ;;
		--over) over=$2; shift ;;
		--dev) dev=yes ;;
		--systemd) systemd=yes ;;
		--interactive) interactive=yes ;;
		-*) usage ;;
		*) scenario=$1 ;;
		esac
		shift
	done
	[ -n "$scenario$interactive" ] || usage
	[ -n "$name" ] || name=${scenario%%,*}
	[ -n "$name" ] || name=interactive
}

# KVM only where it works: a /dev/kvm that is there may still be of no use. Asked once a kernel.
accelerator()
{
	local answer=$out/accelerator
	# shellcheck disable=SC2154
	if [ "${CRISP_ACCEL:-}" = tcg ] || [ ! -w /dev/kvm ] || [ "$arch" != "$(uname -m)" ]; then
		echo "$qemu_machine $tcg"
		return 0
	fi
	if [ ! "$answer" -nt "$out/kernel.version" ]; then
		if kvm_runs; then
			echo "$qemu_machine_kvm -accel kvm" >"$answer"
		else
			echo "$qemu_machine $tcg" >"$answer"
		fi
	fi
	cat "$answer"
}

# A few seconds of real work: the kernel must get as far as our init, which stops the machine for lack of a root.
kvm_runs()
{
	# shellcheck disable=SC2154,SC2086
	timeout 10 $qemu $qemu_machine_kvm -accel kvm -m 512 -nic none -display none -nodefaults -no-reboot \
		-kernel "$out/vmlinuz" -initrd "$out/initramfs.cpio.zst" -append "${kernel_cmdline%% *}" \
		-serial stdio 2>/dev/null </dev/null | grep -q 'only a verified'
}

# The initramfs, and in front of it what is laid over the root (initramfs/early.c): archives can follow each other.
initrd_make()
{
	local work=$1 tree=$1/tree/overlay
	[ -n "$over$dev$systemd" ] || { echo "$out/initramfs.cpio.zst"; return 0; }
	mkdir -p "$tree"/usr/{bin,libexec/crisp-tests}
	if [ -n "$dev" ]; then
		cp "$root/build/$arch/crisp" "$tree/usr/bin/"
		cp "$root"/build/go/bin/{scenario,critests} "$out/payload" "$tree/usr/libexec/crisp-tests/"
		[ ! -e "$root/build/other/crisp" ] || cp "$root/build/other/crisp" "$tree/usr/libexec/crisp-tests/crisp-other"
		[ ! -e "$root/build/go/bin/selinux.policy" ] ||
			cp "$root/build/go/bin/selinux.policy" "$tree/usr/libexec/crisp-tests/"
	fi
	if [ -n "$systemd" ]; then
		mkdir -p "$tree/usr/sbin"
		cp "$out/init" "$tree/usr/sbin/"
		cp -a "$out/systemd.root/." "$tree/"
	fi
	[ -z "$over" ] || cp -a "$over/." "$tree/"
	(cd "$work/tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/initrd"
	cat "$out/initramfs.cpio.zst" >>"$work/initrd"
	rm -rf "$work/tree"
	echo "$work/initrd"
}

machine_start()
{
	local work=$1 words accel initrd cache=writeback
	shift
	words="$(cat "$out/cmdline") crisp.runtime=$runtime loglevel=4 $append"
	[ -z "$scenario" ] || words+=" crisp.scenario=$scenario"
	[ -z "$interactive" ] || words+=" crisp.interactive=yes"
	[ -z "$systemd" ] || words+=" crisp.init=/usr/lib/systemd/systemd"
	# what is thrown away need not reach the host's disk
	[ -n "$state" ] || { state=$work/state; cache=unsafe; }
	[[ $state == nbd* ]] || [ -e "$state" ] || truncate -s "$state_size" "$state"
	accel=$(accelerator)
	initrd=$(initrd_make "$work")
	if [ -n "$disk" ]; then
		words+=" $(cat "${disk#*=}.cmdline")"
		set -- "$@" -drive "if=none,id=disk,format=raw,readonly=on,file=${disk#*=}" \
			-device "virtio-blk-pci,drive=disk,serial=${disk%%=*}"
	fi
	# shellcheck disable=SC2086 # lists of words
	timeout --foreground --kill-after=10 "$timeout" \
		$qemu $accel -smp "$cpus" -m "$memory" -nic none -display none -nodefaults -no-reboot \
		-kernel "$out/vmlinuz" -initrd "$initrd" -append "$words" \
		-drive "if=none,id=root,format=raw,readonly=on,file=$out/root.img" \
		-device virtio-blk-pci,drive=root,serial=crisp-root \
		-drive "if=none,id=state,format=raw,discard=unmap,cache=$cache,file=$state" \
		-device virtio-blk-pci,drive=state,serial=crisp-state \
		-drive "if=none,id=registry,format=raw,readonly=on,file=$registry" \
		-device virtio-blk-pci,drive=registry,serial=crisp-registry \
		-device virtio-rng-pci -device virtio-serial-pci -pidfile "$pidfile" "$@"
}

# Who is told to end takes QEMU along; a trap is heard only between commands, so QEMU runs beside.
machine_end()
{
	[ ! -e "$pidfile" ] || kill "$(cat "$pidfile")"
	exit 143
}

# The scenario's output, but for the last line, which says how it ended.
machine_run()
{
	local work=$1 code
	trap machine_end TERM INT HUP
	machine_start "$work" -serial "file:$console" -chardev file,id=port,path=/dev/stdout \
		-device virtserialport,chardev=port,name=crisp.scenario </dev/null |
		tee "$work/output" | sed -u '/^crisp-exit: /d' &
	wait $! || true
	code=$(sed -n 's/^crisp-exit: \([0-9]*\).*/\1/p' "$work/output" | tail -n 1)
	[ -n "$code" ] || {
		echo "run.sh: the machine ended without a word of how (timeout ${timeout} s?); last of its console:" >&2
		tail -n 25 "$console" >&2
		return 125
	}
	return "$code"
}

main()
{
	local code=0
	arguments "$@"
	console=$out/$name.console
	work=$(mktemp -d "$out/machine.XXXXXX")
	[ -n "$pidfile" ] || pidfile=$work/pid
	trap 'rm -rf "$work"' EXIT
	if [ -n "$interactive" ]; then
		machine_start "$work" -serial mon:stdio || code=$?
	else
		machine_run "$work" || code=$?
		# QEMU's emulation on several threads has been seen to corrupt a guest's flags (a double fault), and to run an
		# instruction while the guest's kernel patches it (an int3 that nobody handles). A second one is no accident.
		if [ "$code" = 125 ] && [ -z "$state" ] && grep -qE 'PANIC: double fault|Oops: int3' "$console"; then
			echo "run.sh: the emulated kernel died of its emulation; once more in a new machine" >&2
			mv "$console" "$console.panic"
			rm -f "$work/state"
			code=0
			machine_run "$work" || code=$?
		fi
	fi
	return "$code"
}

main "$@"
