/* Records, the table of pods, layers and images: what is on disk after what, and who waits for whom. */
#include "base/file.h"
#include "base/sha256.h"
#include "base/test.h"
#include "store/erofs.h"
#include "store/images_disk.h"
#include "store/pods.h"
#include "store/record.h"
#include "store/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static char *temp_dir(void)
{
	char path[] = "/tmp/crisp-store-XXXXXX";

	return base_strdup(mkdtemp(path));
}

static void drop_dir(char *dir)
{
	err_ignore(file_remove_tree(AT_FDCWD, dir));
	free(dir);
}

TEST(record_gives_back_sections_and_refuses_cut_ones)
{
	_buf_ struct buf b = BUF_INIT;
	size_t len;

	record_begin(&b);
	record_add(&b, RECORD_REQUEST, "abc", 3);
	record_add(&b, (enum record_tag)999, "from the future", 15);
	record_add_str(&b, RECORD_IMAGE, "sha256:x");
	CHECK_OK(record_check(&b));
	CHECK(!memcmp(record_get(&b, RECORD_REQUEST, &len), "abc", 3) && len == 3);
	_free_ char *image = record_get_str(&b, RECORD_IMAGE);

	CHECK_STR(image, "sha256:x");
	CHECK(!record_get(&b, RECORD_BOOT, &len));
	for (size_t n = 0; n < b.len; n++) {
		struct buf cut = { .data = b.data, .len = n };
		_err_ struct err *e = record_check(&cut);

		if (e)
			CHECK(err_is(e, ERR_CORRUPT));
	}
	b.len--;
	CHECK_ERR(record_check(&b), ERR_CORRUPT);
}

TEST(record_cut_anywhere_is_refused)
{
	char *dir = temp_dir();
	_buf_ struct buf b = BUF_INIT, text = BUF_INIT, got = BUF_INIT;
	_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY);

	record_begin(&b);
	record_add(&b, RECORD_REQUEST, "abc", 3);
	record_add_str(&b, RECORD_BOOT, "boot");
	CHECK_OK(record_write(fd, "record", &b));
	CHECK_OK(record_read(fd, "record", &got));
	CHECK_OK(file_read_at(fd, "record", 1000, &text));
	for (size_t n = 0; n < text.len; n++) {
		struct buf none = BUF_INIT;

		CHECK_OK(file_replace_at(fd, "record", text.data, n, 0600, FILE_VOLATILE));
		CHECK_ERR(record_read(fd, "record", &none), ERR_CORRUPT);
	}
	drop_dir(dir);
}

/* ---- pods ------------------------------------------------------------------------------------- */

struct joiner {
	struct pods *t;
	struct pod *got;
	bool is_new;
};

static void *join_pod(void *arg)
{
	struct joiner *j = arg;

	err_ignore(pods_add(j->t, "key", CLOCK_NEVER, &j->got, &j->is_new));
	return NULL;
}

TEST(pods_retry_joins_the_creation_in_flight)
{
	struct pods t;
	struct pod *p = NULL;
	bool is_new = false;
	struct joiner j = { .t = &t };
	pthread_t thread;

	pods_init(&t);
	CHECK_OK(pods_add(&t, "key", CLOCK_NEVER, &p, &is_new));
	CHECK(is_new && p->state == POD_MAKING);
	CHECK(!pthread_create(&thread, NULL, join_pod, &j));
	pods_lock(&t);
	p->state = POD_READY;
	pods_unlock(&t);
	pods_end(&t, &p->o);
	pthread_join(thread, NULL);
	CHECK(j.got == p && !j.is_new);
	struct pod *found = NULL;
	char prefix[8];

	snprintf(prefix, sizeof(prefix), "%.7s", p->o.id);
	CHECK_OK(pods_find(&t, prefix, &found));
	CHECK(found == p);
	CHECK_ERR(pods_find(&t, "zz", &found), ERR_NOT_FOUND);
	pod_put(&t, p); /* found */
	pod_put(&t, p); /* joined */
	pods_drop(&t, p);
	pod_put(&t, p); /* made */
}

TEST(pods_wait_ends_at_the_deadline_and_failed_creation_is_made_anew)
{
	struct pods t;
	struct pod *p = NULL, *q = NULL;
	bool is_new = false;

	pods_init(&t);
	CHECK_OK(pods_add(&t, "key", CLOCK_NEVER, &p, &is_new));
	CHECK_ERR(pods_add(&t, "key", clock_mono_ns() + NS_PER_MS, &q, &is_new), ERR_TIMEOUT);
	pods_drop(&t, p);
	pods_end(&t, &p->o);
	CHECK_OK(pods_add(&t, "key", CLOCK_NEVER, &q, &is_new));
	CHECK(is_new && q != p);
	pod_put(&t, p);
	pods_drop(&t, q);
	pods_end(&t, &q->o);
	pod_put(&t, q);
	CHECK_INT(t.n_pods, 0);
}

TEST(containers_hold_their_pod)
{
	struct pods t;
	struct pod *p = NULL;
	struct container *c = NULL, *found = NULL;
	bool is_new = false;

	pods_init(&t);
	CHECK_OK(pods_add(&t, "key", CLOCK_NEVER, &p, &is_new));
	CHECK_OK(pods_add_container(&t, p, "c_0", CLOCK_NEVER, &c, &is_new));
	CHECK_ERR(pods_find_container(&t, c->o.id, &found), ERR_NOT_FOUND);
	pods_lock(&t);
	c->state = CONTAINER_RUNNING;
	pods_unlock(&t);
	CHECK_OK(pods_find_container(&t, c->o.id, &found));
	container_put(&t, found);
	pods_end(&t, &c->o);
	pods_end(&t, &p->o);
	pods_drop(&t, p);
	pod_put(&t, p);
	CHECK_STR(c->pod->o.key, "key");
	pods_drop_container(&t, c);
	container_put(&t, c);
	CHECK_INT(t.n_containers, 0);
}

/* ---- layers and images ------------------------------------------------------------------------ */

static const char digest_a[] = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char digest_b[] = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static const char manifest_digest[] = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

static void write_image(int fd)
{
	_erofs_writer_ struct erofs_writer *w = NULL;
	const struct erofs_attr attr = { .mode = 0755 };
	const uint8_t uuid[16] = { 1 };
	uint64_t size;

	CHECK_OK(erofs_writer_new(fd, MIB(16), &w));
	CHECK_OK(erofs_add_dir(w, "etc", &attr));
	CHECK_OK(erofs_finish(w, uuid, &size));
}

static void add_layer(struct layers *l, const char *digest)
{
	struct layer_write *w = NULL;
	int fd = -1;

	CHECK_OK(layers_begin(l, digest, CLOCK_NEVER, &w, &fd));
	CHECK(w && fd >= 0);
	write_image(fd);
	CHECK_OK(layers_commit(w));
}

static struct layers *open_layers(const char *dir)
{
	struct layers *l = NULL;
	_free_ char *state = base_printf("%s/state", dir);
	_free_ char *root = base_printf("%s/root", dir);
	const struct layers_options o = { .root = root, .state = state };

	CHECK_OK(layers_open(&o, &l));
	return l;
}

TEST(layers_are_there_whole_or_not_at_all)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	struct layer_write *w = NULL;
	int fd = -1;

	add_layer(l, digest_a);
	CHECK(layers_have(l, digest_a) && !layers_have(l, digest_b));
	CHECK_OK(layers_begin(l, digest_a, CLOCK_NEVER, &w, &fd));
	CHECK(!w);
	CHECK_OK(layers_begin(l, digest_b, CLOCK_NEVER, &w, &fd));
	struct layer_write *second = NULL;

	CHECK_ERR(layers_begin(l, digest_b, clock_mono_ns() + NS_PER_MS, &second, &fd), ERR_TIMEOUT);
	CHECK_ERR(layers_commit(w), ERR_CORRUPT); /* nothing was written */
	CHECK(!layers_have(l, digest_b));
	CHECK_ERR(layers_begin(l, "sha256:../../etc/passwd", CLOCK_NEVER, &w, &fd), ERR_INVALID);
	layers_close(l);
	/* A power cut left a temporary file; somebody cut a layer short. */
	_free_ char *tmp = base_printf("%s/root/layers/.tmp-x", dir);
	_free_ char *bad = base_printf("%s/root/layers/%s", dir, digest_b + 7);

	close(open(tmp, O_CREAT | O_WRONLY, 0600));
	close(open(bad, O_CREAT | O_WRONLY, 0600));
	l = open_layers(dir);
	CHECK(access(tmp, F_OK) < 0 && access(bad, F_OK) < 0);
	CHECK(layers_have(l, digest_a) && !layers_have(l, digest_b));
	const struct strv none = { 0 };

	CHECK(layers_sweep(l, &none) > 0);
	CHECK(!layers_have(l, digest_a));
	layers_close(l);
	drop_dir(dir);
}

static size_t count_files(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

/* A baked store on an overlay: the kernel refused its layers, and each try left the mount point. */
TEST(layer_that_cannot_be_mounted_leaves_no_mount_point)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	_free_ char *file = base_printf("%s/root/layers/%s", dir, digest_a + 7), *state = base_printf("%s/state/layers", dir);
	char *path = NULL;

	add_layer(l, digest_a);
	CHECK(unlink(file) == 0);
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* empty now */

	CHECK(fd >= 0 && close(fd) == 0);
	_err_ struct err *e = layers_use(l, digest_a, &path);

	CHECK(e != NULL && !path);
	CHECK_INT(count_files(state), 0);
	layers_close(l);
	drop_dir(dir);
}

/* A pull that timed out left .tmp-* behind, for whoever looked before it was cleaned up; a serve that was killed, until
 * the next start. */
TEST(layer_that_is_being_written_has_no_name)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	_free_ char *layers = base_printf("%s/root/layers", dir);
	struct layer_write *w = NULL;
	int fd = -1;

	CHECK_OK(layers_begin(l, digest_a, CLOCK_NEVER, &w, &fd));
	write_image(fd);
	CHECK(count_files(layers) == 0);
	layers_abort(w);
	CHECK(count_files(layers) == 0 && !layers_have(l, digest_a));
	add_layer(l, digest_a);
	CHECK(count_files(layers) == 1);
	layers_close(l);
	drop_dir(dir);
}

/* A file that the table does not know, set aside by nobody: the layer takes its place. */
TEST(layer_replaces_a_stranger_of_its_name)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	_free_ char *path = base_printf("%s/root/layers/%s", dir, digest_a + 7);

	close(open(path, O_CREAT | O_WRONLY, 0600));
	add_layer(l, digest_a);
	layers_close(l);
	l = open_layers(dir);
	CHECK(layers_have(l, digest_a));
	layers_close(l);
	drop_dir(dir);
}

static struct images *open_images(const char *dir, struct layers *l)
{
	struct images *im = NULL;
	_free_ char *root = base_printf("%s/root", dir);
	const char *const pinned[] = { "docker.io/library/p*", NULL };
	const struct images_options o = { .root = root, .pinned = pinned };

	CHECK_OK(images_open(&o, l, &im));
	return im;
}

static void add_image(struct images *im, const char *config, const char *tag, char id[72])
{
	struct strv layers = { 0 };
	const struct images_add a = {
		.manifest = "{}",
		.manifest_len = 2,
		.config = config,
		.config_len = strlen(config),
		.manifest_digest = manifest_digest,
		.user = "1000:0",
		.layers = &layers,
		.tag = tag,
		.digest_ref = "docker.io/library/x@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
	};

	strv_push(&layers, digest_a);
	CHECK_OK(images_add(im, &a, id));
	strv_done(&layers);
}

TEST(image_names_move_and_survive_reopening)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	struct images *im = open_images(dir, l);
	char first[72], second[72];
	struct image *i = NULL;

	add_layer(l, digest_a);
	add_image(im, "{\"n\":1}", "docker.io/library/x:latest", first);
	add_image(im, "{\"n\":2}", "docker.io/library/x:latest", second);
	add_image(im, "{\"n\":2}", "docker.io/library/pin:1", second);
	images_close(im);
	im = open_images(dir, l);
	CHECK_OK(images_find(im, "docker.io/library/x:latest", &i));
	CHECK_STR(i->id, second);
	CHECK_STR(i->user, "1000:0");
	CHECK(i->pinned && i->tags.len == 2 && i->digests.len == 1 && i->size > 4096);
	CHECK(!strncmp(i->config_json, "{\"n\":2}", i->config_len));
	image_free(i);
	CHECK_OK(images_find(im, first, &i));
	CHECK(i->tags.len == 0 && !i->pinned);
	image_free(i);
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%.12s", first + 7);
	CHECK_OK(images_find(im, prefix, &i));
	CHECK_STR(i->id, first);
	image_free(i);
	const struct strv none = { 0 };

	CHECK_OK(images_remove(im, "docker.io/library/pin:1", &none));
	CHECK_ERR(images_find(im, "docker.io/library/x:latest", &i), ERR_NOT_FOUND);
	CHECK(layers_have(l, digest_a)); /* the first image still has it */
	CHECK_OK(images_remove(im, first, &none));
	CHECK(!layers_have(l, digest_a));
	CHECK_OK(images_remove(im, first, &none));
	images_close(im);
	layers_close(l);
	drop_dir(dir);
}

/* RemoveImage of another image swept the layer between the pull's look at it and the record. */
TEST(image_whose_layer_was_swept_is_not_recorded)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	struct images *im = open_images(dir, l);
	struct strv layers = { 0 };
	struct image *i = NULL;
	char id[72];
	const struct images_add a = { .manifest = "{}", .manifest_len = 2, .config = "{}", .config_len = 2,
				      .manifest_digest = manifest_digest, .layers = &layers,
				      .tag = "docker.io/library/x:1" };

	strv_push(&layers, digest_a);
	CHECK_ERR(images_add(im, &a, id), ERR_UNAVAILABLE);
	CHECK_ERR(images_find(im, "docker.io/library/x:1", &i), ERR_NOT_FOUND);
	strv_done(&layers);
	images_close(im);
	layers_close(l);
	drop_dir(dir);
}

/* A layer that was kept for a container when its image went had nobody left to ask for its removal. */
TEST(layers_of_a_removed_image_are_owed_until_their_users_end)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	struct images *im = open_images(dir, l);
	struct strv in_use = { 0 };
	char id[72];

	add_layer(l, digest_a);
	add_image(im, "{}", "docker.io/library/x:1", id);
	strv_push(&in_use, digest_a);
	images_sweep(im, &in_use);
	CHECK(!images_owe_sweep(im)); /* the image itself needs it */
	CHECK_OK(images_remove(im, id, &in_use));
	CHECK(layers_have(l, digest_a) && images_owe_sweep(im));
	strv_done(&in_use);
	images_sweep(im, &in_use);
	CHECK(!layers_have(l, digest_a) && !images_owe_sweep(im));
	images_close(im);
	layers_close(l);
	drop_dir(dir);
}

TEST(image_is_pinned_by_a_pattern)
{
	static const struct { const char *pattern, *name; bool pinned; } t[] = {
		{ "docker.io/library/x:1", "docker.io/library/x:1", true },
		{ "docker.io/library/x:1", "docker.io/library/x:12", false },
		{ "docker.io/library/*", "docker.io/library/x:1", true },
		{ "*/pause:*", "registry.k8s.io/pause:3.10", true },
		{ "*pause*", "quay.io/a/pauses/b:1", true },
		{ "*pause*", "quay.io/a/b:1", false },
		{ "", "quay.io/a/b:1", false },
	};

	for (size_t k = 0; k < ARRAY_LEN(t); k++) {
		char *dir = temp_dir();
		struct layers *l = open_layers(dir);
		_free_ char *root = base_printf("%s/root", dir);
		const char *const pinned[] = { t[k].pattern, NULL };
		const struct images_options o = { .root = root, .pinned = pinned };
		struct images *im = NULL;
		struct image *i = NULL;
		char id[72];

		CHECK_OK(images_open(&o, l, &im));
		add_layer(l, digest_a);
		add_image(im, "{}", t[k].name, id);
		CHECK_OK(images_find(im, t[k].name, &i));
		CHECK(i->pinned == t[k].pinned);
		image_free(i);
		images_close(im);
		layers_close(l);
		drop_dir(dir);
	}
}

TEST(image_with_a_missing_layer_is_set_aside_not_fatal)
{
	char *dir = temp_dir();
	struct layers *l = open_layers(dir);
	struct images *im = open_images(dir, l);
	char id[72];
	struct image *i = NULL;
	_free_ char *layer = base_printf("%s/root/layers/%s", dir, digest_a + 7);

	add_layer(l, digest_a);
	add_image(im, "{}", "docker.io/library/x:1", id);
	images_close(im);
	layers_close(l);
	CHECK(unlink(layer) == 0);
	l = open_layers(dir);
	im = open_images(dir, l);
	CHECK_ERR(images_find(im, "docker.io/library/x:1", &i), ERR_NOT_FOUND);
	_free_ char *aside = base_printf("%s/root/quarantine/image-%s", dir, id + 7);

	CHECK(access(aside, F_OK) == 0);
	images_close(im);
	layers_close(l);
	drop_dir(dir);
}

TEST(usage_counts_what_a_tree_takes)
{
	char *dir = temp_dir();
	_free_ char *path = base_printf("%s/a/b/c", dir);
	_close_ int fd = -1;
	struct usage u;

	CHECK_OK(file_make_dirs(path, 0700));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	_free_ char *data = base_alloc(100000);

	CHECK_OK(file_replace_at(fd, "a/file", data, 100000, 0600, FILE_DURABLE));
	CHECK_OK(usage_of_tree(dir, &u));
	CHECK_INT(u.inodes, 5);
	CHECK(u.bytes >= 100000 && u.bytes < 400000);
	CHECK_ERR(usage_of_tree("/nonexistent-crisp", &u), ERR_NOT_FOUND);
	drop_dir(dir);
}

TEST_MAIN
