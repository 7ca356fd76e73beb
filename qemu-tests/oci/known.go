package main

import "strings"

// Tests that are not run, and why: the suite (0.9.0) looks for the controllers of cgroup v1, and we have v2 only. That
// limits hold is shown by critests (resources/).
func inapplicable(name string) string {
	if strings.HasPrefix(name, "linux_cgroups_") || name == "delete_resources" || name == "delete_only_create_resources" {
		return "the suite's test of it knows cgroup v1 only"
	}
	return ""
}

// wantsError: tests that end with 0 and without a count when the runtime refuses the configuration, and with 1 when not.
func wantsError(name string) bool {
	return name == "process_capabilities_fail" || name == "process_rlimits_fail"
}

// Tests that may fail, and why.
var known = map[string]string{
	"delete":      "as with runc, a container that was created and never started may be deleted; containerd's shim needs that",
	"hooks_stdin": "wants prestart's state to be created, where the specification says creating; and the number of a process that has ended",
	"misc_props":  "its first bundle lacks the program that it runs",
	"pidfile":     "its process may end before it is killed, which is then an error",

	"process_rlimits": "Go's runtime raises the soft RLIMIT_NOFILE of the program that looks at it",
	"start":           "the condition of its last part (a container without a process) is the reverse of its words",

	"linux_mount_label":              "needs a kernel with SELinux",
	"linux_process_apparmor_profile": "needs a profile of AppArmor that it does not bring",

	"linux_ns_itype": "wants to run in the node's own mount namespace, which crisp never does",
	"linux_ns_path":  "wants to join a mount namespace, which crisp never does; its other namespaces are joined",

	// Since 6.8 mountinfo is in the order in which mounts were made; crisp makes binds, and /dev of a container with a user
	// namespace, with the node's rights before the container's own: they are attached in the order of the list all the same.
	"mounts":             "looks for the order of mounts in mountinfo; and gives binds the options of a tmpfs",
	"linux_uid_mappings": "looks for the order of mounts in mountinfo",
}
