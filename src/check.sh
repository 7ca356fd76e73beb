#!/bin/bash
# Runs native test programs and sums up: `N passed, N failed, N skipped`; exit status 1 if any failed.
# A program that dies without a FAILED line (a sanitizer's report, a crash) counts as one failure.
set -u
passed=0 failed=0 skipped=0
for program in "$@"; do
	name=${program##*/native/}
	output=$(timeout 300 "$program" 2>&1)
	status=$?
	ok=$(grep -c '^ok ' <<<"$output")
	bad=$(grep -c '^FAILED ' <<<"$output")
	skip=$(grep -c '^skipped ' <<<"$output")
	[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-55s %3d passed %3d failed %3d skipped\n' "$name" "$ok" "$bad" "$skip"
	grep '^skipped ' <<<"$output" | sed 's/^/    /'
	[ "$bad" -eq 0 ] || sed 's/^/    /' <<<"$output"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
