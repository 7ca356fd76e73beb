/* What was asked for, from the configuration as the kubelet sent it. Values of the environment are not shown: they may be
 * secrets. */
#include "cli/explain.h"
#include "cli/human.h"

#include <string.h>

#define WORDS_MAX 30    /* of a command line that are shown */
#define WORD_MAX  400   /* bytes of one */

static void line(struct buf *b, const char *key)
{
	buf_printf(b, "  %-10s ", key);
}

static const char *mode(Runtime__V1__NamespaceMode m)
{
	static const char *const words[] = { "pod", "container", "node", "target" };

	return (unsigned)m < ARRAY_LEN(words) ? words[m] : "unknown";
}

static void put_namespaces(const Runtime__V1__NamespaceOption *n, struct buf *b)
{
	if (!n)
		return;
	line(b, "namespaces");
	buf_printf(b, "network %s, pid %s, ipc %s", mode(n->network), mode(n->pid), mode(n->ipc));
	if (n->target_id && *n->target_id)
		buf_printf(b, " (of %.13s)", n->target_id);
	if (n->userns_options && n->userns_options->mode == RUNTIME__V1__NAMESPACE_MODE__POD)
		buf_puts(b, ", users of its own");
	buf_putc(b, '\n');
}

void explain_pod_config(const struct explain_pod *p, struct buf *b)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = p->config->linux;

	if (!str_empty(p->handler)) {
		line(b, "handler");
		buf_printf(b, "%s\n", p->handler);
	}
	if (!str_empty(p->config->hostname)) {
		line(b, "hostname");
		buf_printf(b, "%s\n", p->config->hostname);
	}
	if (l && l->security_context)
		put_namespaces(l->security_context->namespace_options, b);
	if (l && !str_empty(l->cgroup_parent)) {
		line(b, "cgroup");
		buf_printf(b, "%s\n", l->cgroup_parent);
	}
	for (size_t i = 0; l && i < l->n_sysctls; i++) {
		line(b, "sysctl");
		buf_printf(b, "%s = %s\n", l->sysctls[i]->key, l->sysctls[i]->value);
	}
	for (size_t i = 0; i < p->config->n_port_mappings; i++) {
		const Runtime__V1__PortMapping *m = p->config->port_mappings[i];

		if (m->host_port <= 0)
			continue;
		line(b, "port");
		buf_printf(b, "%d of the node to %d\n", m->host_port, m->container_port);
	}
}

/* Quoted where a shell would need it. */
static void put_words(char **words, size_t n, struct buf *b)
{
	for (size_t i = 0; i < n && i < WORDS_MAX; i++) {
		bool plain = *words[i] && strcspn(words[i], " \t\n\"'\\$`*?;&|<>()") == strlen(words[i]);

		buf_printf(b, "%s%s", i ? " " : "", plain ? "" : "'");
		human_escape(words[i], strnlen(words[i], WORD_MAX), b);
		buf_puts(b, plain ? "" : "'");
	}
	if (n > WORDS_MAX)
		buf_printf(b, " … (%zu words)", n);
}

static void put_command(const Runtime__V1__ContainerConfig *config, struct buf *b)
{
	line(b, "command");
	if (config->n_command == 0)
		buf_puts(b, config->n_args ? "(the image's entrypoint) " : "(the image's)");
	put_words(config->command, config->n_command, b);
	if (config->n_command && config->n_args)
		buf_putc(b, ' ');
	put_words(config->args, config->n_args, b);
	if (!str_empty(config->working_dir))
		buf_printf(b, ", in %s", config->working_dir);
	buf_printf(b, "%s%s\n", config->tty ? ", with a terminal" : "", config->stdin ? ", with standard input" : "");
}

static void put_resources(const Runtime__V1__LinuxContainerResources *r, struct buf *b)
{
	_buf_ struct buf text = BUF_INIT;

	if (r && r->memory_limit_in_bytes > 0) {
		buf_puts(&text, "memory ");
		human_size((uint64_t)r->memory_limit_in_bytes, 4, &text);
	}
	if (r && r->cpu_quota > 0 && r->cpu_period > 0)
		buf_printf(&text, "%s%.2f CPUs", text.len ? ", " : "", (double)r->cpu_quota / (double)r->cpu_period);
	if (r && r->cpu_shares > 0)
		buf_printf(&text, "%s%lld CPU shares", text.len ? ", " : "", (long long)r->cpu_shares);
	if (r && !str_empty(r->cpuset_cpus))
		buf_printf(&text, "%sCPUs %s", text.len ? ", " : "", r->cpuset_cpus);
	for (size_t i = 0; r && i < r->n_unified; i++)
		buf_printf(&text, "%s%s %s", text.len ? ", " : "", r->unified[i]->key, r->unified[i]->value);
	line(b, "limits");
	buf_printf(b, "%s\n", text.len ? buf_text(&text) : "none");
}

static void put_profile(const char *what, const Runtime__V1__SecurityProfile *p, struct buf *b)
{
	static const char *const types[] = { "the runtime's default", "none", "" }; /* by ProfileType */

	if (p && (unsigned)p->profile_type < ARRAY_LEN(types))
		buf_printf(b, ", %s: %s%s", what, types[p->profile_type],
			   p->profile_type == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost ? p->localhost_ref : "");
}

static void put_list(const char *what, char **items, size_t n, struct buf *b)
{
	if (n)
		buf_printf(b, ", %s", what);
	for (size_t i = 0; i < n && i < WORDS_MAX; i++)
		buf_printf(b, " %s", items[i]);
}

static void put_user(const struct explain_container *x, const Runtime__V1__LinuxContainerSecurityContext *s, struct buf *b)
{
	if (x->user)
		buf_printf(b, "user %lld:%lld", (long long)x->user->uid, (long long)x->user->gid);
	else if (s && s->run_as_user)
		buf_printf(b, "user %lld", (long long)s->run_as_user->value);
	else
		buf_puts(b, "the image's user");
}

static void put_security(const struct explain_container *x, struct buf *b)
{
	const Runtime__V1__LinuxContainerConfig *l = x->config->linux;
	const Runtime__V1__LinuxContainerSecurityContext *s = l ? l->security_context : NULL;

	line(b, "security");
	put_user(x, s, b);
	if (s) {
		buf_printf(b, "%s%s%s", s->privileged ? ", privileged" : "", s->readonly_rootfs ? ", read-only root" : "",
			   s->no_new_privs ? ", no new privileges" : "");
		if (s->capabilities) {
			put_list("capabilities added", s->capabilities->add_capabilities,
				 s->capabilities->n_add_capabilities, b);
			put_list("dropped", s->capabilities->drop_capabilities, s->capabilities->n_drop_capabilities, b);
		}
		put_profile("seccomp", s->seccomp, b);
		put_profile("AppArmor", s->apparmor, b);
		if (s->selinux_options && !str_empty(s->selinux_options->level))
			buf_printf(b, ", SELinux: %s", s->selinux_options->level);
	}
	buf_putc(b, '\n');
}

void explain_container_config(const struct explain_container *x, struct buf *b)
{
	line(b, "image");
	buf_printf(b, "%s", x->image ? x->image : "");
	if (!str_empty(x->image_id) && !str_eq(x->image_id, x->image))
		buf_printf(b, " (%.19s)", x->image_id);
	buf_putc(b, '\n');
	put_command(x->config, b);
	put_resources(x->config->linux ? x->config->linux->resources : NULL, b);
	put_security(x, b);
	for (size_t i = 0; i < x->config->n_mounts; i++) {
		const Runtime__V1__Mount *m = x->config->mounts[i];

		line(b, "mount");
		buf_printf(b, "%s at %s%s\n", m->image && *m->image->image ? m->image->image : m->host_path,
			   m->container_path, m->readonly ? ", read-only" : "");
	}
}
