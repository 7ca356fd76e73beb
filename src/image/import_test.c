/* The importer as serve runs it: directories that are watched, archives that are handed over, restarts in between. */
#include "base/clock.h"
#include "base/log.h"
#include "image/archive_testing.h"
#include "image/import.h"
#include "image/import_protocol.h"
#include "image/import_record.h"
#include "store/images.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* The importer's threads end with the process, as serve's do. A restart is therefore another one, on a copy of the root and
 * with the same directory of archives. */
struct node {
	char *root, *socket, *watched;
	const char *dirs[2];
	struct layers *layers;
	struct images *images;
	struct puller *puller;
	struct importer *importer;
};

static void start(struct node *n, const char *name, const char *watched)
{
	_free_ char *state = base_printf("%s/%s/state", dir, name);

	n->root = base_printf("%s/%s", dir, name);
	n->socket = base_printf("%s/%s.sock", dir, name);
	n->watched = base_printf("%s/%s", dir, watched);
	n->dirs[0] = n->watched;
	n->dirs[1] = NULL;
	const struct layers_options lo = { .root = n->root, .state = state };
	const struct images_options io = { .root = n->root };

	CHECK_OK(layers_open(&lo, &n->layers));
	CHECK_OK(images_open(&io, n->layers, &n->images));
	const struct puller_options po = { .images = n->images, .layers = n->layers, .root = n->root,
					   .progress_timeout_ns = 60 * NS_PER_S, .image_max = MIB(100), .parallel = 2 };

	CHECK_OK(puller_new(&po, &n->puller));
	const struct importer_options o = { .images = n->images, .puller = n->puller, .root = n->root, .socket = n->socket,
					    .dirs = n->dirs };

	CHECK_OK(importer_start(&o, &n->importer));
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * NS_PER_MS }, NULL);
}

/* The file's state, "" if it is not listed; its error goes to *ret_error* (owned). */
static const char *state_of(struct node *n, const char *name, char **ret_error)
{
	_free_ char *path = base_printf("%s/%s", n->watched, name);
	struct import_status *list;
	size_t count = importer_list(n->importer, &list);
	const char *state = "";

	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i].path, path)) {
			state = list[i].state;
			if (ret_error)
				*ret_error = list[i].error ? base_strdup(list[i].error) : NULL;
		}
	import_status_done(list, count);
	return state;
}

static void want_state(struct node *n, const char *name, const char *state)
{
	int64_t until = clock_mono_ns() + 120 * NS_PER_S;

	while (strcmp(state_of(n, name, NULL), state) != 0 && clock_mono_ns() < until)
		pause_ms(20);
	CHECK_STR(state_of(n, name, NULL), state);
}

static void want_error(struct node *n, const char *name, const char *words)
{
	_free_ char *error = NULL;

	want_state(n, name, "failed");
	state_of(n, name, &error);
	if (!error || !strstr(error, words))
		fprintf(stderr, "%s: %s\n", name, error ? error : "no error");
	CHECK(error && strstr(error, words));
}

static bool is_pinned(struct node *n, const char *ref)
{
	_image_ struct image *i = NULL;

	CHECK_OK(images_find(n->images, ref, &i));
	return i->pinned;
}

TEST(import_takes_each_form_and_pins_while_the_file_is_there)
{
	static const char *const forms[] = { "a.tar", "b.tar.gz", "c.tar.zst", "d.tgz", "e" };
	char id[72], manifest[72];
	static struct node n;

	make_layout("l", "x.test/app:1", "one", id, manifest);
	CHECK_INT(shell("tar -C l -cf f.a.tar . && gzip -c f.a.tar >f.b.tar.gz && zstd -qkf f.a.tar -o f.c.tar.zst && "
			"tar -C l.docker -czf f.d.tgz . && rm -rf f.e && cp -r l f.e"), 0);
	start(&n, "forms", "forms.in");
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		CHECK_INT(shell("cp -r f.%s forms.in/.new && mv forms.in/.new forms.in/%s", forms[i], forms[i]), 0);
		want_state(&n, forms[i], "imported");
		CHECK(is_pinned(&n, "x.test/app:1") && is_pinned(&n, id));
		CHECK_INT(shell("rm -r forms.in/%s", forms[i]), 0);
		want_state(&n, forms[i], "");
		CHECK(!is_pinned(&n, "x.test/app:1"));
	}
}

TEST(import_names_what_is_bad_and_leaves_it_alone_until_it_changes)
{
	char id[72], manifest[72];
	static struct node n, again;

	make_layout("l", "x.test/app:1", "one", id, manifest);
	CHECK_INT(shell("tar -C l -cf good.tar . && mkdir -p bad.in && cd bad.in && head -c 4000 ../good.tar >cut.tar && "
			"yes | head -c 5000 >noise.tar && echo 'BZh9' >x.tar.bz2 && : >ignored.md && : >empty.tar && "
			"printf '# a list\\n\\nNo-Name:x:y z\\n' >list.txt && cp -r ../l half && rm half/blobs/sha256/%s", id + 7), 0);
	start(&n, "bad", "bad.in");
	want_error(&n, "cut.tar", "cut short");
	want_error(&n, "noise.tar", "tar archive");
	want_error(&n, "x.tar.bz2", "bzip2");
	want_error(&n, "half", "configuration");
	want_state(&n, "list.txt", "failed");
	CHECK_STR(state_of(&n, "ignored.md", NULL), "");
	CHECK_STR(state_of(&n, "empty.tar", NULL), "");
	/* what the file is the cause of is remembered */
	CHECK_INT(shell("test $(ls bad/imports | wc -l) -ge 4 && cp -a bad bad2"), 0);
	start(&again, "bad2", "bad.in");
	CHECK_STR(state_of(&again, "cut.tar", NULL), "failed");
	CHECK_STR(state_of(&again, "half", NULL), "failed");
	/* it gets better: the file is replaced, the blob comes */
	CHECK_INT(shell("cp good.tar bad.in/cut.tar && cp l/blobs/sha256/%s bad.in/half/blobs/sha256/", id + 7), 0);
	want_state(&again, "cut.tar", "imported");
	want_state(&again, "half", "imported");
	CHECK(is_pinned(&again, id));
}

TEST(import_waits_for_whoever_writes_the_file)
{
	char id[72], manifest[72];
	static struct node n;
	_buf_ struct buf whole = BUF_INIT;

	make_layout("l", "x.test/app:1", "one", id, manifest);
	CHECK_INT(shell("tar -C l -cf w.tar . && mkdir -p writing.in"), 0);
	read_all("w.tar", &whole);
	_free_ char *path = at("writing.in/w.tar");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
	CHECK_OK(file_write_fd(fd, whole.data, whole.len / 2));
	start(&n, "writing", "writing.in");
	want_state(&n, "w.tar", "being written");
	CHECK_INT(shell("cp w.tar writing.in/other.tar"), 0);
	want_state(&n, "other.tar", "imported");
	CHECK_STR(state_of(&n, "w.tar", NULL), "being written");
	CHECK_OK(file_write_fd(fd, whole.data + whole.len / 2, whole.len - whole.len / 2));
	close(fd);
	want_state(&n, "w.tar", "imported");
}

TEST(import_does_nothing_for_what_it_knows_after_a_restart)
{
	char id[72], manifest[72];
	static struct node n, again, third;
	const struct strv none = { 0 };

	make_layout("l", "x.test/app:1", "one", id, manifest);
	CHECK_INT(shell("mkdir -p known.in && tar -C l -cf known.in/a.tar ."), 0);
	start(&n, "known", "known.in");
	want_state(&n, "a.tar", "imported");
	CHECK_INT(shell("cp -a known known2 && ls -li --full-time known2/imports known2/images known2/layers >before"), 0);
	start(&again, "known2", "known.in");
	CHECK_STR(state_of(&again, "a.tar", NULL), "imported"); /* from the first instant */
	CHECK(is_pinned(&again, id));
	pause_ms(500);
	CHECK_INT(shell("ls -li --full-time known2/imports known2/images known2/layers >after && cmp before after"), 0);
	/* its image was removed by hand: it comes again with the next start */
	CHECK_OK(images_remove(again.images, id, &none));
	CHECK_INT(shell("cp -a known2 known3"), 0);
	start(&third, "known3", "known.in");
	want_state(&third, "a.tar", "imported");
	CHECK(is_pinned(&third, id));
}

TEST(import_unpins_what_went_while_nobody_looked)
{
	char id[72], manifest[72];
	static struct node n, again;

	make_layout("l", "x.test/app:1", "one", id, manifest);
	CHECK_INT(shell("mkdir -p gone.in && tar -C l -cf gone.in/a.tar ."), 0);
	start(&n, "gone", "gone.in");
	want_state(&n, "a.tar", "imported");
	CHECK_INT(shell("cp -a gone gone2 && rm gone.in/a.tar"), 0);
	start(&again, "gone2", "gone.in");
	CHECK(!is_pinned(&again, id));
	CHECK_INT(shell("test $(ls gone2/imports | wc -l) = 0"), 0);
}

static int ask(struct node *n, const char *file, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	_free_ struct message *m = base_alloc(sizeof(*m));
	_free_ char *path = at(file);
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", n->socket);
	CHECK(sock >= 0 && fd >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	message_init(m, IMPORT_ASK, 0);
	message_put_str(m, IMPORT_TAG_PATH, path);
	message_put_str(m, IMPORT_TAG_NAME, name);
	message_add_fd(m, fd);
	CHECK_OK(message_send(sock, m));
	return sock;
}

TEST(import_takes_archives_that_are_handed_over)
{
	char id[72], manifest[72];
	static struct node n;
	struct message *m = base_alloc(sizeof(*m));
	bool eof = false;

	make_layout("l", "1", "one", id, manifest);
	start(&n, "handed", "handed.in");
	int sock = ask(&n, "l", "x.test/renamed:2");

	CHECK_OK(message_recv(sock, clock_mono_ns() + 120 * NS_PER_S, m, &eof));
	CHECK(!eof && m->type == IMPORT_IMAGE);
	CHECK_STR(message_str(m, IMPORT_TAG_ID), id);
	CHECK_STR(message_str(m, IMPORT_TAG_NAME), "x.test/renamed:2");
	CHECK_OK(message_recv(sock, clock_mono_ns() + 120 * NS_PER_S, m, &eof));
	CHECK(!eof && m->type == IMPORT_DONE);
	CHECK_OK(message_take_err(m));
	CHECK(!is_pinned(&n, "x.test/renamed:2"));
	close(sock);
	sock = ask(&n, "config", NULL);
	CHECK_OK(message_recv(sock, clock_mono_ns() + 120 * NS_PER_S, m, &eof));
	CHECK(!eof && m->type == IMPORT_DONE);
	CHECK_ERR(message_take_err(m), ERR_INVALID);
	close(sock);
	free(m);
}

TEST(import_record_is_read_as_it_was_written)
{
	struct import_record r = { .path = base_strdup("/x/y z.tar"), .sign = { 1, 2, 3, 4, UINT64_MAX }, .error = base_strdup("a\nb") };
	struct import_record got = { 0 };
	_buf_ struct buf b = BUF_INIT;

	strv_push(&r.images, "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	import_record_format(&r, &b);
	CHECK_OK(import_record_parse(buf_text(&b), &got));
	CHECK_STR(got.path, r.path);
	CHECK_STR(got.error, "a?b");
	CHECK(import_sign_eq(&got.sign, &r.sign) && got.images.len == 1);
	CHECK_ERR(import_record_parse("path /x\n", &r), ERR_CORRUPT);
	CHECK_ERR(import_record_parse("path x\nsign 1 2 3 4 5\n", &r), ERR_CORRUPT);
	CHECK_ERR(import_record_parse("path /x\nsign 1 2 3 4 5\nimage sha256:x\n", &r), ERR_CORRUPT);
	import_record_done(&got);
	import_record_done(&r);
}

/* What the importers' threads hold is theirs to the end. */
int main(int argc, char **argv)
{
	testing_role(argc, argv);
	log_init("test", getenv("CRISP_TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	if (!mkdtemp(dir))
		return 1;
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	err_free(file_remove_tree(AT_FDCWD, dir));
	fflush(NULL);
	_exit(status);
}
