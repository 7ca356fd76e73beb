#include "base/str.h"
#include "spec/build.h"
#include "spec/seccomp_table.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

/* New namespaces: their handling is where most local holes of the kernel were. CLONE_NEWTIME is 0x80, in clone(2)
 * part of the exit signal. */
#define NAMESPACE_FLAGS                                                                             \
	((uint64_t)(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
		    CLONE_NEWCGROUP))
#define UNSHARE_TIME 0x80u

struct condition {
	const char *op;
	unsigned int index;
	uint64_t value, value_two;
};

static void put_names(struct build *b, yyjson_mut_val *arr, const char *names)
{
	while (*names) {
		size_t n = strcspn(names, " ");

		yyjson_mut_arr_add_strn(b->doc, arr, names, n);
		names += n + strspn(names + n, " ");
	}
}

/* A rule; its array of names for more of them. *errnum* 0: allowed. */
static yyjson_mut_val *put_rule(struct build *b, yyjson_mut_val *rules, const char *names, int errnum,
				const struct condition *c)
{
	yyjson_mut_val *obj = yyjson_mut_arr_add_obj(b->doc, rules), *arr = json_put_arr(b->doc, obj, "names");

	put_names(b, arr, names);
	json_put_str(b->doc, obj, "action", errnum ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
	if (errnum)
		yyjson_mut_obj_add_int(b->doc, obj, "errnoRet", errnum);
	if (c) {
		yyjson_mut_val *arg = yyjson_mut_arr_add_obj(b->doc, json_put_arr(b->doc, obj, "args"));

		yyjson_mut_obj_add_uint(b->doc, arg, "index", c->index);
		yyjson_mut_obj_add_uint(b->doc, arg, "value", c->value);
		if (c->value_two || !strcmp(c->op, "SCMP_CMP_MASKED_EQ"))
			yyjson_mut_obj_add_uint(b->doc, arg, "valueTwo", c->value_two);
		json_put_str(b->doc, arg, "op", c->op);
	}
	return arr;
}

/* Those of which one argument decides. */
static void put_conditional(struct build *b, yyjson_mut_val *rules)
{
	/* PER_LINUX, PER_LINUX32, both with UNAME26, and "tell me". */
	static const uint64_t personalities[] = { 0, 8, 0x20000, 0x20008, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(personalities); i++)
		put_rule(b, rules, "personality", 0, &(struct condition){ "SCMP_CMP_EQ", 0, personalities[i], 0 });
	/* vsock leads out of a virtual machine to its host. The kernel looks at the lower half of the argument, so the
	 * refusal does too, and comes first. */
	put_rule(b, rules, "socket", EPERM, &(struct condition){ "SCMP_CMP_MASKED_EQ", 0, UINT32_MAX, AF_VSOCK });
	put_rule(b, rules, "socket", 0, &(struct condition){ "SCMP_CMP_NE", 0, AF_VSOCK, 0 });
	if (b->caps >> CAP_SYS_ADMIN & 1) {
		put_rule(b, rules, "clone clone3 unshare", 0, NULL);
		return;
	}
	put_rule(b, rules, "clone", 0, &(struct condition){ "SCMP_CMP_MASKED_EQ", 0, NAMESPACE_FLAGS, 0 });
	put_rule(b, rules, "unshare", 0,
		 &(struct condition){ "SCMP_CMP_MASKED_EQ", 0, NAMESPACE_FLAGS | UNSHARE_TIME, 0 });
	/* Its flags lie behind a pointer: not there, so that libc takes clone(2). */
	put_rule(b, rules, "clone3", ENOSYS, NULL);
}

static void put_default_profile(struct build *b, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *obj = json_put_obj(b->doc, linux_obj, "seccomp"), *rules, *allowed;

	json_put_str(b->doc, obj, "defaultAction", "SCMP_ACT_ERRNO");
	yyjson_mut_obj_add_int(b->doc, obj, "defaultErrnoRet", EPERM);
	json_put_strings(b->doc, obj, "architectures", seccomp_arches, seccomp_arches_n);
	rules = json_put_arr(b->doc, obj, "syscalls");
	allowed = put_rule(b, rules, seccomp_native_names, 0, NULL);
	for (size_t i = 0; i < seccomp_rows_n; i++)
		if (!seccomp_rows[i].caps || (seccomp_rows[i].caps & b->caps))
			put_names(b, allowed, seccomp_rows[i].names);
	put_conditional(b, rules);
}

/* The profile of a file; that it is one the executor can load shows when it is parsed there. */
static struct err *put_localhost(struct build *b, yyjson_mut_val *linux_obj)
{
	yyjson_val *profile;

	TRY_WRAP(json_read(b->arena, b->in->seccomp_profile, strlen(b->in->seccomp_profile), &profile), "seccomp profile");
	if (!yyjson_is_obj(profile))
		return err_new(ERR_INVALID, "seccomp profile: not an object");
	return err_wrap(build_seccomp_file(b, profile, linux_obj), "seccomp profile");
}

struct err *build_seccomp(struct build *b, yyjson_mut_val *linux_obj)
{
	const Runtime__V1__SecurityProfile *p = b->sc->seccomp;

	/* CRI: without a profile, and for privileged containers, there is none. */
	if (!p || b->sc->privileged)
		return NULL;
	switch (p->profile_type) {
	case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault:
		if (!str_empty(b->in->seccomp_profile))
			return put_localhost(b, linux_obj);
		put_default_profile(b, linux_obj);
		return NULL;
	case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined:
		return NULL;
	case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost:
		/* Nothing must never mean unconfined (CVE-2023-2431). */
		if (str_empty(b->in->seccomp_profile))
			return err_new(ERR_INVALID, "seccomp: a localhost profile is asked for, but there is none");
		return put_localhost(b, linux_obj);
	default:
		return err_new(ERR_INVALID, "seccomp: unknown profile type %d", (int)p->profile_type);
	}
}
