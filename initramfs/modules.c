/* Kernel modules, from a list whose order the image's build took from modules.dep. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIST_MAX 16384

static void load(const char *dir, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return say("module %s: %s", name, strerror(errno));
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		say("module %s: %s", name, strerror(errno));
	close(fd);
}

void modules_load(const char *dir)
{
	static char list[LIST_MAX];
	char path[512], *name, *save;

	snprintf(path, sizeof(path), "%s/list", dir);
	if (!read_file(path, list, sizeof(list)))
		return say("%s: no list of modules", path);
	for (name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
		load(dir, name);
}
