/* The monitor's tables and messages, with a recording double for processes and the clock.
 *
 * The input is a small program: connect, send a message (well-formed or raw), let a job report, a child die, a
 * container write, time pass. After each step: only children that live are signalled, no slot names one that was
 * reaped. At the end everything is closed and dies, and no descriptor may be left. */
#include "base/clock.h"
#include "base/file.h"
#include "pod/exit.h"
#include "pod/process.h"
#include "pod/state.h"
#include "sys/pidfd.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CHILDREN_MAX 512
#define PEERS_MAX    16
#define STEPS_MAX    300
#define FIRST_PID    5000000   /* above any real one */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct monitor m;
static struct sockaddr_un address;
static socklen_t address_len = sizeof(address);
static char log_dir[] = "/tmp/crisp-monitor-fuzz-XXXXXX";

/* A child that was "forked", or that a job said it made. */
static struct child {
	pid_t pid;
	bool ended;              /* in the queue to be reaped */
	int status;
	int report;              /* the job's socket, -1: none */
	int start, out, error, console; /* the container's ends, -1: none */
} children[CHILDREN_MAX];
static size_t n_children;
static pid_t next_pid;
static int64_t now_ns;
static int peers[PEERS_MAX];
static int full_reader = -1;

/* ---- doubles ---------------------------------------------------------------------------------- */

int64_t clock_mono_ns(void)
{
	return now_ns;
}

int64_t clock_wall_ns(void)
{
	return INT64_C(1763892000000000000) + now_ns;
}

int clock_ms_until(int64_t deadline_ns)
{
	return deadline_ns > now_ns && deadline_ns != CLOCK_NEVER ? 1 : 0;
}

void clock_format(int64_t wall_ns, char ret_text[CLOCK_TEXT_MAX])
{
	(void)wall_ns;
	snprintf(ret_text, CLOCK_TEXT_MAX, "2026-11-23T10:00:00.000000000Z");
}

struct err *pidfd_open_pid(pid_t pid, int *ret_fd)
{
	(void)pid;
	*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return NULL;
}

struct err *pidfd_signal(int pidfd, int signal)
{
	(void)pidfd;
	(void)signal;
	return NULL;
}

bool pidfd_has_ended(int pidfd)
{
	(void)pidfd;
	return false;
}

static struct child *find_child(pid_t pid)
{
	for (size_t i = 0; i < n_children; i++)
		if (children[i].pid == pid)
			return &children[i];
	return NULL;
}

static int keep_copy(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 100);
}

static struct child *add_child(void)
{
	if (n_children == CHILDREN_MAX)
		return NULL;
	struct child *c = &children[n_children++];

	*c = (struct child){ .pid = next_pid++, .report = -1, .start = -1, .out = -1, .error = -1,
			      .console = -1 };
	return c;
}

void mon_process_init(unsigned nofile)
{
	(void)nofile;
}

struct err *mon_process_signal_fd(int *ret_fd)
{
	*ret_fd = -1;
	return NULL;
}

struct err *mon_process_fork(int report_fd, pid_t *ret_pid)
{
	struct child *c = add_child();
	const struct child_io *io = NULL;

	if (!c)
		return err_new(ERR_EXHAUSTED, "no more children");
	/* Its ends: of the container or exec that is being made just now. */
	for (unsigned i = 0; i < m.n_containers; i++)
		if (m.containers[i].phase == PHASE_MAKING && m.containers[i].io.error >= 0)
			io = &m.containers[i].io;
	for (unsigned i = 0; i < m.n_execs; i++)
		if (m.execs[i].phase == PHASE_MAKING && m.execs[i].io.error >= 0)
			io = &m.execs[i].io;
	c->report = keep_copy(report_fd);
	if (io) {
		c->start = keep_copy(io->start);
		c->out = keep_copy(io->stdio[1]);
		c->error = keep_copy(io->error);
		c->console = keep_copy(io->console);
	}
	*ret_pid = c->pid;
	return NULL;
}

struct err *mon_process_keep(int *const fds[], size_t n)
{
	(void)fds;
	(void)n;
	abort(); /* only children call it */
}

/* The rule that matters most: never a signal for a process that is not ours. */
void mon_process_kill(pid_t pid, int signal, bool group)
{
	(void)group;
	if (pid <= 1 || signal == 0)
		return;
	if (pid >= FIRST_PID && !find_child(pid))
		abort();
}

bool mon_process_reap(pid_t *ret_pid, int *ret_status)
{
	for (size_t i = 0; i < n_children; i++) {
		struct child *c = &children[i];

		if (!c->ended)
			continue;
		*ret_pid = c->pid;
		*ret_status = c->status;
		mon_close_fd(&c->report);
		mon_close_fd(&c->start);
		mon_close_fd(&c->out);
		mon_close_fd(&c->error);
		mon_close_fd(&c->console);
		children[i] = children[--n_children];
		return true;
	}
	return false;
}

/* ---- the input as a program ------------------------------------------------------------------- */

struct input {
	const uint8_t *p;
	size_t n;
};

static unsigned take(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static void settle(void)
{
	struct pollfd p = { .fd = MONITOR_FD_EPOLL, .events = POLLIN };

	for (int i = 0; i < 8 && !m.done && poll(&p, 1, 0) > 0; i++)
		mon_step(&m, 0);
	/* What a container or cgroup path from the input may name is not for the machine that fuzzes. */
	m.pod_cgroup[0] = '\0';
	for (unsigned i = 0; i < m.n_containers; i++)
		if (m.containers[i].phase != PHASE_FREE) {
			m.containers[i].cgroup[0] = '\0';
			if (m.containers[i].state_dir[0])
				strcpy(m.containers[i].state_dir, "/nonexistent/fuzz");
		}
}

static void do_connect(struct input *in)
{
	unsigned i = take(in) % PEERS_MAX;

	if (peers[i] >= 0)
		close(peers[i]);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	peers[i] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	close(fd);
	if (connect(peers[i], (struct sockaddr *)&address, address_len))
		mon_close_fd(&peers[i]);
	else if (take(in) & 1) {
		struct message hello;

		message_init(&hello, MONITOR_HELLO, 1);
		message_put_u64(&hello, MONITOR_TAG_PROTOCOL, 1);
		err_free(message_send(peers[i], &hello));
	}
}

/* A pipe that takes nothing until do_read() empties it. */
static int full_pipe(void)
{
	static const char fill[4096];
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK))
		return -1;
	while (write(p[1], fill, sizeof(fill)) > 0)
		;
	mon_close_fd(&full_reader);
	full_reader = keep_copy(p[0]);
	close(p[0]);
	return p[1];
}

static int some_fd(unsigned kind)
{
	int p[2], fd = -1;

	switch (kind % 7) {
	case 6:
		return full_pipe();
	case 0:
		return memfd_create("fuzz", MFD_CLOEXEC);
	case 1:
		return open(log_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	case 2:
		return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	case 3:
		if (pipe2(p, O_CLOEXEC))
			return -1;
		close(p[0]);
		return p[1];
	case 4:
		if (pipe2(p, O_CLOEXEC))
			return -1;
		fd = fcntl(p[1], F_DUPFD_CLOEXEC, 100); /* nobody reads, but it stays open */
		close(p[1]);
		close(fd);
		return p[0];
	default:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	}
}

static void put_field(struct input *in, struct message *msg)
{
	static const char *const words[] = { "a", "b", "c", "", "0.log", "d/1.log", "../x", "/", "net.x", "1" };
	uint16_t tag = (uint16_t)(MESSAGE_TAG_FIRST + take(in) % 34);
	unsigned how = take(in), n;
	uint64_t v;

	switch (how % 4) {
	case 0:
		message_put_str(msg, tag, words[take(in) % ARRAY_LEN(words)]);
		break;
	case 1:
		v = take(in);
		v |= (uint64_t)take(in) << 8;
		message_put_u64(msg, tag, v);
		break;
	case 2:
		n = take(in);
		n = MIN(n, (unsigned)in->n);
		message_put(msg, tag, in->p, n);
		in->p += n;
		in->n -= n;
		break;
	default:
		message_put_u64(msg, tag, UINT64_MAX >> (how / 4 % 64));
	}
}

static void do_send(struct input *in)
{
	int peer = peers[take(in) % PEERS_MAX];
	struct message msg;

	uint16_t type = (uint16_t)(take(in) % 24);

	message_init(&msg, type, take(in));
	for (unsigned n = take(in) % 8; n; n--)
		put_field(in, &msg);
	for (unsigned n = take(in) % 6; n; n--)
		message_add_fd(&msg, some_fd(take(in)));
	if (peer >= 0)
		err_free(message_send(peer, &msg));
	message_close_fds(&msg);
}

/* A header that is right before fields that are not. */
static void do_send_raw(struct input *in)
{
	int peer = peers[take(in) % PEERS_MAX];
	unsigned char packet[16 + 256] = { 'C', 'R', 'S', 'P' };
	uint32_t n = take(in);

	packet[4] = (unsigned char)take(in);
	bool wrong_length = take(in) % 8 == 0;

	n = MIN(n, (uint32_t)in->n);
	memcpy(packet + 12, &n, sizeof(n));
	packet[12] ^= wrong_length;
	memcpy(packet + 16, in->p, n);
	in->p += n;
	in->n -= n;
	if (peer >= 0)
		(void)!send(peer, packet, 16 + n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static struct child *pick(struct input *in)
{
	return n_children ? &children[take(in) % n_children] : NULL;
}

/* The maker reports: a new child, or an error, or nonsense. */
static void do_report(struct input *in)
{
	struct child *c = pick(in), *made = NULL;
	unsigned how = take(in);
	struct message msg;

	if (!c || c->report < 0)
		return;
	message_init(&msg, MONITOR_HELLO, 0);
	if (how % 4 == 1) {
		struct err *e = err_new(ERR_INVALID, "it did not work");

		message_put_err(&msg, e);
		err_free(e);
	} else if (how % 4 != 2 && (made = add_child())) {
		made->start = TAKE_FD(c->start);
		made->out = keep_copy(c->out);
		made->error = keep_copy(c->error);
		message_put_u64(&msg, MONITOR_TAG_PID, (uint64_t)made->pid);
	}
	for (unsigned n = how / 4 % 6; n; n--)
		message_add_fd(&msg, some_fd(how % 2 ? take(in) : 2));
	if (c->console >= 0 && how & 128) {
		struct message terminal; /* not what box sends, but a descriptor comes with it */

		message_init(&terminal, 1, 0);
		message_add_fd(&terminal, some_fd(how & 32 ? 5 : 4));
		err_free(message_send(c->console, &terminal));
		message_close_fds(&terminal);
	}
	err_free(message_send(c->report, &msg));
	message_close_fds(&msg);
	mon_close_fd(&c->report);
	mon_close_fd(&c->error);
	mon_close_fd(&c->out);
	/* It may have ended already, and be reaped before the report is read. */
	if (made && how & 64) {
		made->ended = true;
		made->status = 7 << 8;
		mon_reap_children(&m);
	}
}

static void do_die(struct input *in)
{
	struct child *c = pick(in);
	unsigned how = take(in);

	if (!c)
		return;
	c->ended = true;
	c->status = how & 1 ? (int)(how >> 1) << 8 : 9;
	mon_reap_children(&m);
}

static void do_output(struct input *in)
{
	static const char text[] = "a line\nand another that goes on";
	struct child *c = pick(in);
	unsigned how = take(in);

	if (!c)
		return;
	int fd = how & 1 ? c->error : c->out;

	if (how & 2)
		mon_close_fd(how & 1 ? &c->error : &c->out);
	else if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		(void)!write(fd, text, MIN((size_t)(how >> 2), sizeof(text)));
}

static void do_close(struct input *in)
{
	mon_close_fd(&peers[take(in) % PEERS_MAX]);
}

static void do_time(struct input *in)
{
	now_ns += (int64_t)take(in) * 50 * NS_PER_MS;
	mon_tick(&m);
}

static void do_read(struct input *in)
{
	static char drained[65536];
	struct message msg;
	bool eof;
	int peer = peers[take(in) % PEERS_MAX];

	if (full_reader >= 0)
		(void)!read(full_reader, drained, sizeof(drained));
	if (peer < 0)
		return;
	struct err *e = message_recv(peer, 0, &msg, &eof);

	if (!e)
		message_close_fds(&msg);
	err_free(e);
}

static void (*const steps[])(struct input *in) = { do_connect, do_send, do_send, do_send_raw, do_report, do_report, do_die,
						   do_output, do_close, do_time, do_read };

/* ---- what must hold --------------------------------------------------------------------------- */

static void check_pid(pid_t pid)
{
	if (pid && !find_child(pid))
		abort();
}

static void check(void)
{
	for (unsigned i = 0; i < m.n_containers; i++)
		if (m.containers[i].phase != PHASE_FREE)
			check_pid(m.containers[i].pid);
	for (unsigned i = 0; i < m.n_execs; i++)
		if (m.execs[i].phase != PHASE_FREE)
			check_pid(m.execs[i].pid);
	for (unsigned i = 0; i < m.n_jobs; i++)
		if (m.jobs[i].kind != JOB_NONE)
			check_pid(m.jobs[i].pid);
}

static size_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* All clients go, all children die, time passes: what is left then is forgotten by hand. */
static void finish(void)
{
	for (size_t i = 0; i < PEERS_MAX; i++)
		mon_close_fd(&peers[i]);
	mon_close_fd(&full_reader);
	for (int round = 0; round < 3; round++) {
		settle();
		for (size_t i = 0; i < n_children; i++) {
			children[i].ended = true;
			children[i].status = 9;
		}
		mon_reap_children(&m);
		now_ns += 60 * NS_PER_S;
		mon_tick(&m);
	}
	for (unsigned i = 0; i < MONITOR_CLIENTS_MAX; i++)
		mon_client_close(&m, i);
	for (unsigned i = 0; i < MONITOR_CONTAINERS_MAX; i++)
		if (m.containers[i].phase == PHASE_EXITED)
			mon_container_release(&m, i);
		else if (m.containers[i].phase != PHASE_FREE && !m.done)
			abort(); /* its end was never noticed */
		else if (m.containers[i].phase != PHASE_FREE)
			mon_container_release(&m, i);
	if (!m.done && (m.n_execs || m.n_jobs || m.n_attaches || m.n_clients || m.n_containers))
		abort();
}

/* The namespaces' fixed numbers as at the start. */
static void place_namespaces(void)
{
	for (int fd = MONITOR_FD_NS; fd < MONITOR_FD_OWN_NET; fd++) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null != fd) {
			dup3(null, fd, O_CLOEXEC);
			close(null);
		}
	}
}

static void remove_log_dir(void)
{
	rmdir(log_dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fds[] = { [MONITOR_FD_LISTEN] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
		      [MONITOR_FD_OWN_NET] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
		      [MONITOR_FD_SIGNAL] = open("/dev/null", O_RDONLY | O_CLOEXEC),
		      [MONITOR_FD_EPOLL] = epoll_create1(EPOLL_CLOEXEC) };

	(void)argc;
	(void)argv;
	for (int i = MONITOR_FD_LISTEN; i < MONITOR_FD_FREE; i++)
		if (fds[i] > 0)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 50);
	for (int i = MONITOR_FD_LISTEN; i < MONITOR_FD_FREE; i++)
		if (fds[i] > 0)
			dup3(fds[i], i, O_CLOEXEC);
	/* An address of the kernel's choice, in no file system. */
	if (bind(MONITOR_FD_LISTEN, &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(sa_family_t)) ||
	    listen(MONITOR_FD_LISTEN, 64) ||
	    getsockname(MONITOR_FD_LISTEN, (struct sockaddr *)&address, &address_len) || !mkdtemp(log_dir))
		abort();
	struct err *e = mon_watch_add(WATCH_LISTEN, 0, 0, MONITOR_FD_LISTEN, false);

	if (e)
		abort();
	signal(SIGPIPE, SIG_IGN);
	atexit(remove_log_dir);
	place_namespaces();
	for (size_t i = 0; i < PEERS_MAX; i++)
		peers[i] = -1;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	_free_ char *text = base_strndup((const char *)data, MIN(size, (size_t)200));
	struct exit_record x;

	err_free(exit_parse(text, &x));
	memset(&m, 0, offsetof(struct monitor, in));
	m.lonely_ns = CLOCK_NEVER;
	next_pid = FIRST_PID;
	now_ns = NS_PER_S;
	size_t before = count_fds();

	for (int i = 0; i < STEPS_MAX && in.n && !m.done; i++) {
		steps[take(&in) % ARRAY_LEN(steps)](&in);
		settle();
		check();
	}
	finish();
	place_namespaces();
	if (count_fds() != before)
		abort();
	if (rmdir(log_dir) == 0 || !file_remove_tree(AT_FDCWD, log_dir))
		if (mkdir(log_dir, 0700))
			abort();
	return 0;
}
