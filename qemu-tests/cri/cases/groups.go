// Package cases are the cases, grouped as CRI is.
package cases

import "crisp.dev/qemu-tests/cri/suite"

// Groups in the order they run.
func Groups() []suite.Group {
	groups := []suite.Group{
		{Name: "runtime", Cases: runtimeCases},
		{Name: "pods", Cases: podCases},
		{Name: "network", Cases: networkCases},
		{Name: "containers", Cases: containerCases},
		{Name: "process", Cases: processCases},
		{Name: "security", Cases: securityCases},
		{Name: "apparmor", Cases: apparmorCases},
		{Name: "selinux", Cases: selinuxCases},
		{Name: "hardening", Cases: hardeningCases},
		{Name: "mounts", Cases: mountCases},
		{Name: "volumes", Cases: volumeCases},
		{Name: "namespaces", Cases: namespaceCases},
		{Name: "userns", Cases: usernsCases},
		{Name: "resources", Cases: resourceCases},
		{Name: "cdi", Cases: cdiCases},
		{Name: "stats", Cases: statsCases},
		{Name: "events", Cases: eventCases},
		{Name: "logs", Cases: logCases},
		{Name: "streaming", Cases: streamingCases},
		{Name: "portforward", Cases: forwardCases},
		{Name: "websocket", Cases: websocketCases},
		{Name: "images", Cases: imageCases},
		{Name: "registries", Cases: registriesConfCases},
		{Name: "auth", Cases: authCases},
		{Name: "k3s", Cases: k3sCases},
		{Name: "badregistry", Cases: faultCases()},
		{Name: "badimage", Cases: badImageCases()},
		{Name: "baked", Cases: bakedCases},
		{Name: "import", Cases: importCases},
		{Name: "runtimeclass", Cases: runtimeClassCases()},
		{Name: "client", Cases: clientCases},
		{Name: "ocirun", Cases: ociRunCases},
		{Name: "reload", Cases: reloadCases},
		{Name: "systemd", Cases: systemdCases},
		{Name: "survival", Cases: survivalCases},
	}
	name(groups)
	return groups
}
