# shellcheck shell=bash disable=SC2154
# Making images with umoci and putting them into a registry. Sourced after lib.sh; the layouts are in $oci.
oci=$out/oci
vendor_bin=$root/build/vendor/$arch/bin
payload=$out/payload

# image_begin NAME: an OCI layout with one image, base, that has no layer; its root is then in $oci/NAME.bundle/rootfs.
image_begin()
{
	umoci init --layout "$oci/$1"
	umoci new --image "$oci/$1:base"
	umoci config --image "$oci/$1:base" --architecture "${2:-$go_arch}" --os linux \
		--created "$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)"
	umoci unpack --image "$oci/$1:base" "$oci/$1.bundle" >/dev/null
}

# image_layer NAME TAG: what has changed in the root since the last call becomes a layer.
image_layer()
{
	find "$oci/$1.bundle/rootfs" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	umoci repack --refresh-bundle --image "$oci/$1:$2" "$oci/$1.bundle" >/dev/null
}

# The root of toybox:1: toybox, dash, the tests' payload.
toybox_tree()
{
	local to=$1 name
	mkdir -p "$to"/{bin,etc,tmp,root,dev,proc,sys,var/www}
	chmod 1777 "$to/tmp"
	install -m 755 "$vendor_bin/toybox" "$vendor_bin/dash" "$payload" "$to/bin/"
	ln -s dash "$to/bin/sh"
	for name in $("$vendor_bin/toybox"); do
		[ -e "$to/bin/$name" ] || ln -s toybox "$to/bin/$name"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$to/etc/passwd"
	printf 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n' >"$to/etc/group"
}

# registry_start DIR: a registry on loopback whose storage is DIR; sets port and registry_pid. It ends with the script.
registry_start()
{
	local dir=$1 tries
	port=$((20000 + RANDOM % 20000))
	mkdir -p "$dir"
	cat >"$dir.yml" <<-CONF
	version: 0.1
	log: { level: error, accesslog: { disabled: true } }
	storage: { filesystem: { rootdirectory: $dir } }
	http: { addr: "127.0.0.1:$port", secret: none }
	CONF
	docker-registry serve "$dir.yml" >"$dir.log" 2>&1 &
	registry_pid=$!
	trap 'kill $registry_pid 2>/dev/null || true' EXIT
	for tries in $(seq 100); do
		curl -fs "http://127.0.0.1:$port/v2/" >/dev/null && return 0
		kill -0 $registry_pid 2>/dev/null || die "docker-registry: $(tail -n 3 "$dir.log") ($tries)"
		sleep 0.1
	done
	die "docker-registry does not answer"
}

# push LAYOUT:TAG NAME:TAG [OPTION]...
push()
{
	local from=$1 to=$2
	shift 2
	skopeo copy --quiet --insecure-policy --dest-tls-verify=false "$@" "oci:$oci/$from" "docker://127.0.0.1:$port/$to"
}

# registry_pack DIR FILE: stops the registry; DIR, its storage and what else was put there, becomes a read-only disk.
registry_pack()
{
	kill "$registry_pid"
	wait "$registry_pid" 2>/dev/null || true
	rm -f "$2"
	mkfs.erofs --quiet -T"$SOURCE_DATE_EPOCH" --all-root "$2" "$1" >/dev/null
}
