#include "box/sysctl.h"

#include "base/file.h"
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SYSCTL_KEY_MAX 256
#define SYSCTL_VALUE_MAX 4096

/* ipc_namespaces(7), uts_namespaces(7), network_namespaces(7). A dot at the end: all that begin so. */
static const struct {
	const char *key;
	enum oci_namespace_kind ns;
} allowed[] = {
	{ "kernel.msgmax", OCI_NS_IPC },	{ "kernel.msgmnb", OCI_NS_IPC },
	{ "kernel.msgmni", OCI_NS_IPC },	{ "kernel.sem", OCI_NS_IPC },
	{ "kernel.shmall", OCI_NS_IPC },	{ "kernel.shmmax", OCI_NS_IPC },
	{ "kernel.shmmni", OCI_NS_IPC },	{ "kernel.shm_rmid_forced", OCI_NS_IPC },
	{ "fs.mqueue.", OCI_NS_IPC },		{ "net.", OCI_NS_NET },
	{ "kernel.domainname", OCI_NS_UTS },
};

/* Dots are slashes; a slash in a key is a dot of a name ("net.ipv4.conf.eth0/1.x", sysctl(8)). Only
 * characters of interface and key names: no component is "." or "..", none is empty. */
static struct err *key_to_path(const char *key, char ret_path[SYSCTL_KEY_MAX + 16])
{
	size_t n = strlen(key);

	if (n > SYSCTL_KEY_MAX)
		return err_new(ERR_INVALID, "the key is too long");
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)key[i]) && !strchr("._-/:@", key[i]))
			return err_new(ERR_INVALID, "the key has characters that no sysctl has");
	if (n == 0 || key[0] == '.' || key[0] == '/' || key[n - 1] == '.' || strstr(key, "..") ||
	    strstr(key, "//") || strstr(key, "./") || strstr(key, "/."))
		return err_new(ERR_INVALID, "the key is malformed");
	size_t at = (size_t)snprintf(ret_path, 16, "sys/");

	for (size_t i = 0; i <= n; i++)
		ret_path[at + i] = key[i] == '.' ? '/' : key[i] == '/' ? '.' : key[i];
	return NULL;
}

/* "kernel/shmmax" is the same key to sysctl(8): then slashes separate and dots are of the names. */
static char *normalise(const char *key)
{
	char *s = base_strdup(key);
	char *dot = strchr(s, '.'), *slash = strchr(s, '/');

	if (slash && (!dot || slash < dot))
		for (char *p = s; *p; p++)
			*p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
	return s;
}

static struct err *check_one(const struct oci_spec *spec, const struct cgroup_pair *pair)
{
	char path[SYSCTL_KEY_MAX + 16];
	_free_ char *key = normalise(pair->key);

	TRY(key_to_path(key, path));
	if (strlen(pair->value) > SYSCTL_VALUE_MAX)
		return err_new(ERR_INVALID, "the value is too long");
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		const char *a = allowed[i].key;

		if (str_ends(a, ".") ? !str_starts(key, a) : strcmp(key, a) != 0)
			continue;
		if (spec->ns[allowed[i].ns].wanted)
			return NULL;
		return err_new(ERR_INVALID, "not without a %s namespace of its own",
			       oci_namespace_name(allowed[i].ns));
	}
	return err_new(ERR_INVALID, "not a sysctl that the kernel keeps for each namespace");
}

struct err *sysctl_check(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->n_sysctls; i++)
		TRY_WRAP(check_one(spec, &spec->sysctls[i]), "sysctl %.256s", spec->sysctls[i].key);
	return NULL;
}

struct err *sysctl_apply(int proc_fd, const struct oci_spec *spec)
{
	char path[SYSCTL_KEY_MAX + 16];

	for (size_t i = 0; i < spec->n_sysctls; i++) {
		_free_ char *key = normalise(spec->sysctls[i].key);

		TRY_WRAP(key_to_path(key, path), "sysctl %s", spec->sysctls[i].key);
		TRY_WRAP(file_write_at(proc_fd, path, spec->sysctls[i].value), "sysctl %s = %s", key,
			 spec->sysctls[i].value);
	}
	return NULL;
}

int sysctl_namespace_flag(const char *key, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		size_t n = strlen(allowed[i].key);
		bool family = allowed[i].key[n - 1] == '.';

		if ((family ? len > n : len == n) && !strncmp(key, allowed[i].key, n))
			return oci_namespace_flag(allowed[i].ns);
	}
	return 0;
}
