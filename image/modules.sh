# shellcheck shell=bash disable=SC2154
# Kernel modules for an image: which files, in which order. Sourced after lib.sh.

# modules_resolve NAME...: paths below the modules' directory, each after what it depends on.
modules_resolve()
{
	local dir
	dir=$(echo "$out"/kernel/usr/lib/modules/*/)
	[ -e "$dir/modules.dep" ] || dir=$(echo "$out"/kernel/lib/modules/*/)
	awk -v wanted="$*" '
	function key(path) { sub(/.*\//, "", path); sub(/\.ko$/, "", path); gsub(/-/, "_", path); return path }
	FILENAME ~ /builtin$/ { builtin[key($1)] = 1; next }
	{ file = $1; sub(/:$/, "", file); path[key(file)] = file; need[key(file)] = $0; sub(/^[^:]*: */, "", need[key(file)]) }
	function put(k,   words, n, i) {
		if (k in done || k in builtin) return
		if (!(k in path)) { print "no module " k > "/dev/stderr"; bad = 1; return }
		done[k] = 1
		n = split(need[k], words, " ")
		for (i = n; i > 0; i--) put(key(words[i]))
		print path[k]
	}
	END { n = split(wanted, w, /[ \t\n]+/); for (i = 1; i <= n; i++) if (w[i] != "") put(w[i]); exit bad }
	' "$dir/modules.builtin" "$dir/modules.dep"
}

# modules_install DIR NAME...: the files and DIR/list.
modules_install()
{
	local to=$1 file dir
	shift
	dir=$(dirname "$(find "$out/kernel" -name modules.dep | head -n 1)")
	mkdir -p "$to"
	: >"$to/list"
	modules_resolve "$@" >"$to/list.paths" || die "the kernel lacks a module that the board names"
	while read -r file; do
		# Without Debian's signature: the verity root hash vouches for the file already, and checking RSA
		# again for each module costs seconds on a slow processor.
		strip --strip-debug -o "$to/$(basename "$file")" "$dir/$file"
		basename "$file" >>"$to/list"
	done <"$to/list.paths"
	rm "$to/list.paths"
}
