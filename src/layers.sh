#!/bin/bash
# A room includes only itself and rooms named before it (cri/api.pb-c.h, which is generated, excepted).
# usage: layers.sh ROOM...   in order
set -u
bad=0
below=
for room in "$@"; do
	below="$below $room"
	while IFS=: read -r file line text; do
		[[ $text =~ \"([a-z]+)/([^\"]+)\" ]] || continue
		other=${BASH_REMATCH[1]}
		[ "$other/${BASH_REMATCH[2]}" != cri/api.pb-c.h ] || continue
		[[ " $below " == *" $other "* ]] && continue
		echo "$file:$line: $room may not include $other/" >&2
		bad=1
	done < <(grep -nE '^#include "' "src/$room"/*.[ch] /dev/null 2>/dev/null)
done
exit "$bad"
