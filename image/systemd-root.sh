#!/bin/bash
# Build what turns the appliance's root into a node with systemd as PID 1: build/appliance/systemd.root, a tree that
# qemu-tests/run.sh --systemd lays over it. systemd is Debian's, without udev, journald and dbus-daemon.
#
#   image/systemd-root.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

tree=$out/systemd.root
sysroot=$out/sysroot-systemd
programs="usr/lib/systemd/systemd usr/lib/systemd/systemd-executor usr/lib/systemd/systemd-shutdown
	usr/bin/systemctl usr/bin/systemd-run"
# What its own units and ours stand on.
units="basic.target sysinit.target sockets.target timers.target paths.target slices.target local-fs.target
	shutdown.target umount.target final.target poweroff.target reboot.target multi-user.target network.target
	systemd-poweroff.service systemd-reboot.service"

main()
{
	local file inputs=("$0" "$root/image/systemd" "$sysroot.packages")
	apt_unpack "$kernel_suite" "$sysroot" systemd
	stamp_is "$tree" "${inputs[@]}" && return 0
	rm -rf "$tree"
	mkdir -p "$tree"/usr/lib64 "$tree"/usr/lib/systemd/system
	ln -s usr/lib64 "$tree/lib64"
	for file in $programs; do
		copy_with_libs "$sysroot" "$tree" "$file"
	done
	for file in $units; do
		cp "$sysroot/usr/lib/systemd/system/$file" "$tree/usr/lib/systemd/system/"
	done
	# crisp.service among it, as a distribution installs it
	cp -r "$root/image/systemd/." "$tree/"
	stamp_set "$tree" "${inputs[@]}"
}

main
