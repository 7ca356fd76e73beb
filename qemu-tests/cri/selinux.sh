#!/bin/sh
# An SELinux policy for the tests of containers' labels, in CIL (secilc makes the kernel's form of it): as small as can be
# and yet with teeth. Everything of the node is kernel_t and may do all; container_t may use container_file_t of its own
# categories and read the rest, as container-selinux has it; spc_t and other_t (asked for by name) are free.
#
#   qemu-tests/cri/selinux.sh >FILE.cil
set -eu

categories=1024
sids='kernel security unlabeled fs file file_labels init any_socket port netif netmsg node igmp_packet icmp_socket
tcp_socket sysctl_modprobe sysctl sysctl_fs sysctl_kernel sysctl_net sysctl_net_unix sysctl_vm sysctl_dev kmod policy
scmp_packet devnull'
common='ioctl read write create getattr setattr lock relabelfrom relabelto append map unlink link rename execute quotaon
mounton audit_access open execmod watch watch_mount watch_sb watch_with_perm watch_reads'

mls()
{
	echo '(mls true)(sensitivity s0)(sensitivityorder (s0))'
	seq 0 $((categories - 1)) | sed 's/.*/(category c&)/'
	echo "(categoryorder ($(seq 0 $((categories - 1)) | sed 's/^/c/' | tr '\n' ' ')))"
	echo "(sensitivitycategory s0 (range c0 c$((categories - 1))))"
	echo "(level low (s0))(level high (s0 (range c0 c$((categories - 1)))))(levelrange all (low high))"
}

initial_sids()
{
	for sid in $sids; do
		echo "(sid $sid)"
		case $sid in
		kernel) echo "(sidcontext $sid (system_u system_r kernel_t all))" ;;
		*) echo "(sidcontext $sid (system_u object_r node_t (low low)))" ;;
		esac
	done
	echo "(sidorder ($(echo "$sids" | tr '\n' ' ')))"
}

classes()
{
	echo "(common file_perms ($common))"
	for class in lnk_file chr_file blk_file fifo_file sock_file; do
		echo "(class $class ())(classcommon $class file_perms)"
	done
	cat <<-END
	(class file (execute_no_trans entrypoint))(classcommon file file_perms)
	(class dir (add_name remove_name reparent search rmdir))(classcommon dir file_perms)
	(class process (fork transition sigchld sigkill sigstop signull signal ptrace getsched setsched getsession getpgid
		setpgid getcap setcap share getattr setexec setfscreate noatsecure siginh setrlimit rlimitinh dyntransition
		setcurrent execmem execstack execheap setkeycreate setsockcreate getrlimit))
	(class process2 (nnp_transition nosuid_transition))
	(class filesystem (mount remount unmount getattr relabelfrom relabelto associate quotamod quotaget watch))
	(class fd (use))
	(classorder (file dir lnk_file chr_file blk_file fifo_file sock_file process process2 filesystem fd))
	END
}

rules()
{
	cat <<-'END'
	(policycap nnp_nosuid_transition)
	(user system_u)(role system_r)(role object_r)
	(type kernel_t)(type node_t)(type spc_t)(type other_t)(type container_t)(type container_file_t)
	(roletype object_r node_t)(roletype object_r container_file_t)
	(roletype system_r kernel_t)(roletype system_r spc_t)(roletype system_r other_t)(roletype system_r container_t)
	(userrole system_u system_r)(userrole system_u object_r)(userlevel system_u low)(userrange system_u all)
	(typeattribute free)(typeattributeset free (kernel_t spc_t other_t))
	(typeattribute any)(typeattributeset any (all))

	(classmap things (use look))
	(classmapping things use (file (all)))(classmapping things use (dir (all)))(classmapping things use (lnk_file (all)))
	(classmapping things use (chr_file (all)))(classmapping things use (blk_file (all)))
	(classmapping things use (fifo_file (all)))(classmapping things use (sock_file (all)))
	(classmapping things look (file (ioctl read getattr open lock map execute execute_no_trans)))
	(classmapping things look (dir (ioctl read getattr open lock search)))(classmapping things look (lnk_file (read getattr)))
	(classmapping things look (chr_file (ioctl read write append getattr open)))
	(classmapping things look (fifo_file (ioctl read write append getattr)))
	(classmapping things look (sock_file (read write getattr)))

	(allow free any (things (use)))(allow free any (process (all)))(allow free any (process2 (all)))
	(allow free any (filesystem (all)))(allow free any (fd (use)))(allow any any (filesystem (associate getattr)))
	(allow container_t self (process (all)))(allow container_t self (things (use)))
	(allow container_t container_file_t (things (use)))
	(allow container_t node_t (things (look)))(allow container_t kernel_t (things (look)))
	(allow container_t any (fd (use)))(allow container_t kernel_t (process (sigchld)))

	; What has categories is for who has all of them.
	(mlsconstrain (file (read write append open execute map setattr unlink rename link relabelto))
		(or (dom h1 h2) (eq t1 free)))
	(mlsconstrain (dir (read write open search add_name remove_name setattr rmdir)) (or (dom h1 h2) (eq t1 free)))
	(mlsconstrain (process (ptrace sigkill sigstop signal)) (or (dom h1 h2) (eq t1 free)))

	(fsuse xattr ext4 (system_u object_r node_t (low low)))(fsuse xattr erofs (system_u object_r node_t (low low)))
	(fsuse xattr overlay (system_u object_r node_t (low low)))
	(fsuse trans tmpfs (system_u object_r node_t (low low)))(fsuse trans devtmpfs (system_u object_r node_t (low low)))
	(fsuse trans devpts (system_u object_r node_t (low low)))(fsuse trans mqueue (system_u object_r node_t (low low)))
	(fsuse trans shm (system_u object_r node_t (low low)))(fsuse task pipefs (system_u object_r node_t (low low)))
	(fsuse task sockfs (system_u object_r node_t (low low)))
	(genfscon proc / (system_u object_r node_t (low low)))(genfscon sysfs / (system_u object_r node_t (low low)))
	(genfscon cgroup2 / (system_u object_r node_t (low low)))(genfscon selinuxfs / (system_u object_r node_t (low low)))
	(genfscon rootfs / (system_u object_r node_t (low low)))(genfscon nsfs / (system_u object_r node_t (low low)))
	END
}

echo '(handleunknown allow)'
mls
initial_sids
classes
rules
