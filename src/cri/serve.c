/* serve_main: options, directories, the store, recovery, the socket; then the I/O thread. */
#include "cri/serve.h"

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "cri/cadvisor.h"
#include "cri/cgroups.h"
#include "cri/events.h"
#include "cri/handlers.h"
#include "cri/reload.h"
#include "cri/telemetry.h"
#include "cri/failures.h"
#include "cri/security.h"
#include "cri/steps.h"
#include "image/import_protocol.h"
#include "sys/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LISTEN_BACKLOG 64

static const char usage_text[] =
	"usage: crisp serve [--config FILE] [--root DIR] [--state DIR] [--listen unix://PATH] [--log-level LEVEL]\n"
	"       crisp serve --print-config\n"
	"\n"
	"Serves CRI to the kubelet. LEVEL is error, warn, info or debug. --print-config shows every key of the\n"
	"configuration file with its meaning and default.\n";

static int parse_options(int argc, char **argv, struct serve_options *o)
{
	static const struct option table[] = {
		{ "config", required_argument, NULL, 'c' }, { "root", required_argument, NULL, 'r' },
		{ "state", required_argument, NULL, 's' },  { "listen", required_argument, NULL, 'l' },
		{ "log-level", required_argument, NULL, 'v' }, { "print-config", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },	    { 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "+c:h", table, NULL)) != -1;) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'r':
			o->root = optarg;
			break;
		case 's':
			o->state = optarg;
			break;
		case 'l':
			o->listen = optarg;
			break;
		case 'v':
			o->log_level = optarg;
			break;
		case 'p':
			o->print_config = true;
			break;
		default:
			fputs(usage_text, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "crisp serve: unexpected argument \"%s\"\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* Mounts below STATE (layers, containers' roots, shm) are the node's alone: a private mount, so that no peer group gets
 * copies that would keep them busy. It stays over restarts. */
static struct err *make_state_private(const char *state)
{
	_close_ int mnt = -1;

	if (mount_is_root(state))
		return NULL;
	TRY(mount_clone(AT_FDCWD, state, false, &mnt));
	TRY(mount_set(mnt, false, 0, 0, 1 << 18 /* MS_PRIVATE */));
	return mount_attach_at(mnt, state);
}

static struct err *open_record_dir(char **path, const char *root, const char *name, int *ret_fd)
{
	*path = base_printf("%s/%s", root, name);
	return file_open_dir(AT_FDCWD, *path, true, 0711, ret_fd);
}

static struct err *make_directories(struct serve *s)
{
	struct config *c = &s->config;

	TRY(file_make_dirs(c->root, 0711));
	TRY(file_make_dirs(c->state, 0711));
	TRY_WRAP(make_state_private(c->state), "%s", c->state);
	TRY(open_record_dir(&s->pods_dir, c->root, "pods", &s->pods_fd));
	TRY(open_record_dir(&s->containers_dir, c->root, "containers", &s->containers_fd));
	s->pods_state = base_printf("%s/pods", c->state);
	s->containers_state = base_printf("%s/containers", c->state);
	TRY(file_make_dirs(s->pods_state, 0700));
	TRY(file_make_dirs(s->containers_state, 0700));
	return file_make_dirs("/run/netns", 0755);
}

static struct err *read_boot_id(struct serve *s)
{
	_buf_ struct buf b = BUF_INIT;

	TRY(file_read_virtual(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 100, &b));
	snprintf(s->boot_id, sizeof(s->boot_id), "%.36s", buf_text(&b));
	return NULL;
}

static struct err *open_stores(struct serve *s)
{
	struct config *c = &s->config;
	const char *const *baked = (const char *const *)c->image_stores.items;
	const struct layers_options lo = { .root = c->root, .state = c->state, .baked = baked };
	const struct images_options io = { .root = c->root,
					   .baked = baked,
					   .pinned = (const char *const *)c->pinned_images.items };

	TRY(layers_open(&lo, &s->layers));
	TRY(images_open(&io, s->layers, &s->images));
	const struct puller_options po = {
		.images = s->images,
		.layers = s->layers,
		.root = c->root,
		.hosts = { c->certs_dir, c->registries_conf, c->registries_certs_dir },
		.auth_file = c->auth_file,
		.fetch_uid = (uid_t)c->unprivileged_uid,
		.unpack_uid = (uid_t)c->unprivileged_uid,
		.progress_timeout_ns = (int64_t)c->pull_timeout_s * NS_PER_S,
		.image_max = c->pull_max_bytes,
		.parallel = (unsigned)c->pull_parallel,
	};

	return puller_new(&po, &s->puller);
}

/* Before the first call, so that what files keep pinned is pinned from the beginning. Without it the node serves all the same. */
static void start_importer(struct serve *s)
{
	const struct config *c = &s->config;
	const struct importer_options o = {
		.images = s->images,
		.puller = s->puller,
		.root = c->root,
		.socket = base_printf("%s/" IMPORT_SOCKET_NAME, c->state),
		.dirs = (const char *const *)c->import_dirs.items,
		.uid = (uid_t)c->unprivileged_uid,
	};
	struct err *e = importer_start(&o, &s->importer);

	if (e)
		log_error("%s: nothing is imported", err_text(e));
	err_free(e);
}

static void open_network(struct serve *s)
{
	struct config *c = &s->config;

	s->cni = (struct cni){
		.conf_dir = c->cni_conf_dir,
		.bin_dirs = (const char *const *)c->cni_bin_dirs.items,
		.cache_dir = base_printf("%s/cni", c->root),
		.timeout_ns = (int64_t)c->cni_timeout_s * NS_PER_S,
	};
}

/* A socket that a former serve left is replaced; one that somebody listens on is an error. */
struct err *serve_listen(const char *listen_url, int *ret_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = str_starts(listen_url, "unix://") ? listen_url + strlen("unix://") : listen_url;

	if (path[0] != '/' || strlen(path) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "listen \"%s\": not unix:// with an absolute path of at most %zu bytes",
			       listen_url, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	_free_ char *dir = base_strndup(path, (size_t)(strrchr(path, '/') - path));
	_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (probe < 0 || fd < 0)
		return err_errno(errno, "socket");
	if (*dir)
		TRY(file_make_dirs(dir, 0711));
	if (connect(probe, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return err_new(ERR_EXISTS, "%s: another crisp serves there already", path);
	unlink(path);
	mode_t before = umask(0177);
	int n = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	int bind_errno = errno;

	umask(before);
	if (n < 0)
		return err_errno(bind_errno, "bind %s", path);
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return err_errno(errno, "listen on %s", path);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

void serve_sweep_images(struct serve *s)
{
	_strv_ struct strv in_use = { 0 };

	serve_layers_in_use(s, &in_use);
	images_sweep(s->images, &in_use);
}

/* Taken from its maker as soon as it is there, which no first answer waits for. */
static void *take_bare(void *arg)
{
	struct serve *s = arg;
	int fd;
	_err_ struct err *e = bare_get(&s->bare, &fd);

	if (e)
		log_error("%s: no container can be made", err_text(e));
	return NULL;
}

static struct err *serve_all(struct serve *s, const struct serve_options *o)
{
	_close_ int listen_fd = -1;

	TRY(reload_first(s, o));
	TRY(make_directories(s));
	TRY(bare_begin(&s->bare));
	TRY(read_boot_id(s));
	_free_ char *failures = base_printf("%s/failures", s->config.state);

	s->failures = failures_open(failures);
	s->pulls_done = pulls_done_new();
	pods_init(&s->pods);
	pthread_mutex_init(&s->flight_lock, NULL);
	pthread_mutex_init(&s->events_lock, NULL);
	feed_init(&s->feed);
	s->telemetry = telemetry_new();
	list_init(&s->flight);
	TRY(events_init(s));
	TRY(cgroups_open(s));
	TRY(open_stores(s));
	open_network(s);
	TRY(security_open(s));
	TRY_WRAP(serve_recover(s), "recovery");
	serve_sweep_images(s);
	start_importer(s);
	TRY(stream_link_start(s->config.stream_address, (uid_t)s->config.unprivileged_uid, &s->stream));
	TRY(pages_start(s, &telemetry_pages, s->config.metrics_listen));
	TRY(pages_start(s, &cadvisor_pages, s->config.cadvisor_listen));
	TRY(thread_start(NULL, KIB(128), take_bare, s));
	TRY(handlers_learn(&s->config));
	TRY(serve_listen(s->config.listen, &listen_fd));
	log_info("crisp " CRISP_VERSION " serves CRI on %s", s->config.listen);
	reload_notify("READY=1");
	return events_run(s, TAKE_FD(listen_fd));
}

int serve_main(int argc, char **argv)
{
	static struct serve s = { .pods_fd = -1, .containers_fd = -1, .bare = BARE_INIT, .epoll = -1, .signals = -1 };
	struct serve_options o = { 0 };
	int status = parse_options(argc, argv, &o);

	if (status >= 0)
		return status;
	if (o.print_config) {
		_free_ char *text = config_describe();

		fputs(text, stdout);
		return 0;
	}
	log_init("serve", LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	umask(0022);
	_err_ struct err *e = serve_all(&s, &o);

	if (s.stream)
		stream_link_stop(s.stream);
	bare_done(&s.bare);
	if (e)
		log_error("%s", err_text(e));
	return e ? 1 : 0;
}
