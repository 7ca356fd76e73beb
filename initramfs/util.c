/* Words to the console, the kernel's command line, small files. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CMDLINE_MAX 4096

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void say_list(const char *format, va_list list)
{
	char line[1024];
	int64_t ms = now_ms();
	int n, fd;

	n = snprintf(line, sizeof(line), "[%5lld.%03lld] init: ", (long long)(ms / 1000), (long long)(ms % 1000));
	n += vsnprintf(line + n, sizeof(line) - n - 1, format, list);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = STDERR_FILENO;
	/* a console that does not take it must not stop PID 1 */
	if (write(fd, line, n) < 0)
		errno = 0;
	if (fd != STDERR_FILENO)
		close(fd);
}

void say(const char *format, ...)
{
	int saved = errno;
	va_list list;

	va_start(list, format);
	say_list(format, list);
	va_end(list);
	errno = saved;
}

void fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say_list(format, list);
	va_end(list);
	say("cannot start: the machine stops");
	sync();
	sleep(1);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

bool read_file(const char *path, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (have < size && (n = read(fd, buf + have, size - have)) > 0)
		have += n;
	close(fd);
	if (have == size)
		return false;
	buf[have] = 0;
	return true;
}

bool write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, len) == (ssize_t)len;
	close(fd);
	return ok;
}

bool make_dir(const char *path, mode_t mode)
{
	char part[256];
	size_t i, len = strlen(path);

	if (len >= sizeof(part))
		return false;
	for (i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return false;
	}
	return chmod(path, mode) == 0 || errno == EROFS;
}

bool cmdline_get(const char *key, const char **ret_value)
{
	static char cmdline[CMDLINE_MAX];
	static char value[CMDLINE_MAX];
	static size_t used;
	char *word, *save, copy[CMDLINE_MAX];
	size_t len = strlen(key);

	if (!cmdline[0] && !read_file("/proc/cmdline", cmdline, sizeof(cmdline)))
		return false;
	memcpy(copy, cmdline, sizeof(copy));
	for (word = strtok_r(copy, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strncmp(word, key, len) != 0 || word[len] != '=')
			continue;
		/* each answer keeps its own place; keys are few and asked for once */
		if (used + strlen(word + len + 1) + 1 > sizeof(value))
			return false;
		*ret_value = strcpy(value + used, word + len + 1);
		used += strlen(*ret_value) + 1;
		return true;
	}
	return false;
}
