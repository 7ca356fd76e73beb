/* The monitor's start and its loop. See monitor.h. */
#include "pod/state.h"

#include "base/log.h"
#include "pod/monitor.h"
#include "pod/process.h"
#include "sys/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

_Static_assert(MONITOR_CONTAINERS_MAX <= UINT16_MAX && MONITOR_EXECS_MAX <= UINT16_MAX &&
	       MONITOR_CLIENTS_MAX <= UINT16_MAX && MONITOR_ATTACHES_MAX <= UINT16_MAX, "slots are numbered by uint16_t");
_Static_assert(sizeof(struct container) <= 4096, "a container's slot fits in a page");
_Static_assert(MONITOR_CONTAINERS_MAX * 9 + MONITOR_EXECS_MAX * 4 + MONITOR_CLIENTS_MAX + MONITOR_ATTACHES_MAX * 2 +
		       MONITOR_JOBS_MAX + 64 <= MONITOR_NOFILE, "descriptors for full tables");
_Static_assert(MONITOR_SINK_MAX <= MONITOR_READ_MAX, "a sink's share of one read");

/* On pages of its own, for spare_pages(). */
static _Alignas(4096) struct monitor the_monitor;

/* Nobody's child but init's (or a subreaper's), so that serve has nothing to reap and its end means nothing. Born in its
 * cgroup: a process that is moved there waits until the kernel's locks of all processes have been asked (an RCU grace
 * period), which was most of what a monitor's start took. */
static struct err *detach(void)
{
	const struct clone c = {
		.cgroup_fd = fcntl(MONITOR_START_FD_CGROUP, F_GETFD) < 0 ? -1 : MONITOR_START_FD_CGROUP,
	};
	int pidfd, ignored;
	pid_t pid;

	TRY_WRAP(clone_start(&c, &pid, &pidfd, &ignored), "start in the monitors' cgroup");
	if (pid != 0)
		_exit(0);
	setsid();
	return NULL;
}

static void spare_from_oom(void)
{
	_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, "-999", 4);

	(void)n;
}

/* Megabytes of tables of which a few pages are used: where the node's transparent_hugepage is "always", the first touch
 * of a stretch that happens to be aligned, or khugepaged later, would make two megabytes of them. Not for the process
 * (PR_SET_THP_DISABLE): containers would inherit that. A kernel without huge pages refuses, and need not be told. */
static void spare_pages(void)
{
	madvise(&the_monitor, sizeof(the_monitor), MADV_NOHUGEPAGE);
}

static struct err *set_up_process(void)
{
	spare_pages();
	mon_process_init(MONITOR_NOFILE);
	if (chdir("/") < 0)
		return err_errno(errno, "chdir /");
	umask(022);
	syscall(SYS_close_range, MONITOR_FD_LISTEN + 1, ~0u, 0);
	prctl(PR_SET_NAME, "crisp-monitor");
	spare_from_oom();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_errno(errno, "subreaper");
	return NULL;
}

/* Moves *fd* to its fixed number. */
static struct err *place(int fd, int number)
{
	if (fd < 0)
		return err_errno(errno, "descriptor %d", number);
	if (fd == number)
		return NULL;
	if (dup3(fd, number, O_CLOEXEC) < 0)
		return err_errno(errno, "descriptor %d", number);
	close(fd);
	return NULL;
}

static struct err *set_up_descriptors(void)
{
	int fd = -1;

	/* The namespaces' numbers stay taken, so that nothing else gets them. */
	for (int number = MONITOR_FD_NS; number < MONITOR_FD_OWN_NET; number++)
		TRY(place(open("/dev/null", O_RDWR | O_CLOEXEC), number));
	TRY(place(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), MONITOR_FD_OWN_NET));
	TRY(mon_process_signal_fd(&fd));
	TRY(place(fd, MONITOR_FD_SIGNAL));
	TRY(place(epoll_create1(EPOLL_CLOEXEC), MONITOR_FD_EPOLL));
	if (fcntl(MONITOR_FD_LISTEN, F_SETFD, FD_CLOEXEC) < 0 || fcntl(MONITOR_FD_LISTEN, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(errno, "listening socket");
	TRY(mon_watch_add(WATCH_LISTEN, 0, 0, MONITOR_FD_LISTEN, false));
	TRY(mon_watch_add(WATCH_SIGNAL, 0, 0, MONITOR_FD_SIGNAL, false));
	/* From here on nobody listens: serve's end may go away, and a full pipe there must not stop us. */
	if (dup2(MONITOR_FD_NS, STDERR_FILENO) < 0)
		return err_errno(errno, "stderr");
	return NULL;
}

int monitor_main(int argc, char **argv)
{
	struct monitor *m = &the_monitor;

	(void)argc;
	(void)argv;
	log_init("monitor", LOG_LEVEL_INFO);
	struct err *e = detach();

	if (!e)
		e = set_up_process();
	if (!e)
		e = set_up_descriptors();
	if (e) {
		log_error("%s", err_text(e));
		_exit(1);
	}
	m->lonely_ns = clock_mono_ns() + MONITOR_LONELY_NS;
	while (!m->done)
		mon_step(m, mon_tick(m));
	_exit(0);
}
