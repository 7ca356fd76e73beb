# crisp-default: what a container gets whose pod asks for AppArmor's RuntimeDefault, or says nothing.
#
# Compiled at build time with the features of apparmor.features, so that every build host makes the same bytes, and
# loaded by serve at start. It is the last of several walls (capabilities, seccomp, masked paths, read-only mounts): it
# denies what a container with more capabilities or an unmasked /proc could still do to the node.
#
# attach_disconnected: descriptors that come from outside the mount namespace (stdio, a terminal) have no path inside.

profile crisp-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,

  # No rule allows mount and pivot_root: both are refused, whatever the capabilities.

  # stop and kill come from serve and monitor, which run unconfined, or under a profile of the OS image.
  signal (receive) peer=unconfined,
  signal (receive) peer=crisp,
  # Each other, so also those of another container: what keeps those apart are PID namespaces.
  signal (send, receive) peer=crisp-default,

  # Debuggers inside; never the node's processes where the PID namespace is the node's.
  ptrace (trace, read, tracedby, readby) peer=crisp-default,
  ptrace (tracedby, readby) peer=unconfined,
  ptrace (tracedby, readby) peer=crisp,

  # /proc but for the processes' own directories is the node's.
  deny /proc/[^1-9s]** wkl,
  deny /proc/s[^ey]** wkl,
  deny /proc/sy[^s]** wkl,
  deny /proc/sys[^/]** wkl,
  # Of the sysctls only those of the container's own namespaces may be set: net, IPC and message queues.
  deny /proc/sys/[^fkn]** wkl,
  deny /proc/sys/f[^s]** wkl,
  deny /proc/sys/fs/[^m]** wkl,
  deny /proc/sys/fs/m[^q]** wkl,
  deny /proc/sys/n[^e]** wkl,
  deny /proc/sys/k[^e]** wkl,
  deny /proc/sys/kernel/[^ms]** wkl,
  deny /proc/sys/kernel/m[^s]** wkl,
  deny /proc/sys/kernel/s[^eh]** wkl,
  deny /proc/sys/kernel/se[^m]** wkl,
  deny /proc/{kcore,mem,kmem,sysrq-trigger} rwklx,
  deny /proc/acpi/** rwklx,

  # /sys but for cgroups, which the mount keeps to the container's own.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
