/* What is left of a store where the power or the process went: the order in which things go, files cut short. */
#include "base/file.h"
#include "base/test.h"
#include "store/images.h"
#include "store/images_disk.h"
#include "store/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST_C "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

struct store {
	char *dir, *root;
	struct layers *layers;
	struct images *images;
};

static void store_open(struct store *s)
{
	_free_ char *state = base_printf("%s/run", s->dir);
	const struct layers_options lo = { .root = s->root, .state = state };
	const struct images_options io = { .root = s->root };

	CHECK_OK(layers_open(&lo, &s->layers));
	CHECK_OK(images_open(&io, s->layers, &s->images));
}

static void store_close(struct store *s)
{
	images_close(s->images);
	layers_close(s->layers);
}

static void store_new(struct store *s)
{
	char path[] = "/tmp/crisp-cut-XXXXXX";

	s->dir = base_strdup(mkdtemp(path));
	s->root = base_printf("%s/root", s->dir);
	store_open(s);
}

static void store_drop(struct store *s)
{
	store_close(s);
	err_ignore(file_remove_tree(AT_FDCWD, s->dir));
	free(s->root);
	free(s->dir);
}

static void add(struct store *s, const char *config, const char *tag, char id[72])
{
	const struct strv none = { 0 };
	const struct images_add a = { .manifest = "{}", .manifest_len = 2, .config = config, .config_len = strlen(config),
				      .manifest_digest = DIGEST_C, .layers = &none, .tag = tag };

	CHECK_OK(images_add(s->images, &a, id));
}

/* The first of what happens below a directory. */
struct watch {
	int fd;
	union {
		struct inotify_event event;
		char bytes[4096];
	};
};

static void watch_begin(struct watch *w, const char *const *dirs)
{
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	CHECK(w->fd >= 0);
	for (; *dirs; dirs++)
		CHECK(inotify_add_watch(w->fd, *dirs, IN_DELETE | IN_MOVED_FROM) >= 0);
}

static void watch_end(struct watch *w)
{
	CHECK(read(w->fd, w->bytes, sizeof(w->bytes)) > (ssize_t)sizeof(w->event));
	close(w->fd);
}

TEST(image_removal_that_is_cut_off_leaves_no_half_of_it)
{
	struct store s;
	struct watch w;
	char id[72];

	store_new(&s);
	add(&s, "{}", NULL, id);
	_free_ char *images = base_printf("%s/images", s.root), *image = base_printf("%s/%s", images, id + 7);
	const char *const dirs[] = { images, image, NULL };
	const struct strv none = { 0 };

	watch_begin(&w, dirs);
	CHECK_OK(images_remove(s.images, id, &none));
	watch_end(&w);
	CHECK(w.event.mask & IN_MOVED_FROM);
	CHECK_STR(w.event.name, id + 7);
	CHECK(access(image, F_OK) < 0);
	store_drop(&s);
}

TEST(image_directory_that_was_on_its_way_out_goes_at_start)
{
	struct store s;
	char id[72];

	store_new(&s);
	add(&s, "{}", "x/y:1", id);
	store_close(&s);
	_free_ char *image = base_printf("%s/images/%s", s.root, id + 7), *gone = base_printf("%s/images/.tmp-1", s.root);
	_free_ char *config = base_printf("%s/config", gone), *quarantine = base_printf("%s/quarantine", s.root);

	CHECK(rename(image, gone) == 0 && unlink(config) == 0);
	store_open(&s);
	struct image *i = NULL;

	CHECK_ERR(images_find(s.images, "x/y:1", &i), ERR_NOT_FOUND);
	CHECK(access(gone, F_OK) < 0 && access(quarantine, F_OK) < 0);
	store_drop(&s);
}

TEST(record_goes_before_what_belongs_to_it)
{
	struct store s;
	struct watch w;

	store_new(&s);
	_free_ char *dir = base_printf("%s/id", s.dir);
	static const char *const files[] = { "exit", "a", "record", "z", "upper" };

	CHECK(mkdir(dir, 0700) == 0);
	_close_ int at = open(s.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		CHECK_OK(file_replace_at(fd, files[i], "x", 1, 0600, FILE_ORDERED));
	const char *const dirs[] = { dir, NULL };

	watch_begin(&w, dirs);
	CHECK_OK(record_remove_dir(at, "id", "record"));
	watch_end(&w);
	CHECK_STR(w.event.name, "record");
	CHECK(access(dir, F_OK) < 0);
	CHECK_OK(record_remove_dir(at, "id", "record"));
	store_drop(&s);
}

/* Every length: none is taken for the name, none takes the image with it. */
TEST(name_file_cut_short_is_set_aside_and_its_image_stays)
{
	struct store s;
	char id[72];

	store_new(&s);
	add(&s, "{}", "x/y:1", id);
	_free_ char *names = base_printf("%s/names", s.root);
	_close_ int fd = open(names, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char file[] = "0d3a18a0f1f1f5bc1c14f1b8cf3bde8cd1ea1e56cbf0d27ed0ad4b2fb1d4f8d7";
	_free_ char *whole = base_printf("x/y:1\n%s\n", id), *aside = base_printf("%s/quarantine/name-%s", s.root, file);

	for (size_t n = 0; n <= strlen(whole); n++) {
		struct image *i = NULL;

		/* under another name's file: whole, it is not of its place either */
		CHECK_OK(file_replace_at(fd, file, whole, n, 0600, FILE_VOLATILE));
		store_close(&s);
		store_open(&s);
		CHECK(access(aside, F_OK) == 0 && faccessat(fd, file, F_OK, 0) < 0);
		CHECK(unlink(aside) == 0);
		CHECK_OK(images_find(s.images, "x/y:1", &i));
		CHECK_STR(i->id, id);
		image_free(i);
	}
	store_drop(&s);
}

TEST(image_record_cut_short_is_set_aside_and_others_stay)
{
	struct store s;
	char bad[72], good[72];
	struct image *i = NULL;

	store_new(&s);
	add(&s, "{\"n\":1}", "x/bad:1", bad);
	add(&s, "{\"n\":2}", "x/good:1", good);
	_free_ char *record = base_printf("%s/images/%s/record", s.root, bad + 7);
	_free_ char *aside = base_printf("%s/quarantine/image-%s/record", s.root, bad + 7);
	_free_ char *quarantine = base_printf("%s/quarantine", s.root);
	struct stat st;

	CHECK(stat(record, &st) == 0);
	/* its last byte is the end of a line that is whole without it */
	for (off_t n = 0; n < st.st_size - 1; n++) {
		CHECK(truncate(record, n) == 0);
		store_close(&s);
		store_open(&s);
		CHECK(access(aside, F_OK) == 0);
		CHECK_ERR(images_find(s.images, "x/bad:1", &i), ERR_NOT_FOUND);
		CHECK_OK(images_find(s.images, "x/good:1", &i));
		CHECK_STR(i->id, good);
		image_free(i);
		add(&s, "{\"n\":1}", "x/bad:1", bad); /* and it can be had again */
		CHECK_OK(images_find(s.images, "x/bad:1", &i));
		image_free(i);
		CHECK_OK(file_remove_tree(AT_FDCWD, quarantine));
	}
	store_drop(&s);
}

TEST(image_with_a_document_cut_short_is_set_aside)
{
	struct store s;
	char id[72];
	struct image *i = NULL;

	store_new(&s);
	for (int k = 0; k < 2; k++) {
		add(&s, "{\"n\":1}", "x/bad:1", id);
		_free_ char *file = base_printf("%s/images/%s/%s", s.root, id + 7, k ? "manifest" : "config");

		CHECK(truncate(file, 1) == 0);
		store_close(&s);
		store_open(&s);
		CHECK_ERR(images_find(s.images, "x/bad:1", &i), ERR_NOT_FOUND);
	}
	store_drop(&s);
}

TEST(image_record_of_the_first_format_is_read)
{
	struct image_record r;

	CHECK_OK(image_record_parse("manifest " DIGEST_C "\npulled 5\nlayer " DIGEST_C "\n", &r));
	CHECK_INT(r.layers.len, 1);
	image_record_done(&r);
}

TEST_MAIN
