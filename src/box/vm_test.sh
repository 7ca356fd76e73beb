#!/bin/bash
# Runs this room's tests in QEMU, on the appliance's kernel (6.12, cgroup v2): static programs in an initramfs with busybox.
# usage: vm_test.sh [TEST PROGRAM...]   (default: all of src/box/*_test.c; `-o NAME` before them picks tests by substring)
# Needs: the product built once (its objects and compiler), build/appliance/vmlinuz or VMLINUZ, qemu-system-x86_64,
# a static busybox.
set -eu
cd "$(dirname "$0")/../.."
only=
[ "${1:-}" != -o ] || { only=$2; shift 2; }
[ $# -gt 0 ] || set -- src/box/*_test.c
kernel=${VMLINUZ:-build/appliance/vmlinuz}
busybox=$(command -v busybox)
work=$(mktemp -d "${TMPDIR:-/tmp}/crisp-vm-XXXXXX")
trap 'rm -rf "$work"' EXIT
[ -f "$kernel" ] || { echo "no kernel at $kernel: build the appliance first, or set VMLINUZ" >&2; exit 1; }

cc=build/vendor/x86_64/bin/crisp-cc
objects=()
for room in base sys wire spec box; do
	for source in src/"$room"/*.c; do
		case $source in *_test.c | *_fuzz.c | *_double.c | *_aarch64.c) continue ;; esac
		objects+=("build/x86_64/obj/$room/$(basename "$source" .c).o")
	done
done
make -s "${objects[@]}" build/x86_64/obj/gen/api.pb-c.o

mkdir -p "$work"/root/{bin,proc,sys,dev,tmp,tests}
cp "$busybox" "$work/root/bin/busybox"
"$busybox" --list | grep -vx busybox | while read -r applet; do ln -s busybox "$work/root/bin/$applet"; done
for source in "$@"; do
	name=$(basename "$source" .c)
	$cc -std=gnu17 -D_GNU_SOURCE -DCRISP_VERSION='"test"' -DCRISP_BUILD_TIME=0 -Isrc -Ibuild/gen -Ibuild/vendor -Os -g \
		-o "$work/root/tests/$name" "src/box/$name.c" "${objects[@]}" build/x86_64/obj/gen/api.pb-c.o \
		-lmbedtls -lmbedx509 -lmbedcrypto -lnghttp2 -lprotobuf-c -lyyjson -lisal -lzstd -lseccomp -lcap
	strip "$work/root/tests/$name"
done
cat >"$work/root/init" <<INIT
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp; mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts
# pivot_root(2) does not work from the initramfs' own root.
mkdir /tmp/root; mount -t tmpfs root /tmp/root; cp -a /bin /tests /tmp/root
mkdir -p /tmp/root/proc /tmp/root/sys /tmp/root/dev /tmp/root/tmp /tmp/root/etc
exec switch_root /tmp/root /bin/sh -c '
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; mount -t cgroup2 cgroup2 /sys/fs/cgroup
uname -r
for t in /tests/*; do echo "== \${t##*/}"; \$t $only; echo "== status \$?"; done
echo "== end"; poweroff -f'
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/initrd"
# One thread: with several, QEMU 7.2 may run an instruction that the kernel is patching (the first cpu.max turns a static
# key), and the kernel dies of an int3 that nobody handles.
timeout "${VM_TIMEOUT:-900}" qemu-system-x86_64 -accel tcg,thread=single -smp 2 -m 1024 -nic none -display none -no-reboot \
	-serial stdio -monitor none -kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS0 quiet panic=-1 psi=1" </dev/null | tr -d '\r' | tee "$work/console"
grep -q '^== end' "$work/console" || { echo "the machine did not get to the end" >&2; exit 1; }
printf '%d passed, %d failed, %d skipped\n' "$(grep -c '^ok ' "$work/console")" "$(grep -c '^FAILED ' "$work/console")" \
	"$(grep -c '^skipped ' "$work/console")"
! grep -q -e '^FAILED ' -e '^== status [^0]' "$work/console"
