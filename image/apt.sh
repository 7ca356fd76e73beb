# shellcheck shell=bash disable=SC2154,SC2016
# Debian packages of another release than the machine's own, for the appliance: an apt with its own
# lists, state and cache. It uses the machine's mirror, keys and proxy settings; packages are downloaded,
# checked by apt and unpacked, never installed.
#
# Sourced by scripts that have set `root` (the repository).

apt_dir=$root/build/appliance/apt

apt_mirror()
{
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' \
		'Component: main' 2>/dev/null | sort -u | head -n 1
}

apt_write_conf()
{
	local dir=$1
	apt-config dump Acquire
	cat <<-CONF
	APT::Architecture "$deb_arch";
	APT::Architectures { "$deb_arch"; };
	APT::Install-Recommends "false";
	APT::Sandbox::User "root";
	Acquire::Languages "none";
	Acquire::Retries "3";
	Dir::State "$dir";
	Dir::State::lists "$dir/lists";
	Dir::State::status "$dir/status";
	Dir::Cache "$dir/cache";
	Dir::Etc::main "$dir/none";
	Dir::Etc::parts "$dir/parts";
	Dir::Etc::sourcelist "$dir/sources.list";
	Dir::Etc::sourceparts "$dir/parts";
	Dir::Etc::preferencesparts "$dir/parts";
	Dir::Etc::netrc "/etc/apt/auth.conf";
	Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
	CONF
}

# apt_use SUITE: the lists are fetched once a build directory; delete build/appliance/apt for newer ones.
apt_use()
{
	local suite=$1 mirror dir=$apt_dir/$deb_arch-$1
	unset APT_CONFIG
	if [ ! -e "$dir/ready" ]; then
		mirror=$(apt_mirror)
		[ -n "$mirror" ] || die "this machine's apt knows no Debian mirror (apt-get update?)"
		mkdir -p "$dir"/{lists/partial,cache/archives/partial,parts}
		: >"$dir/status"
		apt_write_conf "$dir" >"$dir/apt.conf"
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
			>"$dir/sources.list"
		APT_CONFIG=$dir/apt.conf apt-get update -qq || die "cannot read the lists of Debian $suite"
		touch "$dir/ready"
	fi
	export APT_CONFIG=$dir/apt.conf
}

# The packages and all they depend on: NAME=VERSION words. With an empty status file apt takes nothing for given.
apt_closure()
{
	apt-get install -s -y --no-install-recommends "$@" 2>/dev/null |
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p'
}

# apt_download DIR NAME[=VERSION]...: apt checks each against the hashes of its signed lists.
apt_download()
{
	local dir=$1
	shift
	mkdir -p "$dir"
	(cd "$dir" && apt-get -qq download "$@" >/dev/null) || die "cannot download $*"
}

# apt_unpack_into DIR DEB...
apt_unpack_into()
{
	local dir=$1 deb
	shift
	for deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --keep-directory-symlink --no-same-owner
	done
}

# apt_unpack SUITE DIR PACKAGE...: the packages and all they need, unpacked over each other in DIR.
# What went in is recorded in DIR.packages; nothing is done if the same was asked before.
apt_unpack()
{
	local suite=$1 dir=$2 list
	shift 2
	if [ -e "$dir.packages" ] && [ "$(head -n 1 "$dir.packages")" = "# $suite: $*" ]; then
		return 0
	fi
	apt_use "$suite"
	list=$(apt_closure "$@")
	[ -n "$list" ] || die "Debian $suite cannot give: $*"
	rm -rf "$dir" "$dir.packages" "$dir.debs"
	# merged /usr, as packages of these releases expect
	mkdir -p "$dir"/usr/{bin,sbin,lib,lib64}
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$dir/"
	# shellcheck disable=SC2086 # a list of words
	apt_download "$dir.debs" $list
	apt_unpack_into "$dir" "$dir.debs"/*.deb
	rm -rf "$dir.debs"
	# shellcheck disable=SC2086
	printf '%s\n' "# $suite: $*" $list >"$dir.packages"
	unset APT_CONFIG
}
