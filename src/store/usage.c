#include "store/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void walk(int fd, dev_t dev, unsigned depth, struct usage *u)
{
	DIR *d = fdopendir(fd);
	struct dirent *ent;

	if (!d) {
		close(fd);
		return;
	}
	while ((ent = readdir(d))) {
		struct stat st;

		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		if (fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* removed meanwhile */
		u->inodes++;
		u->bytes += (uint64_t)st.st_blocks * 512;
		if (!S_ISDIR(st.st_mode) || st.st_dev != dev || depth >= USAGE_DEPTH_MAX)
			continue;
		int sub = openat(dirfd(d), ent->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (sub >= 0)
			walk(sub, dev, depth + 1, u);
	}
	closedir(d);
}

struct err *usage_of_tree(const char *path, struct usage *ret)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret = (struct usage){ 0 };
	if (fd < 0)
		return err_errno(errno, "%s", path);
	if (fstat(fd, &st) < 0) {
		int e = errno;

		close(fd);
		return err_errno(e, "%s", path);
	}
	ret->inodes = 1;
	ret->bytes = (uint64_t)st.st_blocks * 512;
	walk(fd, st.st_dev, 0, ret);
	return NULL;
}
