#!/bin/bash
# Compile the appliance's init and pack the initramfs:
# build/appliance/init (goes into the root image too) and build/appliance/initramfs.cpio.zst.
#
#   initramfs/build.sh
# shellcheck source=../image/lib.sh
. "$(dirname "$0")/../image/lib.sh"
# shellcheck source=../image/modules.sh
. "$root/image/modules.sh"
here=$root/initramfs

compile()
{
	local cc=$root/build/vendor/$arch/bin/crisp-cc
	[ -x "$cc" ] || die "there is no $cc: ./build.sh build makes it"
	stamp_is "$out/init" "$here" "$cc" && return 0
	"$cc" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Os -fstack-protector-strong \
		-ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-z,relro,-z,now \
		-s -o "$out/init" "$here"/*.c
	stamp_set "$out/init" "$here" "$cc"
}

pack()
{
	local dir=$out/initramfs.dir to=$out/initramfs.cpio.zst
	stamp_is "$to" "$out/init" "$out/kernel.version" "${modules_early:?}" "$0" && return 0
	rm -rf "$dir"
	mkdir -p "$dir"/{dev,proc,sys,root}
	install -m 755 "$out/init" "$dir/init"
	# shellcheck disable=SC2086 # a list of words
	modules_install "$dir/modules" $modules_early
	find "$dir" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$dir" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible) |
		zstd -q -19 -T1 -f -o "$to"
	rm -rf "$dir"
	stamp_set "$to" "$out/init" "$out/kernel.version" "$modules_early" "$0"
}

compile
pack
