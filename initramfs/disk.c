/* Disks by what they are, never by the order in which they were found. */
#include "init.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UEVENT_MAX 4096

static bool line_is(const char *text, const char *key, const char *value)
{
	const char *at = strstr(text, key);
	size_t len = strlen(value);

	return at && strncmp(at + strlen(key), value, len) == 0 &&
		(at[strlen(key) + len] == '\n' || at[strlen(key) + len] == 0);
}

static bool disk_is(const char *device, const char *name)
{
	char path[300], text[UEVENT_MAX];

	snprintf(path, sizeof(path), "/sys/class/block/%s/serial", device);
	if (read_file(path, text, sizeof(text)) && line_is(text, "", name))
		return true;
	snprintf(path, sizeof(path), "/sys/class/block/%s/uevent", device);
	return read_file(path, text, sizeof(text)) && line_is(text, "PARTNAME=", name);
}

static bool look(const char *name, char *path, size_t size)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	if (name[0] == '/') {
		snprintf(path, size, "%s", name);
		return access(path, F_OK) == 0;
	}
	dir = opendir("/sys/class/block");
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !disk_is(entry->d_name, name))
			continue;
		found = snprintf(path, size, "/dev/%s", entry->d_name) < (int)size;
	}
	closedir(dir);
	return found;
}

bool disk_find(const char *name, int wait_ms, char *path, size_t size)
{
	int64_t until = now_ms() + wait_ms;

	/* a bus may still be looking for its disks: no event says that it is done */
	while (!look(name, path, size)) {
		if (now_ms() >= until)
			return false;
		usleep(20000);
	}
	return true;
}
