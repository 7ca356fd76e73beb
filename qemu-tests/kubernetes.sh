# shellcheck shell=bash
# What a release build of Kubernetes says of itself. Sourced.

# kubernetes_version GO.MOD: the version that it pins, without the v.
kubernetes_version()
{
	sed -n 's/^\tk8s.io\/kubernetes v\([0-9.]*\).*/\1/p' "$1"
}

kubernetes_ldflags()
{
	local v=$1 package text="-s -w" minor
	minor=${v#*.}
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		text+=" -X $package.gitVersion=v$v -X $package.gitMajor=${v%%.*} -X $package.gitMinor=${minor%%.*}"
		text+=" -X $package.gitTreeState=clean -X $package.gitCommit=v$v"
		text+=" -X $package.buildDate=$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)"
	done
	echo "$text"
}
