/* The watching thread: what lies in the directories, and who asks on the socket (import.h). */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "image/import_protocol.h"
#include "image/import_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define EVENTS (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)
/* Directories are looked at when nothing has happened in them for so long, or something has for so much longer. */
#define SETTLE_NS  (300 * NS_PER_MS)
#define PATIENCE_NS (5 * NS_PER_S)
#define ASK_NS     NS_PER_S         /* for one who has connected to say what for */
#define BACKLOG    16

/* ---- a file ----------------------------------------------------------------------------------- */

static bool is_ours(const char *name)
{
	static const char *const suffixes[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tar.lz4", ".tar.xz",
						".txt" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (str_ends(name, suffixes[i]))
			return true;
	return false;
}

static uint64_t mtime_of(const struct stat *st)
{
	return (uint64_t)(st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec);
}

/* False: not one that is imported, or not there. */
static bool sign_path(const char *path, struct import_sign *ret)
{
	struct stat st, blobs = { 0 };

	if (stat(path, &st) < 0)
		return false;
	if (S_ISDIR(st.st_mode)) {
		_free_ char *index = base_printf("%s/index.json", path), *dir = base_printf("%s/blobs/sha256", path);

		if (stat(index, &st) < 0 || stat(dir, &blobs) < 0)
			return false;
	} else if (!is_ours(path)) {
		return false;
	}
	*ret = (struct import_sign){ st.st_dev, st.st_ino, (uint64_t)st.st_size, mtime_of(&st), mtime_of(&blobs) };
	return S_ISREG(st.st_mode) && st.st_size > 0;
}

/* fcntl(2), F_SETLEASE: a read lease is refused while anybody has the file open for writing. A file system that knows no
 * leases leaves us with the file as it is: if it was cut short its sign changes, and it is tried again. */
static bool is_being_written(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

struct err *import_open_file(const char *path, int *ret_fd, struct import_sign *ret_sign)
{
	struct stat st;
	_close_ int fd = -1;

	*ret_fd = -1;
	if (!sign_path(path, ret_sign))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(errno, "open");
	if (S_ISREG(st.st_mode) && is_being_written(fd))
		return NULL;
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

/* ---- a look at all of them (lock held) -------------------------------------------------------- */

static void watch(struct importer *im, const char *path)
{
	if (inotify_add_watch(im->inotify, path, EVENTS | IN_ONLYDIR) < 0 && errno != ENOTDIR && errno != ENOENT)
		log_warn("imports: watch %s: %s", path, strerror(errno));
}

static void look_at(struct importer *im, const char *path)
{
	struct import_file *f = importer_find(im, path);
	struct import_sign sign;
	_close_ int fd = -1;
	_free_ char *blobs = base_printf("%s/blobs/sha256", path);

	watch(im, path); /* a layout's, which is refused for a file */
	watch(im, blobs);
	if (!sign_path(path, &sign))
		return;
	if (!f && im->n_files == IMPORT_FILES_MAX) {
		log_warn("import %s: more than %d files; ignored", path, IMPORT_FILES_MAX);
		return;
	}
	if (!f) {
		struct import_record r = { .path = base_strdup(path) };

		f = importer_add(im, &r);
	}
	f->seen = true;
	if (f->state == IMPORT_WORKING || (f->state != IMPORT_WAITING && import_sign_eq(&f->r.sign, &sign)))
		return;
	f->state = IMPORT_WAITING;
	struct err *e = import_open_file(path, &fd, &sign);

	/* What cannot be opened is for the worker to say. */
	f->complete = e || fd >= 0;
	err_free(e);
	pthread_cond_signal(&im->work);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct err *list_dir(const char *dir, struct strv *ret)
{
	TRY(file_make_dirs(dir, 0755));
	DIR *d = opendir(dir);
	struct dirent *ent;

	if (!d)
		return err_errno(errno, "read");
	while ((ent = readdir(d)))
		if (ent->d_name[0] != '.' && file_name_ok(ent->d_name))
			strv_push(ret, ent->d_name);
	closedir(d);
	if (ret->len)
		qsort(ret->items, ret->len, sizeof(*ret->items), compare);
	return NULL;
}

/* A directory that cannot be read says nothing of its files: they stay as they were. */
static void keep_all_below(struct importer *im, const char *dir)
{
	_free_ char *prefix = base_printf("%s/", dir);

	list_each(it, &im->files) {
		struct import_file *f = container_of(it, struct import_file, link);

		f->seen = f->seen || str_starts(f->r.path, prefix);
	}
}

static void scan_dir(struct importer *im, const char *dir)
{
	_strv_ struct strv names = { 0 };
	struct err *e = list_dir(dir, &names);

	if (e) {
		log_warn("imports: %s: %s", dir, err_text(e));
		err_free(e);
		keep_all_below(im, dir);
		return;
	}
	watch(im, dir);
	for (size_t i = 0; i < names.len; i++) {
		_free_ char *path = base_printf("%s/%s", dir, names.items[i]);

		look_at(im, path);
	}
}

void import_watch_scan(struct importer *im)
{
	list_each(it, &im->files)
		container_of(it, struct import_file, link)->seen = false;
	for (size_t i = 0; im->o.dirs && im->o.dirs[i]; i++)
		scan_dir(im, im->o.dirs[i]);
	list_each(it, &im->files) {
		struct import_file *f = container_of(it, struct import_file, link);

		f->gone = !f->seen && f->state == IMPORT_WORKING;
		if (f->seen || f->gone)
			continue;
		if (f->state == IMPORT_OK)
			log_info("import %s: the file is gone; its images are pinned no longer", f->r.path);
		importer_drop(im, f);
	}
	importer_pin(im);
}

/* ---- the socket ------------------------------------------------------------------------------- */

static struct err *open_listener(struct importer *im)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(im->o.socket) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "%s: too long for a socket", im->o.socket);
	memcpy(addr.sun_path, im->o.socket, strlen(im->o.socket) + 1);
	im->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (im->listener < 0)
		return err_errno(errno, "socket");
	unlink(im->o.socket);
	/* The mode of the name that bind(2) makes. */
	if (fchmod(im->listener, 0600) < 0 || bind(im->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(im->listener, BACKLOG) < 0)
		return err_errno(errno, "%s", im->o.socket);
	return NULL;
}

static char *dup_given(const struct message *m, uint16_t tag)
{
	const char *text = message_str(m, tag);

	return *text ? base_strdup(text) : NULL;
}

static void take_job(struct importer *im, int sock, struct message *m)
{
	struct import_job *j = base_alloc(sizeof(*j));

	list_init(&j->link);
	j->sock = sock;
	j->fd = message_take_fd(m, 0);
	j->path = base_strdup(message_str(m, IMPORT_TAG_PATH));
	j->name = dup_given(m, IMPORT_TAG_NAME);
	j->pick = dup_given(m, IMPORT_TAG_PICK);
	pthread_mutex_lock(&im->lock);
	bool room = im->n_jobs < IMPORT_JOBS_MAX && j->fd >= 0;

	if (room) {
		list_push_back(&im->jobs, &j->link);
		im->n_jobs++;
		pthread_cond_signal(&im->work);
	}
	pthread_mutex_unlock(&im->lock);
	if (!room)
		import_job_free(j);
}

static void accept_one(struct importer *im)
{
	int sock = accept4(im->listener, NULL, NULL, SOCK_CLOEXEC);
	_free_ struct message *m = base_alloc(sizeof(*m));
	bool eof = false;

	if (sock < 0)
		return;
	struct err *e = message_recv(sock, clock_mono_ns() + ASK_NS, m, &eof);

	if (!e && !eof && m->type == IMPORT_ASK)
		take_job(im, sock, m);
	else
		close(sock);
	if (!e && !eof)
		message_close_fds(m);
	err_ignore(e);
}

/* ---- the thread ------------------------------------------------------------------------------- */

struct err *import_watch_open(struct importer *im)
{
	/* Somebody opens a file for writing at the very instant of our lease on it. */
	signal(SIGIO, SIG_IGN);
	im->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (im->inotify < 0)
		return err_errno(errno, "inotify");
	return open_listener(im);
}

/* Which file it was does not matter: all are looked at. */
static void drain(int fd)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(fd, events, sizeof(events)) > 0)
		;
}

void *import_watch_thread(void *arg)
{
	struct importer *im = arg;
	int64_t due = CLOCK_NEVER, latest = CLOCK_NEVER;

	for (;;) {
		struct pollfd fds[] = { { im->inotify, POLLIN, 0 }, { im->listener, POLLIN, 0 } };
		int n = poll(fds, 2, clock_ms_until(due));

		if (n > 0 && fds[1].revents)
			accept_one(im);
		if (n > 0 && fds[0].revents) {
			drain(im->inotify);
			latest = latest == CLOCK_NEVER ? clock_mono_ns() + PATIENCE_NS : latest;
			due = MIN(latest, clock_mono_ns() + SETTLE_NS);
		}
		if (clock_ms_until(due) != 0)
			continue;
		due = latest = CLOCK_NEVER;
		pthread_mutex_lock(&im->lock);
		import_watch_scan(im);
		pthread_mutex_unlock(&im->lock);
	}
	return NULL;
}
