#include "cri/security.h"

#include "base/file.h"
#include "base/log.h"
#include "box/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SELINUX_DIR "/etc/selinux"

/* ---- at start ------------------------------------------------------------------------------------ */

/* With a profile of the OS image's we only name it; ours is loaded. Without it no container gets one unasked, and who
 * asks is told. */
static void open_apparmor(struct serve *s, bool on)
{
	const char *profile = s->config.apparmor_profile;

	if (!on)
		return;
	struct err *e = str_eq(profile, LSM_APPARMOR_DEFAULT) ? lsm_load_apparmor() : NULL;

	if (!e) {
		s->apparmor = base_strdup(profile);
		return;
	}
	log_warn("AppArmor is on, but cannot be used: %s", err_text(e));
	err_free(e);
}

/* A file of the policy's; a missing one is empty. */
static struct err *read_policy_file(const char *path, struct buf *ret)
{
	struct err *e = file_read_virtual(AT_FDCWD, path, SELINUX_CONTEXTS_MAX, ret);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

static struct err *open_selinux(struct serve *s)
{
	char name[64];
	_buf_ struct buf config = BUF_INIT, contexts = BUF_INIT;

	TRY(read_policy_file(SELINUX_DIR "/config", &config));
	if (selinux_policy_name(buf_text(&config), name, sizeof(name))) {
		_free_ char *path = base_printf(SELINUX_DIR "/%s/contexts/lxc_contexts", name);

		TRY(read_policy_file(path, &contexts));
	}
	selinux_policy_init(&s->selinux_policy, buf_text(&contexts));
	s->selinux = true;
	return NULL;
}

struct err *security_open(struct serve *s)
{
	const char *want = s->config.selinux;
	bool apparmor, selinux;

	TRY_WRAP(lsm_look(&apparmor, &selinux), "security modules");
	open_apparmor(s, apparmor);
	if (str_eq(want, "on") && !selinux)
		return err_new(ERR_PRECONDITION, "selinux = \"on\", but the kernel runs without it or has no policy");
	if (selinux && !str_eq(want, "off"))
		TRY_WRAP(open_selinux(s), "SELinux");
	log_info("AppArmor: %s%s; SELinux: %s", s->apparmor ? "on, default profile " : "off", s->apparmor ? s->apparmor : "",
		 s->selinux ? "on" : "off");
	return NULL;
}

/* ---- SELinux ------------------------------------------------------------------------------------- */

static const Runtime__V1__SELinuxOption *pod_options(const struct pod *p)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = p->request->config->linux;

	return l && l->security_context ? l->security_context->selinux_options : NULL;
}

/* Lock held. */
static bool level_in_use(struct serve *s, const char *level)
{
	pods_each(p, &s->pods)
		if (str_eq(p->selinux_level, level))
			return true;
	return false;
}

/* Where the search begins: the pod's ID is random. */
static uint32_t first_pair(const struct pod *p)
{
	char digits[8 + 1];

	memcpy(digits, p->o.id, 8);
	digits[8] = '\0';
	return (uint32_t)strtoul(digits, NULL, 16) % SELINUX_PAIRS;
}

struct err *security_add_pod(struct serve *s, struct pod *p)
{
	const Runtime__V1__SELinuxOption *o = pod_options(p);
	char level[SELINUX_LEVEL_MAX];
	bool found = false;

	if (!s->selinux || p->selinux_level)
		return NULL;
	if (o && !str_empty(o->level)) {
		p->selinux_level = base_strdup(o->level);
		return NULL;
	}
	pods_lock(&s->pods);
	for (uint32_t i = 0, first = first_pair(p); i < SELINUX_PAIRS && !found; i++) {
		selinux_pair(first + i, level);
		found = !level_in_use(s, level);
	}
	if (found)
		p->selinux_level = base_strdup(level);
	pods_unlock(&s->pods);
	if (!found)
		return err_new(ERR_EXHAUSTED, "SELinux: every pair of categories is in use");
	return NULL;
}

struct err *security_pod_label(struct serve *s, struct arena *a, const struct pod *p, const char **ret)
{
	const struct selinux_input in = {
		.policy = &s->selinux_policy, .pod = pod_options(p), .level = p->selinux_level,
	};
	const char *ignored;

	*ret = NULL;
	return s->selinux ? selinux_labels(a, &in, &ignored, ret) : NULL;
}

struct err *security_add_container(struct serve *s, struct container *c)
{
	const Runtime__V1__LinuxContainerConfig *l = c->request->config->linux;
	const Runtime__V1__LinuxContainerSecurityContext *sc = l ? l->security_context : NULL;
	const struct selinux_input in = {
		.policy = &s->selinux_policy,
		.container = sc ? sc->selinux_options : NULL,
		.pod = pod_options(c->pod),
		.level = c->pod->selinux_level,
		.privileged = sc && sc->privileged,
	};
	const char *process, *mount;
	_arena_ struct arena a;

	if (!s->selinux)
		return NULL;
	/* A pod from before SELinux was on. */
	TRY(security_add_pod(s, c->pod));
	arena_init(&a);
	TRY(selinux_labels(&a, &in, &process, &mount));
	c->selinux_process = base_strdup(process);
	c->selinux_mount = base_strdup(mount);
	return NULL;
}
