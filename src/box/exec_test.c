/* Exec, user namespaces, and namespaces that are joined. */
#include "box/harness.h"

TEST(exec)
{
	_result_ struct result r = { 0 }, x = { 0 }, y = { 0 }, z = { 0 };

	need_root();
	_free_ char *spec = make_spec(&(struct want){ .script = "sleep 60", .top = ",\"hostname\":\"box\"" });

	create(spec, false, &r);
	CHECK(!r.create_error);
	start(&r);
	exec_in(&r, "{\"args\":[\"sh\",\"-c\",\"hostname; id -u; id -G; pwd; echo $E; [ $$ != 1 ] && tr '\\\\000' ' ' < /proc/1/cmdline; echo; grep -E "
		    "'CapEff|CapBnd|Seccomp:|NoNew' /proc/self/status; ls /proc/self/fd | wc -l; exit 7\"],\"env\":[\"PATH=/bin\",\"E=e\"],"
		    "\"cwd\":\"/tmp\",\"user\":{\"uid\":3,\"gid\":4,\"additionalGids\":[5]},\"noNewPrivileges\":true,"
		    "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"]},"
		    "\"org.crisp.seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"}}", &x);
	CHECK(!x.create_error && !x.exec_error);
	CHECK_STR(buf_text(&x.out), "box\n3\n4 5\n/tmp\ne\nsleep 60 \nCapEff:\t0000000000000000\nCapBnd:\t0000000000000020\n"
				    "NoNewPrivs:\t1\nSeccomp:\t2\n4\n");
	CHECK_INT(WEXITSTATUS(x.status), 7);
	exec_in(&r, "{\"args\":[\"nosuch\"],\"env\":[\"PATH=/bin\"]}", &y);
	CHECK_STR(y.exec_error, "exec: \"nosuch\": executable file not found in $PATH");
	/* Leaky Vessels by exec. */
	for (int i = 0; i < 32; i++) {
		_result_ struct result w = { 0 };
		_free_ char *process = base_printf("{\"args\":[\"ls\"],\"env\":[\"PATH=/bin\"],\"cwd\":\"/proc/self/fd/%d\"}", i);

		exec_in(&r, process, &w);
		CHECK(w.create_error || w.exec_error);
	}
	kill(r.pid, SIGKILL);
	finish(&r);
	exec_in(&r, "{\"args\":[\"ls\"]}", &z);
	CHECK(z.create_error);
}

TEST(user_namespace)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");

	CHECK_STR(output(&(struct want){
				 .script = "cat /proc/self/uid_map | awk '{print $1,$2,$3}'; id -u; id -g; stat -c '%n %t:%T %u %g' /dev /dev/null /dev/pts;"
					   "echo x > /dev/null; touch /dev/t /root-file; stat -c %u /dev/t; mount -t tmpfs t /tmp && echo mounted;"
					   "hostname inner && hostname; mknod /dev/m c 1 3 2>&1",
				 .namespaces = USER_NS, .linux_members = USER_MAPS, .root = other,
				 .caps = "[\"CAP_SYS_ADMIN\",\"CAP_MKNOD\",\"CAP_SETUID\"]" }, &r),
		  "0 100000 65536\n0\n0\n/dev 0:0 0 0\n/dev/null 1:3 0 0\n/dev/pts 0:0 0 0\n0\nmounted\ninner\n"
		  "mknod: /dev/m: Operation not permitted\n");
	CHECK_INT(WEXITSTATUS(r.status), 1);
	remove_other(other);
}

/* An idmapped volume: the node's root owns it, the container's root sees it as its own. */
TEST(user_namespace_with_idmapped_volume)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R; echo data > $R-out/f; chown 7:8 $R-out/f");
	_free_ char *mounts = base_printf(",{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"%s-out\",\"options\":[\"rbind\"],"
					  "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
					  "\"gidMappings\":[{\"containerID\":0,\"hostID\":200000,\"size\":65536}]}", other);

	CHECK_STR(output(&(struct want){ .script = "stat -c '%u %g' /v /v/f; touch /v/new && stat -c %u /v/new",
					 .namespaces = USER_NS, .linux_members = USER_MAPS, .root = other, .mounts = mounts }, &r),
		  "0 0\n7 8\n0\n");
	_free_ char *path = base_printf("%s-out/new", other);
	struct stat st;

	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_uid, 0);
	remove_other(other);
}

/* What images do with their logs, in the container and in an exec: pipes of the node are nobody's in there. */
TEST(user_namespace_owns_its_stdio)
{
	_result_ struct result r = { 0 }, holder = { 0 }, x = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");

	CHECK_STR(output(&(struct want){ .script = "stat -L -c '%u %g' /dev/stdout; echo anew > /dev/stdout", .namespaces = USER_NS,
					 .linux_members = USER_MAPS, .root = other,
					 .process = ",\"user\":{\"uid\":1000,\"gid\":1001}" }, &r),
		  "1000 1001\nanew\n");
	_free_ char *spec = make_spec(&(struct want){ .script = "sleep 60", .namespaces = USER_NS, .linux_members = USER_MAPS,
						      .root = other });

	create(spec, false, &holder);
	CHECK(!holder.create_error);
	start(&holder);
	exec_in(&holder, "{\"args\":[\"sh\",\"-c\",\"stat -L -c '%u %g' /dev/stdout; echo anew > /dev/stdout\"],"
			 "\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":1000,\"gid\":1001}}", &x);
	CHECK(!x.create_error && !x.exec_error);
	CHECK_STR(buf_text(&x.out), "1000 1001\nanew\n");
	kill(holder.pid, SIGKILL);
	finish(&holder);
	remove_other(other);
}

#define ELSEWHERE ",\"devices\":[{\"path\":\"%s\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":438," \
		  "\"uid\":7,\"gid\":8}]"

/* Nobody in there can make nodes; in a volume nobody else may either. */
TEST(user_namespace_with_devices_elsewhere)
{
	_result_ struct result r = { 0 }, hidden = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");
	_free_ char *linux_members = base_printf(USER_MAPS ELSEWHERE, "/made/here/null");

	CHECK_STR(output(&(struct want){ .script = "stat -c '%t:%T %u %g' /made/here/null; stat -c '%u %g' /made /made/here; "
						   "echo x > /made/here/null", .namespaces = USER_NS,
					 .linux_members = linux_members, .root = other }, &r),
		  "1:3 7 8\n0 0\n0 0\n");
	_free_ char *in_volume = base_printf(USER_MAPS ELSEWHERE, "/v/null");
	_free_ char *mounts = base_printf(",{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"%s-out\",\"options\":[\"rbind\"]}", other);
	_free_ char *spec = make_spec(&(struct want){ .script = "true", .namespaces = USER_NS, .linux_members = in_volume,
						      .root = other, .mounts = mounts });

	create(spec, false, &hidden);
	CHECK(hidden.create_error && strstr(hidden.create_error, "device /v/null: a mount lies over it"));
	remove_other(other);
}

TEST(volume_that_cannot_be_idmapped)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");
	_free_ char *spec = make_spec(&(struct want){
		.script = "true", .namespaces = USER_NS, .linux_members = USER_MAPS, .root = other,
		.mounts = ",{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"/proc/sys\",\"options\":[\"bind\",\"idmap\"]}" });

	create(spec, false, &r);
	CHECK_STR(r.create_error, "mount /proc/sys on /v: the owners of its files cannot be mapped to a user namespace: the "
				  "kernel cannot do that for this file system (proc)");
	remove_other(other);
}

/* As in a pod: the namespaces are there already, owned by a user namespace that is joined by path. */
TEST(namespaces_are_joined_by_path)
{
	_result_ struct result holder = { 0 }, r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");
	_free_ char *spec = make_spec(&(struct want){ .script = "hostname shared; echo; sleep 60", .namespaces = USER_NS,
						      .linux_members = USER_MAPS, .root = other, .caps = "[\"CAP_SYS_ADMIN\"]" });
	char byte;

	create(spec, false, &holder);
	CHECK(!holder.create_error);
	start(&holder);
	CHECK(read(holder.out_fd, &byte, 1) == 1);
	_free_ char *ns = base_printf("{\"type\":\"mount\"},{\"type\":\"user\",\"path\":\"/proc/%d/ns/user\"},"
				      "{\"type\":\"pid\",\"path\":\"/proc/%d/ns/pid\"},{\"type\":\"network\",\"path\":\"/proc/%d/ns/net\"},"
				      "{\"type\":\"ipc\",\"path\":\"/proc/%d/ns/ipc\"},{\"type\":\"uts\",\"path\":\"/proc/%d/ns/uts\"}",
				      (int)holder.pid, (int)holder.pid, (int)holder.pid, (int)holder.pid, (int)holder.pid);

	CHECK_STR(output(&(struct want){ .script = "hostname; id -u; [ $$ != 1 ] && [ -d /proc/1 ] && echo joined; stat -c '%u %t:%T' /dev/zero; "
						   "stat -c %u /dev", .namespaces = ns,
					 .linux_members = USER_MAPS, .root = other }, &r),
		  "shared\n0\njoined\n0 1:5\n0\n");
	kill(holder.pid, SIGKILL);
	waitpid(holder.pid, NULL, 0);
	remove_other(other);
}

TEST_MAIN
