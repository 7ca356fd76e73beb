#include "spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MAX (2 << 20)
#define PORT_WAIT_MS 5000

static char *const base_env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=vt100", NULL
};

static void log_open(struct service *s)
{
	char path[128];

	snprintf(path, sizeof(path), "/run/log/%s.log", s->name);
	if (s->log_fd >= 0)
		close(s->log_fd);
	s->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	s->log_size = 0;
}

void spawn_prepare(struct service *s)
{
	char path[128];
	int pair[2];

	snprintf(path, sizeof(path), "/sys/fs/cgroup/services/%s", s->name);
	mkdir(path, 0755);
	if (s->tty || s->port)
		return;
	/* one pipe for all starts: what an earlier process left behind may still be writing */
	if (pipe2(pair, O_CLOEXEC) < 0) {
		say("%s: pipe: %s", s->name, strerror(errno));
		return;
	}
	s->log_in = pair[0];
	s->log_out = pair[1];
	fcntl(s->log_in, F_SETFL, O_NONBLOCK);
	log_open(s);
}

void spawn_log(struct service *s)
{
	char text[8192], path[128], old[136];
	ssize_t n = read(s->log_in, text, sizeof(text));
	int fd;

	if (n <= 0)
		return;
	if (s->log_size + n > LOG_MAX) {
		snprintf(path, sizeof(path), "/run/log/%s.log", s->name);
		snprintf(old, sizeof(old), "%s.1", path);
		rename(path, old);
		log_open(s);
	}
	if (s->log_fd >= 0 && write(s->log_fd, text, n) == n)
		s->log_size += n;
	if (!s->console)
		return;
	fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		if (write(fd, text, n) < 0)
			errno = 0;
		close(fd);
	}
}

/* The device of a virtio-serial port, by its name (there is no udev to make a link). */
static bool port_path(const char *name, char *path, size_t size)
{
	char file[300], text[64];
	struct dirent *entry;
	DIR *dir = opendir("/sys/class/virtio-ports");
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		snprintf(file, sizeof(file), "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (entry->d_name[0] == '.' || !read_file(file, text, sizeof(text)))
			continue;
		text[strcspn(text, "\n")] = 0;
		if (strcmp(text, name) == 0)
			found = snprintf(path, size, "/dev/%s", entry->d_name) < (int)size;
	}
	if (dir)
		closedir(dir);
	return found;
}

static int port_open(const char *name)
{
	int64_t until = now_ms() + PORT_WAIT_MS;
	char path[300];

	while (!port_path(name, path, sizeof(path))) {
		if (now_ms() > until) {
			errno = ENODEV;
			return -1;
		}
		usleep(20000);
	}
	return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

void spawn_report(struct service *s, int code)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "\ncrisp-exit: %d\n", code), fd = s->port ? port_open(s->port) : -1;

	if (fd < 0 || write(fd, line, n) != n)
		say("%s: exit code %d could not be reported", s->name, code);
	if (fd >= 0)
		close(fd);
}

/* In the child. */
static void stdio_set(const struct service *s)
{
	int in = open("/dev/null", O_RDONLY), out = s->log_out;

	if (s->port)
		in = out = port_open(s->port);
	if (s->tty) {
		in = out = open(s->tty, O_RDWR);
		ioctl(in, TIOCSCTTY, 1);
	}
	if (in < 0 || out < 0) {
		say("%s: %s: %s", s->name, s->port ? s->port : s->tty ? s->tty : "log", strerror(errno));
		_exit(126);
	}
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	if (in > STDERR_FILENO)
		close(in);
}

static void child(struct service *s)
{
	char path[128];
	sigset_t none;
	int i;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(path, sizeof(path), "/sys/fs/cgroup/services/%s/cgroup.procs", s->name);
	write_file(path, "0");
	stdio_set(s);
	clearenv();
	for (i = 0; base_env[i]; i++)
		putenv(base_env[i]);
	for (i = 0; i < s->env_count; i++)
		putenv(s->env[i]);
	if (chdir("/") == 0)
		execv(s->run.argv[0], s->run.argv);
	dprintf(STDERR_FILENO, "%s: %s\n", s->run.argv[0], strerror(errno));
	_exit(127);
}

pid_t spawn_service(struct service *s)
{
	pid_t pid = fork();

	if (pid == 0)
		child(s);
	return pid;
}
