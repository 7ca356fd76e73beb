#include "sys/path.h"

#include "base/file.h"
#include "base/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
	char dir[32];
	int fd;
};

static void tree_init(struct tree *t)
{
	strcpy(t->dir, "/tmp/crisp-path-XXXXXX");
	CHECK(mkdtemp(t->dir) != NULL);
	t->fd = open(t->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(t->fd >= 0);
}

static void tree_done(struct tree *t)
{
	close(t->fd);
	err_free(file_remove_tree(AT_FDCWD, t->dir));
}
#define _tree_ _cleanup_(tree_done)

static bool is(struct tree *t, const char *path, mode_t type)
{
	struct stat st;

	return fstatat(t->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
}

TEST(what_is_missing_is_made)
{
	_tree_ struct tree t;
	_close_ int dir = -1, file = -1;

	tree_init(&t);
	CHECK_OK(path_make_root(t.fd, "/a/b/c", true, &dir));
	CHECK_OK(path_make_root(t.fd, "a/b/d/f", false, &file));
	CHECK(is(&t, "a/b/c", S_IFDIR) && is(&t, "a/b/d/f", S_IFREG));
}

/* A mount below a link whose target the image does not have, as runc makes it (mounts/destination-through-a-symlink). */
TEST(target_of_a_link_that_leads_nowhere_is_made_inside)
{
	static const struct {
		const char *text, *path, *made;
	} cases[] = {
		{ "/crisp-path-test/there", "abs/d", "crisp-path-test/there/d" },
		{ "not/here", "rel/d", "not/here/d" },
		{ "../../../../../../tmp/crisp-path-test", "up/d", "tmp/crisp-path-test/d" },
		{ "again", "chain/d", "final/d" },
	};
	_tree_ struct tree t;

	tree_init(&t);
	CHECK(symlinkat("final", t.fd, "again") == 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_free_ char *name = base_strndup(cases[i].path, strcspn(cases[i].path, "/"));
		_close_ int fd = -1;

		CHECK(symlinkat(cases[i].text, t.fd, name) == 0);
		CHECK_OK(path_make_root(t.fd, cases[i].path, true, &fd));
		CHECK(is(&t, cases[i].made, S_IFDIR));
	}
	CHECK(access("/crisp-path-test", F_OK) < 0 && access("/tmp/crisp-path-test", F_OK) < 0);
}

TEST(file_behind_a_link_that_leads_nowhere)
{
	_tree_ struct tree t;
	_close_ int fd = -1;

	tree_init(&t);
	CHECK(symlinkat("dir/file", t.fd, "link") == 0);
	CHECK_OK(path_make_root(t.fd, "link", false, &fd));
	CHECK(is(&t, "dir/file", S_IFREG));
}

TEST(links_in_a_circle_end)
{
	_tree_ struct tree t;
	_close_ int fd = -1;

	tree_init(&t);
	CHECK(symlinkat("b", t.fd, "a") == 0 && symlinkat("a", t.fd, "b") == 0 && symlinkat("self/x", t.fd, "self") == 0);
	struct err *circle = path_make_root(t.fd, "a/d", true, &fd), *self = path_make_root(t.fd, "self/d", true, &fd);

	CHECK(circle && self);
	err_free(circle);
	err_free(self);
}

TEST_MAIN
