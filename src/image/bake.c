#include "image/bake.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "image/archive_images.h"
#include "image/pull.h"
#include "store/images.h"
#include "sys/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PARSER_UID    65533             /* of fetch, unpack and archive, where we may choose */
#define IMAGE_MAX     (UINT64_C(64) << 30)
#define IDLE_NS       (60 * NS_PER_S)

static const char usage_text[] =
	"usage: crisp bake --output DIR|FILE.erofs [OPTION]... [NAME=]SOURCE...\n"
	"\n"
	"Makes a read-only image store of container images, for an OS image: /usr/share/crisp/store there, or where\n"
	"`image_stores` says. Needs no privilege; the same images give the same bytes.\n"
	"\n"
	"SOURCE is\n"
	"  REFERENCE, docker://REFERENCE     an image in a registry\n"
	"  oci:PATH[:TAG]                    an OCI image layout: a directory or a tar file\n"
	"  oci-archive:FILE[:TAG]            a tar file, also compressed (gzip, zstd)\n"
	"  docker-archive:FILE[:TAG]         what `docker save` writes, also compressed\n"
	"Without TAG (or a whole name) all images of an archive are baked. NAME is what the image shall be called: a\n"
	"layout seldom says of which repository it is.\n"
	"\n"
	"  --platform OS/ARCH[/VARIANT]  which image of an index; default: this machine's\n"
	"  --authfile FILE               registries' credentials, in the form of docker's config.json\n"
	"  --hosts-dir DIR               registries' settings: HOST/hosts.toml (mirrors, CA)\n"
	"Times in the store are SOURCE_DATE_EPOCH, or 1970.\n";

struct bake {
	const char *output, *platform_text, *auth_file, *hosts_dir;
	struct platform platform;
	int64_t epoch;
	char *dir;                      /* the store while it is made */
	uid_t uid;
	struct layers *layers;
	struct images *images;
	struct puller *puller;
	struct strv names, ids;         /* what has been named so far, side by side */
};

/* ---- names ------------------------------------------------------------------------------------ */

/* Two images of one name: which of them it were would depend on the order of work. */
static struct err *claim_name(struct bake *b, const char *name, const char *id)
{
	for (size_t i = 0; i < b->names.len; i++) {
		if (strcmp(b->names.items[i], name) != 0)
			continue;
		if (strcmp(b->ids.items[i], id) != 0)
			return err_new(ERR_INVALID, "%s is two images: %.19s and %.19s", name, b->ids.items[i], id);
		return NULL;
	}
	strv_push(&b->names, name);
	strv_push(&b->ids, id);
	return NULL;
}

static struct err *done(struct bake *b, const char *const *tags, const char *id)
{
	printf("%s", id);
	for (size_t i = 0; tags[i]; i++) {
		TRY(claim_name(b, tags[i], id));
		printf(" %s", tags[i]);
	}
	printf("\n");
	return NULL;
}

/* ---- sources ---------------------------------------------------------------------------------- */

static struct err *bake_registry(struct bake *b, const struct bake_source *s)
{
	_reference_ struct reference ref = { 0 }, named = { 0 };
	char id[72];

	TRY(reference_parse(s->registry, &ref));
	if (s->name)
		TRY(reference_parse(s->name, &named));
	const struct pull_request q = {
		.reference = s->registry,
		.named = s->name ? &named : NULL,
		.deadline_ns = CLOCK_NEVER,
		.cancel_fd = -1,
	};
	const struct reference *called = s->name ? &named : &ref;
	_free_ char *tag = *called->digest ? NULL : reference_tagged(called);

	TRY(puller_pull(b->puller, &q, id));
	return done(b, (const char *const[]){ tag, NULL }, id);
}

static struct err *on_image(void *ctx, const char *id, const char *const *tags)
{
	return done(ctx, tags, id);
}

static struct err *bake_archive(struct bake *b, const struct bake_source *s)
{
	_close_ int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const struct archive_take take = {
		.puller = b->puller,
		.uid = b->uid,
		.platform = &b->platform,
		.pick = s->pick,
		.name = s->name,
		.on_image = on_image,
		.ctx = b,
	};

	if (fd < 0)
		return err_errno(errno, "%s", s->path);
	return err_wrap(archive_take_images(fd, &take), "%s", s->path);
}

static struct err *bake_one(struct bake *b, const char *text)
{
	_cleanup_(bake_source_done) struct bake_source s = { 0 };

	TRY(bake_source_parse(text, &s));
	return s.registry ? bake_registry(b, &s) : bake_archive(b, &s);
}

/* ---- the store -------------------------------------------------------------------------------- */

/* The parsers get a user of their own where we are root in full; elsewhere we have nothing that they could misuse. */
static uid_t choose_uid(void)
{
	const uint64_t need = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID;
	struct caps c = { 0 };
	struct err *e = caps_get(&c);

	err_free(e);
	return !e && geteuid() == 0 && (c.effective & need) == need ? PARSER_UID : 0;
}

static struct err *open_store(struct bake *b)
{
	_free_ char *state = base_printf("%s/state", b->dir);
	const struct layers_options lo = { .root = b->dir, .state = state };
	const struct images_options io = { .root = b->dir };

	TRY(layers_open(&lo, &b->layers));
	TRY(images_open(&io, b->layers, &b->images));
	const struct puller_options po = {
		.images = b->images,
		.layers = b->layers,
		.root = b->dir,
		.hosts = { .certs_dir = b->hosts_dir },
		.auth_file = b->auth_file,
		.fetch_uid = b->uid,
		.unpack_uid = b->uid,
		.progress_timeout_ns = IDLE_NS,
		.image_max = IMAGE_MAX,
		.parallel = 1,
		.platform = &b->platform,
		.pulled_ns = b->epoch ? b->epoch * NS_PER_S : 1, /* 0 were the time of day */
	};

	return puller_new(&po, &b->puller);
}

static void close_store(struct bake *b)
{
	puller_free(TAKE(b->puller));
	images_close(TAKE(b->images));
	layers_close(TAKE(b->layers));
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In an order of their own: an image that comes from two of them is recorded as it came from the first. */
static struct err *fill(struct bake *b, char **sources, size_t n)
{
	qsort(sources, n, sizeof(*sources), compare);
	struct err *e = open_store(b);

	for (size_t i = 0; !e && i < n; i++)
		e = bake_one(b, sources[i]);
	close_store(b);
	return e;
}

static struct err *publish_image(struct bake *b, int dirfd)
{
	_free_ char *tmp = base_printf("%s.erofs", b->dir);
	_close_ int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	uint64_t size;

	if (fd < 0)
		return err_errno(errno, "%s", tmp);
	struct err *e = bake_tree_erofs(dirfd, b->epoch, fd, &size);

	if (!e && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
		e = err_errno(errno, "%s", tmp);
	if (!e && rename(tmp, b->output) < 0)
		e = err_errno(errno, "rename to %s", b->output);
	if (e)
		unlink(tmp);
	return e;
}

static struct err *publish(struct bake *b)
{
	_close_ int dir = -1;

	TRY(file_open_dir(AT_FDCWD, b->dir, false, 0, &dir));
	TRY(file_remove_tree(dir, "state"));
	if (str_ends(b->output, ".erofs"))
		return publish_image(b, dir);
	TRY(bake_tree_settle(dir, b->epoch));
	/* Over an empty directory too, never over anything else. */
	if (rename(b->dir, b->output) < 0)
		return err_errno(errno, "%s", b->output);
	return NULL;
}

static struct err *check_output(const struct bake *b)
{
	bool image = str_ends(b->output, ".erofs");

	if (!image && rmdir(b->output) < 0 && errno != ENOENT)
		return errno == ENOTEMPTY || errno == EEXIST
			       ? err_new(ERR_EXISTS, "%s is there and not empty: bake makes a new store", b->output)
			       : err_errno(errno, "%s", b->output);
	return NULL;
}

static struct err *bake(struct bake *b, char **sources, size_t n)
{
	char id[65];

	TRY(check_output(b));
	str_random_id(id);
	b->dir = base_printf("%s.tmp-%.16s", b->output, id);
	b->uid = choose_uid();
	struct err *e = fill(b, sources, n);

	if (!e)
		e = publish(b);
	struct err *left = file_remove_tree(AT_FDCWD, b->dir);

	if (!e)
		return left;
	err_ignore(left);
	return e;
}

/* ---- the command line ------------------------------------------------------------------------- */

static struct err *take_platform(struct bake *b, struct strv *parts)
{
	_free_ char *copy = b->platform_text ? base_strdup(b->platform_text) : NULL;
	char *save = NULL;

	b->platform = platform_host;
	if (!copy)
		return NULL;
	for (char *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save))
		strv_push(parts, p);
	if (parts->len < 2 || parts->len > 3)
		return err_new(ERR_INVALID, "--platform \"%s\" is not OS/ARCH[/VARIANT]", b->platform_text);
	b->platform = (struct platform){ parts->items[0], parts->items[1], parts->len == 3 ? parts->items[2] : "" };
	return NULL;
}

static struct err *take_epoch(struct bake *b)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	uint64_t n = 0;

	if (!str_empty(text) && !str_to_u64(text, INT64_MAX / NS_PER_S, &n))
		return err_new(ERR_INVALID, "SOURCE_DATE_EPOCH \"%.80s\" is not a number of seconds", text);
	b->epoch = (int64_t)n;
	return NULL;
}

static int parse_options(int argc, char **argv, struct bake *b)
{
	static const struct option table[] = {
		{ "output", required_argument, NULL, 'o' },  { "platform", required_argument, NULL, 'p' },
		{ "authfile", required_argument, NULL, 'a' }, { "hosts-dir", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },	      { 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "o:h", table, NULL)) != -1;) {
		switch (c) {
		case 'o':
			b->output = optarg;
			break;
		case 'p':
			b->platform_text = optarg;
			break;
		case 'a':
			b->auth_file = optarg;
			break;
		case 'd':
			b->hosts_dir = optarg;
			break;
		default:
			fputs(usage_text, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (b->output && optind < argc)
		return -1;
	fputs(usage_text, stderr);
	return 2;
}

int bake_main(int argc, char **argv)
{
	_strv_ struct strv parts = { 0 };
	struct bake b = { 0 };
	int code = parse_options(argc, argv, &b);

	if (code >= 0)
		return code;
	log_init("bake", LOG_LEVEL_WARN);
	umask(022);
	struct err *e = take_platform(&b, &parts);

	if (!e)
		e = take_epoch(&b);
	if (!e)
		e = bake(&b, argv + optind, (size_t)(argc - optind));
	free(b.dir);
	strv_done(&b.names);
	strv_done(&b.ids);
	if (!e)
		return 0;
	fprintf(stderr, "crisp bake: %s\n", err_text(e));
	err_free(e);
	return 1;
}
