/*
 * The supervisor: one loop over signals, the control pipe and the services' output.
 *
 * A service that ends is started again, at once the first time, then after waits that double up to ten
 * seconds; ten seconds of life make it new again. Only its own process is ended by a stop: what it left
 * behind (a runtime's monitors) is not ours to end.
 *
 * /run/init/NAME.pid       the process, for tests and tools
 * /run/init/NAME.starts    how often it was started
 * /run/init/control        takes lines: start NAME, stop NAME, poweroff, reboot
 */
#include "init.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
#define STABLE_MS 10000
#define STOP_GRACE_MS 10000
#define NEEDS_TICK_MS 50
#define CONTROL_PATH "/run/init/control"
#define LINE_SIZE 256

static bool service_enabled(const struct config *c, const struct service *s)
{
	const char *equals = s->when ? strchr(s->when, '=') : NULL, *value;
	char key[64];

	if (!s->when)
		return true;
	if (!equals || equals - s->when >= (int)sizeof(key))
		return false;
	memcpy(key, s->when, equals - s->when);
	key[equals - s->when] = 0;
	value = config_value(c, key);
	return value && (!equals[1] || strcmp(value, equals + 1) == 0);
}

static void service_note(const struct service *s)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/run/init/%s.pid", s->name);
	snprintf(text, sizeof(text), "%d\n", s->pid);
	write_file(path, text);
	snprintf(path, sizeof(path), "/run/init/%s.starts", s->name);
	snprintf(text, sizeof(text), "%d\n", s->starts);
	write_file(path, text);
}

static void service_start(struct service *s)
{
	s->started_ms = now_ms();
	s->pid = spawn_service(s);
	s->starts++;
	if (s->pid < 0) {
		say("%s: fork: %s", s->name, strerror(errno));
		s->pid = 0;
		s->start_at_ms = now_ms() + BACKOFF_MAX_MS;
		return;
	}
	s->start_at_ms = 0;
	service_note(s);
	say("%s: started, pid %d", s->name, s->pid);
}

static void service_ended(struct service *s, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	int64_t now = now_ms();

	s->pid = 0;
	s->status = status;
	s->kill_at_ms = 0;
	service_note(s);
	if (WIFSIGNALED(status))
		say("%s: ended by signal %d", s->name, WTERMSIG(status));
	else
		say("%s: ended with code %d", s->name, code);
	if (s->final) {
		spawn_report(s, code);
		machine_stop(RB_POWER_OFF);
	}
	if (s->once)
		s->wanted = false;
	if (!s->wanted)
		return;
	if (now - s->started_ms >= STABLE_MS || !s->backoff_ms)
		s->backoff_ms = BACKOFF_FIRST_MS;
	else if (s->backoff_ms < BACKOFF_MAX_MS)
		s->backoff_ms *= 2;
	s->start_at_ms = now + s->backoff_ms;
}

static void reap(struct config *c)
{
	int status, i;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < c->service_count; i++)
			if (c->services[i].pid == pid)
				service_ended(&c->services[i], status);
}

/* Start what is due, kill what would not stop; returns how long nothing else will be due. */
static int services_tick(struct config *c)
{
	int64_t now = now_ms(), next = now + 60000;
	int i;

	for (i = 0; i < c->service_count; i++) {
		struct service *s = &c->services[i];
		int64_t due = 0;

		if (s->pid && s->kill_at_ms && now >= s->kill_at_ms) {
			say("%s: did not stop, killed", s->name);
			kill(s->pid, SIGKILL);
			s->kill_at_ms = 0;
		}
		if (s->pid && s->kill_at_ms)
			due = s->kill_at_ms;
		if (s->wanted && !s->pid) {
			/* the path may be in a directory that is not there yet: looking is simpler than inotify */
			if (s->needs && access(s->needs, F_OK) < 0)
				due = now + NEEDS_TICK_MS;
			else if (s->start_at_ms > now)
				due = s->start_at_ms;
			else
				service_start(s);
		}
		if (due && due < next)
			next = due;
	}
	return next > now ? next - now : 0;
}

static void control_line(struct config *c, const char *line)
{
	char verb[16] = "", name[64] = "";
	int i;

	if (sscanf(line, "%15s %63s", verb, name) < 1)
		return;
	if (strcmp(verb, "poweroff") == 0)
		machine_stop(RB_POWER_OFF);
	if (strcmp(verb, "reboot") == 0)
		machine_stop(RB_AUTOBOOT);
	for (i = 0; i < c->service_count; i++) {
		struct service *s = &c->services[i];

		if (strcmp(s->name, name) != 0)
			continue;
		s->wanted = strcmp(verb, "start") == 0;
		s->start_at_ms = s->backoff_ms = 0;
		if (strcmp(verb, "stop") == 0 && s->pid) {
			kill(s->pid, SIGTERM);
			s->kill_at_ms = now_ms() + STOP_GRACE_MS;
		}
	}
}

static void control_read(struct config *c, int fd)
{
	char text[LINE_SIZE], *line, *save;
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return;
	text[n] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		control_line(c, line);
}

static void signal_read(struct config *c, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(c);
	else
		machine_stop(info.ssi_signo == SIGINT ? RB_AUTOBOOT : RB_POWER_OFF);
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGPWR);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* ctrl-alt-del comes as SIGINT, in place of a reboot at once */
	reboot(RB_DISABLE_CAD);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void loop(struct config *c, int signals, int control)
{
	struct pollfd fds[SERVICES_MAX + 2];
	int i, timeout = services_tick(c);

	fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = control, .events = POLLIN };
	for (i = 0; i < c->service_count; i++)
		fds[i + 2] = (struct pollfd){ .fd = c->services[i].log_in, .events = POLLIN };
	if (poll(fds, c->service_count + 2, timeout) < 0)
		return;
	for (i = 0; i < c->service_count; i++)
		if (fds[i + 2].revents)
			spawn_log(&c->services[i]);
	if (fds[1].revents)
		control_read(c, control);
	if (fds[0].revents)
		signal_read(c, signals);
}

void services_run(struct config *c)
{
	int signals = signals_open(), control, i;

	if (mkfifo(CONTROL_PATH, 0600) < 0 && errno != EEXIST)
		say("%s: %s", CONTROL_PATH, strerror(errno));
	control = open(CONTROL_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	for (i = 0; i < c->service_count; i++) {
		struct service *s = &c->services[i];

		s->wanted = !s->manual && service_enabled(c, s);
		spawn_prepare(s);
	}
	for (;;)
		loop(c, signals, control);
}
