# shellcheck shell=bash
# What the appliance's build scripts share. Sourced; sets root, the board's variables and out.
set -euo pipefail

root=${root:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
board=${BOARD:-qemu-x86_64}
out=$root/build/appliance

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

[ -e "$root/board/$board/board.conf" ] || die "there is no board/$board"
# shellcheck source=../board/qemu-x86_64/board.conf
. "$root/board/$board/board.conf"
# Debian's name for what we call aarch64 is arm64; Go's names are Debian's.
# shellcheck disable=SC2034
go_arch=$deb_arch
# shellcheck source=apt.sh
. "$root/image/apt.sh"
mkdir -p "$out"

# File times in everything that we make: reproducible images.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}

# stamp_is FILE INPUT...: whether FILE is there and was made from these very inputs (files or words).
stamp_of()
{
	local input
	for input; do
		if [ -d "$input" ]; then
			find "$input" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
		elif [ -f "$input" ]; then
			sha256sum "$input"
		else
			echo "$input"
		fi
	done | sha256sum | cut -d' ' -f1
}

stamp_is()
{
	local file=$1
	shift
	[ -e "$file" ] && [ -e "$file.stamp" ] && [ "$(cat "$file.stamp")" = "$(stamp_of "$@")" ]
}

stamp_set()
{
	local file=$1
	shift
	stamp_of "$@" >"$file.stamp"
}

# uuid_of TEXT: always the same one for the same text (RFC 9562, version 8).
uuid_of()
{
	printf %s "$1" | sha256sum |
		sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-8\3-8\4-\5/'
}

# verity_append FILE KEY: a dm-verity tree behind the file's data; prints the kernel's words that vouch for them (initramfs/verity.c).
# The salt comes from the content: no two images share one, and the same image always has the same.
verity_append()
{
	local size salt hash
	size=$(stat -c %s "$1")
	salt=$(sha256sum "$1" | cut -d' ' -f1)
	hash=$(veritysetup format --salt="$salt" --uuid="$(uuid_of "$salt")" \
		--hash-offset="$size" --data-blocks=$((size / 4096)) "$1" "$1" |
		sed -n 's/^Root hash:[[:space:]]*//p')
	[ -n "$hash" ] || die "veritysetup gave no root hash for $1"
	echo "$2.roothash=$hash $2.hashoffset=$size"
}

# copy_with_libs SYSROOT ROOT FILE: a binary of the sysroot and the shared libraries that it names.
copy_with_libs()
{
	local sys=$1 to=$2 file=$3 lib path
	[ -e "$to/$file" ] && return 0
	install -D -m "$(stat -c %a "$sys/$file")" "$sys/$file" "$to/$file"
	# the interpreter stands at the very path that the binary has
	path=$(readelf -l "$sys/$file" 2>/dev/null | sed -n 's/.*interpreter: \/\([^]]*\)\]/\1/p')
	[ -z "$path" ] || [ -e "$to/$path" ] || install -D -m 755 "$sys/$path" "$to/$path"
	for lib in $(readelf -d "$sys/$file" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
		path=$(cd "$sys" && find usr/lib usr/lib64 -name "$lib" | head -n 1)
		[ -n "$path" ] || die "$file needs $lib, which none of the packages has"
		copy_with_libs "$sys" "$to" "$path"
	done
}
