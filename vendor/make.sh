#!/bin/bash
# Build the third-party parts that crisp is linked with, from pinned upstream sources.
#
#   vendor/make.sh native           host compiler and glibc: what the unit tests link
#   vendor/make.sh x86_64|aarch64   musl, static-pie: what the product links
#   vendor/make.sh x86_64 PART      that, and a part that only some tests need (busybox)
#
# CROSS=prefix- names the cross compiler (default: none if the host is ARCH, else ARCH-linux-gnu-).
#
# Each part is one NAME.recipe beside this file: sourced bash that sets
#   version, targets (words of: native musl gen), from, file, sha256, uses (files that it reads), flags
# and defines build(), which runs in the unpacked source with CC, AR, CFLAGS, prefix, arch and kind set.
# A part is built once; its stamp holds a hash of everything that went in, so that it is rebuilt
# only when one of those changes. Downloads are kept in build/vendor/download.
set -euo pipefail
shopt -s nullglob

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
out=$root/build/vendor
gen=$root/build/gen
download=$out/download
jobs=${JOBS:-2}

# In order of need: a part may use what stands before it.
parts="linux-headers musl mbedtls protobuf-c libseccomp libcap nghttp2 yyjson libyaml isa-l zstd dash toybox cri-api"

die()
{
	echo "vendor: $*" >&2
	exit 1
}

# ---- sources -------------------------------------------------------------------------------

# An apt of our own: own lists, state and cache, the machine's mirror and its proxy settings.
# It never looks at what is installed and never changes it.
apt_setup()
{
	local dir=$download/apt mirror suite options
	export APT_CONFIG=
	[ -z "${apt_ready:-}" ] || { APT_CONFIG=$dir/apt.conf; return 0; }
	unset APT_CONFIG
	# shellcheck disable=SC2016 # apt's own variable
	mirror=$(apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' 2>/dev/null |
		sort -u | head -n 1)
	[ -n "$mirror" ] || die "this machine's apt knows no Debian mirror (run apt-get update?)"
	mkdir -p "$dir"/{lists/partial,cache/archives/partial,etc/parts}
	: >"$dir/status"
	{
		apt-config dump Acquire
		cat <<-CONF
		Dir::State "$dir";
		Dir::State::lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::main "$dir/etc/none";
		Dir::Etc::parts "$dir/etc/parts";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "$dir/etc/parts";
		Dir::Etc::preferencesparts "$dir/etc/parts";
		Dir::Etc::netrc "/etc/apt/auth.conf";
		Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
		Acquire::Languages "none";
		APT::Sandbox::User "root";
		CONF
	} >"$dir/apt.conf"
	# sid is the last resort for a tarball that trixie has dropped. Its index may be old on a lagging
	# mirror; the tarball's own sha256 is what we go by, so an expired index does no harm.
	options="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
	{
		echo "deb [$options] $mirror trixie main"
		for suite in trixie bookworm; do
			echo "deb-src [$options] $mirror $suite main"
		done
		echo "deb-src [$options check-valid-until=no] $mirror sid main"
	} >"$dir/sources.list"
	export APT_CONFIG=$dir/apt.conf
	# one suite that cannot be had is no reason to stop: find_source says what is missing
	apt-get update -qq >"$dir/update.log" 2>&1 || sed 's/^/vendor: apt: /' "$dir/update.log" >&2
	apt_ready=1
}

# The address of an upstream tarball, in whichever suite still has it.
find_source()
{
	local package=$1 file=$2 suite
	for suite in trixie sid bookworm; do
		apt-get source --print-uris --download-only "$package/$suite" 2>/dev/null |
			awk -v f="$file" '$2 == f && !n++ { gsub(/\x27/, "", $1); print $1 }' || true
	done | awk 'NR == 1'
}

fetch_debian_source()
{
	local package=$1 uri
	apt_setup
	uri=$(find_source "$package" "$file")
	[ -n "$uri" ] || die "$name: $file is in no suite of the mirror any more (source package $package);
vendor: $name: put the file into $download by other means, or move the recipe to the version that there is"
	/usr/lib/apt/apt-helper -qq download-file "$uri" "$download/$file.part" >/dev/null ||
		die "$name: cannot download $uri"
	mv "$download/$file.part" "$download/$file"
}

# The newest version of a binary package that fits the recipe's pattern, its hash checked by apt's
# signed index: for the one part whose version goes with Debian's point releases.
fetch_debian_binary()
{
	local package=$1 line
	apt_setup
	# the address, and a name that says the version
	line=$(apt-get download --print-uris "$package" 2>/dev/null | tr -d "'" |
		awk '{ sub(/^.*:/, "", $4); print $1, $2, $4 }')
	read -r uri deb hash <<<"$line" || true
	[ -n "${deb:-}" ] || die "$name: the mirror has no package $package"
	# shellcheck disable=SC2053 # the recipe gives a pattern
	[[ $deb == $file ]] || die "$name: the mirror has $deb, the recipe wants $file"
	/usr/lib/apt/apt-helper -qq download-file "$uri" "$download/$deb.part" >/dev/null ||
		die "$name: cannot download $uri"
	case ${#hash} in
	64) echo "$hash  $download/$deb.part" | sha256sum -c --quiet ;;
	128) echo "$hash  $download/$deb.part" | sha512sum -c --quiet ;;
	*) die "$name: apt gave no hash for $deb" ;;
	esac || die "$name: $deb is not what the signed index describes"
	mv "$download/$deb.part" "$download/$deb"
}

fetch_go_module()
{
	local module=$1 path=$2 dir
	command -v go >/dev/null || die "$name: go is needed to fetch $module"
	mkdir -p "$download/go"
	dir=$(cd "$download/go" && GOMODCACHE=$download/go GOFLAGS=-modcacherw GOWORK=off GO111MODULE=on \
		go mod download -json "$module" | awk -F'"' '$2 == "Dir" { print $4 }')
	[ -f "$dir/$path" ] || die "$name: $module has no $path"
	install -m 644 "$dir/$path" "$download/$file"
}

# fetch: leaves the part's source in $download and its path in $source
fetch()
{
	local have sum
	mkdir -p "$download"
	# shellcheck disable=SC2206 # the name may be a pattern
	have=("$download"/$file)
	if [ ${#have[@]} = 0 ] || [ ! -e "${have[0]}" ]; then
		# shellcheck disable=SC2086 # words
		"fetch_${from%% *}" ${from#* }
		# shellcheck disable=SC2206
		have=("$download"/$file)
	fi
	source=${have[-1]}
	[ "$sha256" != by-apt ] || return 0
	sum=$(sha256sum "$source")
	[ "${sum%% *}" = "$sha256" ] || die "$name: sha256 is ${sum%% *}, recipe says $sha256"
}

unpack()
{
	case $source in
	*.deb) dpkg-deb -x "$source" . ;;
	*.tar.*) tar -xf "$source" --strip-components=1 --no-same-owner ;;
	*) cp "$source" . ;;
	esac
}

# ---- helpers for recipes -------------------------------------------------------------------

# compile FLAGS FILE...: into obj/, after CFLAGS
compile()
{
	local opts=$1
	shift
	mkdir -p obj
	# shellcheck disable=SC2016 # the inner shell's variables
	printf '%s\0' "$@" | xargs -0 -P "$jobs" -I{} sh -c '
		o=obj/$(echo "$1" | tr / _).o
		case $1 in
		*.asm) exec $NASM $2 -o "$o" "$1" ;;
		*) exec $CC $CFLAGS $2 -c -o "$o" "$1" ;;
		esac' compile {} "$opts"
}

# archive LIB: what was compiled since the last one, into $prefix/lib/LIB
archive()
{
	rm -f "$prefix/lib/$1"
	"$AR" rcsD "$prefix/lib/$1" obj/*.o
	rm -rf obj
}

headers()
{
	local dir=$1
	shift
	mkdir -p "$prefix/include/$dir"
	install -m 644 "$@" "$prefix/include/$dir"
}

# ---- one part ------------------------------------------------------------------------------

recipe_load()
{
	name=$1 version='' targets='' from='' file='' sha256='' uses='' flags='' hidden=''
	unset -f build
	# shellcheck source=/dev/null
	. "$here/$name.recipe"
}

# Everything that decides what comes out. Links the parts before it in, for headers and libc.
recipe_hash()
{
	local f
	{
		echo "$target $arch $cross $hash_before $flags"
		"$HOSTCC" --version | head -n 1
		"${cross}gcc" --version | head -n 1
		for f in make.sh "$name.recipe" $uses; do
			cat "$here/$f"
		done
	} | sha256sum | cut -c 1-32
}

part_build()
(
	work=$prefix/work/$name
	rm -rf "$work"
	mkdir -p "$work" "$prefix"/{include,lib}
	cd "$work"
	unpack
	set -x
	build
)

part()
{
	local stamp hash start wanted=$kind log
	recipe_load "$1"
	case " $targets " in
	*" gen "*) wanted=gen ;;
	*" $kind "*) ;;
	*) return 0 ;;
	esac
	if [ "$wanted" = gen ]; then
		stamp=$out/stamp/$name
		hash=$(target=gen arch='' cross='' hash_before='' recipe_hash)
	else
		stamp=$prefix/stamp/$name
		hash=$(recipe_hash)
		case $name in
		linux-headers | musl) hash_before=$hash ;;
		esac
	fi
	[ "$(cat "$stamp" 2>/dev/null)" != "$hash" ] || return 0
	start=$SECONDS
	log=$out/log/$target-$name
	mkdir -p "${stamp%/*}" "$out/log"
	fetch
	rm -f "$stamp"
	CFLAGS="$cflags $flags"
	export CFLAGS
	# in the background, because `if ! part_build` would switch off its set -e
	part_build >"$log" 2>&1 &
	if ! wait $!; then
		tail -n 20 "$log" >&2
		die "$name: failed for $target; all of it is in $log"
	fi
	rm -rf "$prefix/work/$name"
	echo "$hash" >"$stamp"
	printf 'vendor: %-7s %-14s %-10s %3d s\n' "$target" "$name" "$version" $((SECONDS - start))
}

# What `crisp version` says it is made of.
write_versions()
{
	local tmp=$out/versions.h.new p v
	{
		echo "/* made by vendor/make.sh from the recipes: do not edit */"
		echo "#ifndef VENDOR_VERSIONS_H"
		echo "#define VENDOR_VERSIONS_H"
		for p in $parts; do
			recipe_load "$p"
			v=$(tr 'a-z-' 'A-Z_' <<<"$p")
			echo "#define VENDOR_${v}_VERSION \"$version\""
		done
		echo "/* X(name, version) of each part that is linked in */"
		printf '#define VENDOR_PARTS(X)'
		for p in $parts; do
			recipe_load "$p"
			[ -n "$hidden" ] || printf ' \\\n\tX("%s", "%s")' "$p" "$version"
		done
		printf '\n#endif\n'
	} >"$tmp"
	if cmp -s "$tmp" "$out/versions.h"; then
		rm "$tmp"
	else
		mv "$tmp" "$out/versions.h"
	fi
}

# ---- checks of the result ------------------------------------------------------------------

# The product must be a static-pie of musl alone. A wrong wrapper links glibc, and the program runs.
check_static()
{
	local file=$1 readelf=${cross}readelf text
	text=$("$readelf" -hldW "$file")
	grep -q 'Type: *DYN' <<<"$text" || die "$file is not position independent"
	! grep -q INTERP <<<"$text" || die "$file asks for an interpreter: it is not static"
	! grep -q '(NEEDED)' <<<"$text" || die "$file asks for shared libraries"
	! grep -q '(TEXTREL)' <<<"$text" || die "$file has relocations in its code"
	grep -q 'GNU_STACK.* RW ' <<<"$text" || die "$file has an executable stack"
	text=$(file -b "$file")
	[[ $text != *"for GNU/Linux"* ]] || die "$file carries glibc's ABI note"
	text=$("${cross}nm" "$file")
	! grep -qE ' (__libc_start_call_main|_IO_2_1_stdout_|__libc_early_init|_nl_C_locobj)$' <<<"$text" ||
		die "$file contains glibc"
	grep -q ' __init_libc$' <<<"$text" || die "$file does not contain musl's start code"
}

smoke_libs="-lseccomp -lcap -lnghttp2 -lprotobuf-c -lyyjson -lisal -lzstd -lmbedtls -lmbedx509 -lmbedcrypto"

smoke()
{
	local stamp=$prefix/stamp/smoke exe=$prefix/smoke extra="" hash run
	hash=$(cat "$prefix"/stamp/[!s]* "$here"/smoke*.c "$gen/stamp" 2>/dev/null | sha256sum)
	[ "$(cat "$stamp" 2>/dev/null)" != "$hash" ] || return 0
	[ "$kind" = native ] || extra=$here/smoke_sha256.c
	# shellcheck disable=SC2086 # words
	$CC $cflags -Wall -Wextra -Werror -I"$prefix/include" -I"$gen" -I"$out" -o "$exe" "$here/smoke.c" $extra \
		"$gen/cri/api.pb-c.c" -L"$prefix/lib" -Wl,--gc-sections $smoke_libs -lpthread ||
		die "smoke: does not link for $target"
	[ "$kind" = native ] || check_static "$exe"
	# another architecture's programs run if the host has qemu-user
	run=''
	if [ "$arch" != "$(uname -m)" ]; then
		run=$(command -v "qemu-$arch-static" "qemu-$arch" | head -n 1) || true
		[ -n "$run" ] || echo "vendor: $target: linked but not run: there is no qemu-$arch"
	fi
	if [ -n "$run" ] || [ "$arch" = "$(uname -m)" ]; then
		$run "$exe" || die "smoke: the libraries do not work for $target"
	fi
	echo "$hash" >"$stamp"
}

# ---- main ----------------------------------------------------------------------------------

target=${1:-}
arch=$target
case $target in
native) kind=native arch=$(uname -m) ;;
x86_64 | aarch64) kind=musl ;;
*) die "usage: vendor/make.sh native|x86_64|aarch64 [PART]" ;;
esac
host=$(uname -m)
if [ -n "${CROSS:-}" ] && [ "$kind" = musl ]; then
	cross=$CROSS
elif [ "$arch" = "$host" ]; then
	cross=''
else
	cross=$arch-linux-gnu-
fi
HOSTCC=${HOSTCC:-gcc}
command -v "${cross}gcc" >/dev/null || die "${cross}gcc is not installed"
prefix=$out/$target
NASM="nasm -f elf64"
AR=${cross}ar
hash_before=''
source=''
if [ "$kind" = native ]; then
	CC=gcc
	cflags="-O1 -g -fPIC -fno-omit-frame-pointer -ffunction-sections -fdata-sections"
else
	CC=$prefix/bin/crisp-cc
	cflags="-Os -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables"
fi
export HOSTCC NASM AR CC jobs
export LC_ALL=C SOURCE_DATE_EPOCH=0

mkdir -p "$out"
exec 9>"$out/lock"
flock 9

for p in $parts ${2:-}; do
	part "$p"
done
write_versions
smoke
