/* crisp: one binary, its roles by the first word. */
#include "base/base.h"
#include "cli/cli.h"
#include "cri/check.h"
#include "cri/serve.h"
#include "image/archive.h"
#include "image/bake.h"
#include "image/fetch.h"
#include "image/unpack.h"
#include "oci/role.h"
#include "pod/monitor.h"
#include "stream/link.h"
#include "versions.h"

#include <stdio.h>
#include <string.h>

#undef stdin
#undef stdout

static int version_main(int argc, char **argv);

struct role {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;       /* NULL: started by serve, not by people */
};

static const struct role roles[] = {
	{ "serve", serve_main, "serve CRI to the kubelet" },
	{ "check", check_main, "name what this node lacks" },
	{ "bake", bake_main, "on a build host: images become a read-only store for an OS image" },
	{ "version", version_main, "the version, and those of the parts inside" },
	{ "monitor", monitor_main, NULL },
	{ "stream", stream_main, NULL },
	{ "fetch", fetch_main, NULL },
	{ "unpack", unpack_main, NULL },
	{ "archive", archive_main, NULL },
};

static int version_main(int argc, char **argv)
{
#define PART(name, version) { name, version },
	static const struct {
		const char *name, *version;
	} parts[] = { VENDOR_PARTS(PART) };
#undef PART

	(void)argc;
	(void)argv;
	printf("crisp %s\n", CRISP_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		printf("  %-14s %s\n", parts[i].name, parts[i].version);
	return 0;
}

static bool is_role(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (!strcmp(roles[i].name, name))
			return true;
	return false;
}

static int help(FILE *to)
{
	fputs("crisp: container runtime for immutable Kubernetes nodes\n\nusage: crisp VERB [ARGUMENTS]; crisp VERB --help\n\n",
	      to);
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (roles[i].help)
			fprintf(to, "  %-16s %s\n", roles[i].name, roles[i].help);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!is_role(v->name))
			fprintf(to, "  %-16s %s\n", v->name, v->help);
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL, *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	/* A link of this name is the client, whatever the verb. */
	bool crictl = argc > 0 && !strcmp(slash ? slash + 1 : argv[0], "crictl");

	if (!crictl && oci_is_asked(argc, argv))
		return oci_main(argc, argv);
	if (!word)
		return help(stderr);
	if (!strcmp(word, "--help") || !strcmp(word, "-h") || (!strcmp(word, "help") && argc == 2))
		return help(stdout);
	if (!strcmp(word, "--version") || !strcmp(word, "-v"))
		return version_main(argc, argv);
	for (size_t i = 0; i < ARRAY_LEN(roles) && !crictl; i++)
		if (!strcmp(word, roles[i].name))
			return roles[i].main(argc - 1, argv + 1);
	return cli_main(argc, argv);
}
