/* Stores of the OS image beside the node's own: used where they are, never written; and whose word counts. */
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "store/erofs.h"
#include "store/erofs_testing.h"
#include "store/images.h"

#include <stdarg.h>

#define DIGEST(c) "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

static const char *const layer_a = DIGEST("aa"), *const layer_b = DIGEST("bb"), *const manifest = DIGEST("cc");
static const struct strv none = { 0 };

/* A store below *dir* and what is open of it. */
struct node {
	char *dir;
	struct layers *layers;
	struct images *images;
};

static char *new_dir(void)
{
	char path[] = "/tmp/crisp-baked-XXXXXX";

	return base_strdup(mkdtemp(path));
}

static void node_open(struct node *n, const char *dir, const char *one, const char *two)
{
	_free_ char *state = base_printf("%s/state", dir);
	const char *const baked[] = { one, two, NULL };
	const struct layers_options lo = { .root = dir, .state = state, .baked = baked };
	const struct images_options io = { .root = dir, .baked = baked };

	n->dir = base_strdup(dir);
	CHECK_OK(layers_open(&lo, &n->layers));
	CHECK_OK(images_open(&io, n->layers, &n->images));
}

static void node_close(struct node *n)
{
	images_close(n->images);
	layers_close(n->layers);
	free(n->dir);
}

static void put_layer(struct node *n, const char *digest)
{
	static const uint8_t uuid[16] = { 1 };
	const struct erofs_attr attr = { .mode = 0755 };
	struct layer_write *w = NULL;
	struct erofs_writer *writer = NULL;
	uint64_t size;
	int fd;

	CHECK_OK(layers_begin(n->layers, digest, CLOCK_NEVER, &w, &fd));
	if (!w)
		return;
	CHECK_OK(erofs_writer_new(fd, MIB(1), &writer));
	CHECK_OK(erofs_add_dir(writer, "", &attr));
	CHECK_OK(erofs_finish(writer, uuid, &size));
	erofs_writer_free(writer);
	CHECK_OK(layers_commit(w));
}

/* The image whose configuration is *config*, of one layer, under *name*. */
static char *put_image(struct node *n, const char *config, const char *layer, const char *name)
{
	_strv_ struct strv layers = { 0 };
	char id[72];
	const struct images_add a = {
		.manifest = "{}", .manifest_len = 2, .config = config, .config_len = strlen(config), .manifest_digest = manifest,
		.layers = &layers, .tag = name,
	};

	strv_push(&layers, layer);
	put_layer(n, layer);
	CHECK_OK(images_add(n->images, &a, id));
	return base_strdup(id);
}

/* A baked store with that one image. */
static char *bake(const char *config, const char *layer, const char *name)
{
	char *dir = new_dir();
	struct node n;

	node_open(&n, dir, NULL, NULL);
	free(put_image(&n, config, layer, name));
	node_close(&n);
	return dir;
}

static void want(struct node *n, const char *name, const char *config, bool pinned)
{
	char id[72];
	_image_ struct image *i = NULL;

	sha256_text(config, strlen(config), id);
	CHECK_OK(images_find(n->images, name, &i));
	CHECK_STR(i->id, id);
	CHECK(i->pinned == pinned);
}

static void drop(char *dir)
{
	err_ignore(file_remove_tree(AT_FDCWD, dir));
	free(dir);
}

TEST(baked_stores_are_used_where_they_are_and_never_written)
{
	const char *why = testing_why_no_mount();

	if (why)
		SKIP(why);
	char *one = bake("{\"n\":1}", layer_a, "x.test/a:1"), *two = bake("{\"n\":1}", layer_a, "x.test/a:1"), *own = new_dir();
	_free_ char *link = base_printf("%s/link", own), *owned = base_printf("%s/root/layers", own);
	_close_ int fd = -1;
	struct node n;

	CHECK_OK(mount_clone(AT_FDCWD, one, false, &fd));
	CHECK_OK(mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, 0));
	CHECK_OK(mount_attach_at(fd, one));
	CHECK(symlink(one, link) == 0);
	_free_ char *root = base_printf("%s/root", own);

	for (int i = 0; i < 2; i++) {
		struct image **list;
		size_t count;

		node_open(&n, root, link, two);
		want(&n, "x.test/a:1", "{\"n\":1}", true);
		CHECK(layers_is_baked(n.layers, layer_a));
		CHECK_OK(images_list(n.images, &list, &count));
		CHECK_INT(count, (size_t)i + 1); /* in two stores, and counted once; then the one that is pulled below */
		while (count)
			image_free(list[--count]);
		free(list);
		CHECK_ERR(images_remove(n.images, "x.test/a:1", &none), ERR_PRECONDITION);
		images_sweep(n.images, &none);
		CHECK(layers_have(n.layers, layer_a));
		/* what is baked is not pulled a second time */
		free(put_image(&n, "{\"n\":2}", layer_a, "x.test/b:1"));
		CHECK(rmdir(owned) < 0 ? errno == ENOTEMPTY : mkdir(owned, 0700) == 0);
		node_close(&n);
	}
	CHECK_OK(mount_detach(one));
	drop(one);
	drop(two);
	drop(own);
}

TEST(baked_layer_comes_before_our_own)
{
	char *own = new_dir(), *baked = bake("{\"n\":1}", layer_a, "x.test/a:1");
	struct node n;

	node_open(&n, own, NULL, NULL);
	free(put_image(&n, "{\"n\":1}", layer_a, "x.test/a:1"));
	node_close(&n);
	node_open(&n, own, baked, NULL);
	CHECK(layers_is_baked(n.layers, layer_a));
	want(&n, "x.test/a:1", "{\"n\":1}", true);
	node_close(&n);
	/* the OS image goes back to what it was: ours is still there */
	node_open(&n, own, NULL, NULL);
	want(&n, "x.test/a:1", "{\"n\":1}", false);
	node_close(&n);
	drop(baked);
	drop(own);
}

TEST(name_that_is_baked_and_pulled_is_what_was_said_last)
{
	char *own = new_dir(), *old = bake("{\"n\":1}", layer_a, "x.test/a:1"), *new = bake("{\"n\":3}", layer_a, "x.test/a:1");
	struct node n;

	/* a user's own pull moves the name, and that holds while the OS image says the same */
	node_open(&n, own, old, NULL);
	free(put_image(&n, "{\"n\":2}", layer_b, "x.test/a:1"));
	want(&n, "x.test/a:1", "{\"n\":2}", false);
	node_close(&n);
	node_open(&n, own, old, NULL);
	want(&n, "x.test/a:1", "{\"n\":2}", false);
	node_close(&n);
	/* an OS image with another one under that name */
	node_open(&n, own, new, NULL);
	want(&n, "x.test/a:1", "{\"n\":3}", true);
	node_close(&n);
	/* back to the former: the pull is not what was said last any more */
	node_open(&n, own, old, NULL);
	want(&n, "x.test/a:1", "{\"n\":1}", true);
	/* pulled once more, and removed: the name is the baked one's again, at once */
	char *id = put_image(&n, "{\"n\":2}", layer_b, "x.test/a:1");

	want(&n, "x.test/a:1", "{\"n\":2}", false);
	CHECK_OK(images_remove(n.images, id, &none));
	want(&n, "x.test/a:1", "{\"n\":1}", true);
	free(id);
	node_close(&n);
	/* pulled before any OS image had it */
	node_open(&n, own, NULL, NULL);
	free(put_image(&n, "{\"n\":2}", layer_b, "x.test/a:1"));
	node_close(&n);
	node_open(&n, own, old, NULL);
	want(&n, "x.test/a:1", "{\"n\":1}", true);
	node_close(&n);
	drop(own);
	drop(old);
	drop(new);
}

TEST(baked_object_that_is_bad_is_left_out_not_fatal)
{
	char *own = new_dir(), *baked = bake("{\"n\":1}", layer_a, "x.test/a:1");
	_free_ char *layer = base_printf("%s/layers/%s", baked, layer_a + 7), *names = base_printf("%s/names", baked);
	_free_ char *noise = base_printf("%s/names/%s", baked, layer_b + 7), *file = base_printf("%s/file", own);
	struct image *i = NULL;
	struct node n;

	CHECK(truncate(layer, 100) == 0);
	CHECK_OK(file_replace_at(AT_FDCWD, noise, "noise", 5, 0644, FILE_VOLATILE));
	CHECK_OK(file_replace_at(AT_FDCWD, file, "no store", 8, 0644, FILE_VOLATILE));
	node_open(&n, own, file, baked);
	CHECK_ERR(images_find(n.images, "x.test/a:1", &i), ERR_NOT_FOUND);
	CHECK(access(layer, F_OK) == 0 && access(noise, F_OK) == 0); /* nothing is removed there */
	/* it can be pulled: ours is whole */
	free(put_image(&n, "{\"n\":1}", layer_a, "x.test/a:1"));
	want(&n, "x.test/a:1", "{\"n\":1}", false);
	node_close(&n);
	CHECK_OK(file_remove_tree(AT_FDCWD, names));
	node_open(&n, own, baked, NULL);
	want(&n, "x.test/a:1", "{\"n\":1}", false);
	node_close(&n);
	drop(baked);
	drop(own);
}

TEST(image_that_is_held_is_pinned)
{
	char *own = new_dir();
	struct node n;
	_strv_ struct strv held = { 0 };

	node_open(&n, own, NULL, NULL);
	strv_push_take(&held, put_image(&n, "{\"n\":1}", layer_a, "x.test/a:1"));
	images_set_held(n.images, &held);
	want(&n, "x.test/a:1", "{\"n\":1}", true);
	images_set_held(n.images, &none);
	want(&n, "x.test/a:1", "{\"n\":1}", false);
	node_close(&n);
	drop(own);
}

TEST_MAIN
