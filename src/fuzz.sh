#!/bin/bash
# Runs each fuzz target for so many seconds, from the corpus beside its source (src/ROOM/corpus/NAME)
# and what earlier runs found (build/fuzz/corpus/NAME). A crash leaves its input in build/fuzz.
# usage: fuzz.sh SECONDS PROGRAM...
set -u
seconds=$1
shift
passed=0 failed=0
for program in "$@"; do
	name=$(basename "$program") room=$(basename "$(dirname "$program")")
	found=build/fuzz/corpus/$room-$name
	kept=src/$room/corpus/${name%_fuzz}
	mkdir -p "$found"
	dirs=("$found")
	[ ! -d "$kept" ] || dirs+=("$kept")
	if nice "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="build/fuzz/$room-$name-" "${dirs[@]}" >"build/fuzz/$room-$name.log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok fuzz %s/%s: %s executions\n' "$room" "$name" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$room-$name.log")"
	else
		failed=$((failed + 1))
		printf 'FAILED fuzz %s/%s\n' "$room" "$name"
		tail -n 30 "build/fuzz/$room-$name.log" | sed 's/^/    /'
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
