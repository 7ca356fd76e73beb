#!/bin/bash
# Fetch the board's kernel (Debian's, found through the meta package: its version goes with the point
# releases) and unpack the modules: build/appliance/{vmlinuz,kernel.version,kernel/}.
#
#   image/kernel.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

kernel_find()
{
	apt_closure "$kernel_package" | sed -n 's/^\(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

# Modules come as .ko.xz; ours are read by finit_module as they are.
kernel_unpack()
{
	local dir=$1 version
	rm -rf "$out/kernel" "$out/kernel.tmp"
	mkdir -p "$out/kernel.tmp"
	apt_unpack_into "$out/kernel.tmp" "$dir"/linux-image-*.deb
	version=$(basename "$out"/kernel.tmp/boot/vmlinuz-*)
	version=${version#vmlinuz-}
	cp "$out/kernel.tmp/boot/vmlinuz-$version" "$out/vmlinuz"
	find "$out/kernel.tmp" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P 2 xz -d
	depmod -b "$out/kernel.tmp/usr" "$version" 2>/dev/null ||
		depmod -b "$out/kernel.tmp" "$version"
	mv "$out/kernel.tmp" "$out/kernel"
	echo "$version" >"$out/kernel.release"
}

main()
{
	local package
	if [ -e "$out/kernel.version" ] && [ -d "$out/kernel" ]; then
		return 0
	fi
	apt_use "$kernel_suite"
	package=$(kernel_find)
	[ -n "$package" ] || die "Debian $kernel_suite has no $kernel_package"
	# shellcheck disable=SC2053,SC2154 # the board gives a pattern
	[[ ${package#*=} == $kernel_wanted ]] || die "Debian has $package, the board wants $kernel_wanted"
	rm -rf "$out/kernel.debs"
	apt_download "$out/kernel.debs" "$package"
	unset APT_CONFIG
	kernel_unpack "$out/kernel.debs"
	rm -rf "$out/kernel.debs"
	echo "$package" >"$out/kernel.version"
}

main
