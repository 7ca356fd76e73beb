#include "cri/podfiles.h"

#include "base/file.h"
#include "cri/reload.h"
#include "cri/security.h"
#include "cri/userns.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define RESOLV_MAX (64u << 10)

static bool clean_line(const char *s)
{
	return !strpbrk(s, "\n\r");
}

static struct err *join_words(struct buf *b, const char *keyword, char **words, size_t n)
{
	if (n == 0)
		return NULL;
	buf_puts(b, keyword);
	for (size_t i = 0; i < n; i++) {
		if (!clean_line(words[i]))
			return err_new(ERR_INVALID, "dns_config: line break in \"%s\"", keyword);
		buf_printf(b, " %s", words[i]);
	}
	buf_putc(b, '\n');
	return NULL;
}

/* resolv.conf(5) from the kubelet's DNS configuration; without one, the node's own. */
static struct err *make_resolv(const Runtime__V1__DNSConfig *dns, struct buf *b)
{
	if (!dns || (!dns->n_servers && !dns->n_searches && !dns->n_options)) {
		struct err *e = file_read_virtual(AT_FDCWD, "/etc/resolv.conf", RESOLV_MAX, b);

		if (!err_is(e, ERR_NOT_FOUND))
			return e;
		err_free(e);
		return NULL;
	}
	TRY(join_words(b, "search", dns->searches, dns->n_searches));
	for (size_t i = 0; i < dns->n_servers; i++)
		TRY(join_words(b, "nameserver", &dns->servers[i], 1));
	return join_words(b, "options", dns->options, dns->n_options);
}

/* The kubelet manages /etc/hosts in containers itself; this one is for those it does not. */
static void make_hosts(const struct pod *p, struct buf *b)
{
	const char *hostname = p->request->config->hostname;

	buf_puts(b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	for (size_t i = 0; !str_empty(hostname) && i < p->ips.len; i++)
		buf_printf(b, "%s\t%s\n", p->ips.items[i], hostname);
}

/* Containers get it as it is, so with their label, and their root owns it, whoever that is on the node. */
static struct err *put_file(const struct pod *p, int dir, const char *name, const struct buf *b, const char *label)
{
	char link[PATH_FD_MAX];
	uint32_t uid, gid;
	_close_ int fd = -1;

	TRY(file_replace_at(dir, name, buf_text(b), b->len, 0644, FILE_VOLATILE));
	userns_root(p, &uid, &gid);
	if ((uid || gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(errno, "owner of %s", name);
	if (!label)
		return NULL;
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || setxattr(path_of_fd(fd, link), "security.selinux", label, strlen(label), 0) < 0)
		return err_errno(errno, "label %s", name);
	return NULL;
}

static struct err *mount_shm(struct serve *s, const struct pod *p, const char *path, const char *label)
{
	char size[32], owner[16], group[16];
	uint32_t uid, gid;

	userns_root(p, &uid, &gid);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)reload_number(&s->config.shm_size));
	snprintf(owner, sizeof(owner), "%u", uid);
	snprintf(group, sizeof(group), "%u", gid);
	const struct mount_option options[] = {
		{ "source", "shm" }, { "mode", "1777" }, { "size", size }, { "uid", owner }, { "gid", group },
		{ "context", label },
	};
	_close_ int fd = -1;

	TRY(mount_new("tmpfs", options, ARRAY_LEN(options) - !label,
		      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &fd));
	return mount_attach_at(fd, path);
}

struct err *podfiles_make(struct serve *s, struct pod *p)
{
	const Runtime__V1__PodSandboxConfig *config = p->request->config;
	_close_ int dir = -1;
	_buf_ struct buf resolv = BUF_INIT, hosts = BUF_INIT, hostname = BUF_INIT;
	_arena_ struct arena a;
	const char *label;

	arena_init(&a);
	TRY(security_pod_label(s, &a, p, &label));
	if (mkdir(p->dir, 0700) < 0)
		return err_errno(errno, "make directory %s", p->dir);
	TRY(file_open_dir(AT_FDCWD, p->dir, false, 0, &dir));
	TRY_WRAP(make_resolv(config->dns_config, &resolv), "resolv.conf");
	TRY(put_file(p, dir, PODFILE_RESOLV, &resolv, label));
	if (p->netns_path) {
		make_hosts(p, &hosts);
		buf_printf(&hostname, "%s\n", config->hostname ? config->hostname : "");
		TRY(put_file(p, dir, PODFILE_HOSTS, &hosts, label));
		TRY(put_file(p, dir, PODFILE_HOSTNAME, &hostname, label));
	}
	if (pod_namespace_options(p)->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE)
		return NULL;
	_free_ char *shm = base_printf("%s/" PODFILE_SHM, p->dir);

	if (mkdir(shm, 0755) < 0)
		return err_errno(errno, "make directory %s", shm);
	return err_wrap(mount_shm(s, p, shm, label), "pod's /dev/shm");
}

struct err *podfiles_add_addresses(struct serve *s, struct pod *p)
{
	_buf_ struct buf hosts = BUF_INIT;
	_close_ int dir = -1;
	_arena_ struct arena a;
	const char *label;

	arena_init(&a);
	TRY(security_pod_label(s, &a, p, &label));
	make_hosts(p, &hosts);
	TRY(file_open_dir(AT_FDCWD, p->dir, false, 0, &dir));
	return put_file(p, dir, PODFILE_HOSTS, &hosts, label);
}

struct err *podfiles_remove(struct serve *s, struct pod *p)
{
	if (!p->dir)
		return NULL;
	_free_ char *shm = base_printf("%s/" PODFILE_SHM, p->dir);

	(void)s;
	TRY(mount_detach(shm));
	return file_remove_tree(AT_FDCWD, p->dir);
}

const char *podfiles_path(struct arena *a, const struct pod *p, const char *name)
{
	bool node_net = !p->netns_path;

	if (!strcmp(name, PODFILE_SHM))
		return pod_namespace_options(p)->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE
			       ? "/dev/shm"
			       : arena_printf(a, "%s/" PODFILE_SHM, p->dir);
	if (node_net && !strcmp(name, PODFILE_HOSTS))
		return "/etc/hosts";
	if (node_net && !strcmp(name, PODFILE_HOSTNAME))
		return access("/etc/hostname", F_OK) == 0 ? "/etc/hostname" : NULL;
	return arena_printf(a, "%s/%s", p->dir, name);
}
