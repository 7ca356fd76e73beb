/* harness.h: a server that answers with what a test says (JSON), keeps what it was asked, and the client run against it. */
#ifndef CRISP_CLI_HARNESS_H
#define CRISP_CLI_HARNESS_H

#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "cli/cli.h"
#include "cri/pbjson.h"
#include "wire/grpc.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWERS_MAX 16
#define ID_A "aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID_B "aabb456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD  "cccc456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct fake {
	char dir[32], path[64];
	struct grpc_server *server;
	pthread_t thread;
	int stop_fd;
	struct {
		const char *method;
		char *json;
		enum grpc_code code;
	} answers[ANSWERS_MAX];
	size_t n_answers;
	struct buf asked;            /* "Method JSON\n" of each call */
	char *out, *err;             /* of the last run */
} fake;

static const ProtobufCMethodDescriptor *find_method(const char *name)
{
	const ProtobufCMethodDescriptor *m =
		protobuf_c_service_descriptor_get_method_by_name(&runtime__v1__runtime_service__descriptor, name);

	return m ? m : protobuf_c_service_descriptor_get_method_by_name(&runtime__v1__image_service__descriptor, name);
}

static void keep_request(const char *method, const ProtobufCMessageDescriptor *d, const void *body, size_t len)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	arena_init(&a);
	err_free(pack_unpack(&a, d, body, len, &m));
	char *text = m ? yyjson_mut_val_write(pbjson_tree(doc, m), YYJSON_WRITE_NOFLAG, NULL) : NULL;

	buf_printf(&fake.asked, "%s %s\n", method, text);
	free(text);
	yyjson_mut_doc_free(doc);
}

static void answer(struct grpc_call *c, const ProtobufCMessageDescriptor *d, const char *json)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;
	void *bytes;
	size_t n;

	arena_init(&a);
	struct err *e = pbjson_parse(&a, d, json, strlen(json), &m);

	if (!e)
		e = pack_message(&a, m, &bytes, &n);
	if (!e)
		e = grpc_call_send(c, bytes, n);
	grpc_call_finish(c, e ? GRPC_INTERNAL : GRPC_OK, e ? err_text(e) : NULL);
	err_free(e);
}

static void handler(struct grpc_call *c, _unused_ void *context)
{
	const char *name = strrchr(grpc_call_path(c), '/') + 1;
	const ProtobufCMethodDescriptor *m = find_method(name);
	size_t len;
	const void *body = grpc_call_body(c, &len);

	keep_request(name, m->input, body, len);
	for (size_t i = 0; i < fake.n_answers; i++) {
		if (strcmp(fake.answers[i].method, name) != 0)
			continue;
		if (fake.answers[i].code)
			grpc_call_finish(c, fake.answers[i].code, fake.answers[i].json);
		else
			answer(c, m->output, fake.answers[i].json);
		return;
	}
	grpc_call_finish(c, GRPC_UNIMPLEMENTED, "not in this test");
}

static void *serve(_unused_ void *arg)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = grpc_server_fd(fake.server), .events = POLLIN },
				       { .fd = fake.stop_fd, .events = POLLIN } };

		poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
		err_free(grpc_server_run_once(fake.server));
	}
}

/* The server alone: a test may replace it. */
_unused_ static void server_start(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, fake.path);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 16) == 0);
	CHECK_OK(grpc_server_new(fd, handler, NULL, &fake.server));
	fake.stop_fd = eventfd(0, EFD_CLOEXEC);
	pthread_create(&fake.thread, NULL, serve, NULL);
}

_unused_ static void server_stop(void)
{
	eventfd_write(fake.stop_fd, 1);
	pthread_join(fake.thread, NULL);
	grpc_server_free(fake.server, 0);
	close(fake.stop_fd);
	unlink(fake.path);
}

_unused_ static void start(void)
{
	fake = (struct fake){ 0 };
	strcpy(fake.dir, "/tmp/cli-test-XXXXXX");
	CHECK(mkdtemp(fake.dir));
	snprintf(fake.path, sizeof(fake.path), "%s/sock", fake.dir);
	server_start();
}

_unused_ static void stop(void)
{
	server_stop();
	rmdir(fake.dir);
	for (size_t i = 0; i < fake.n_answers; i++)
		free(fake.answers[i].json);
	buf_done(&fake.asked);
	free(TAKE(fake.out));
	free(TAKE(fake.err));
}

_printf_(2, 3) _unused_ static void set_answer(const char *method, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	CHECK(fake.n_answers < ANSWERS_MAX);
	fake.answers[fake.n_answers].method = method;
	CHECK(vasprintf(&fake.answers[fake.n_answers].json, fmt, ap) >= 0);
	fake.n_answers++;
	va_end(ap);
}

_unused_ static void set_failure(const char *method, enum grpc_code code, const char *text)
{
	set_answer(method, "%s", text);
	fake.answers[fake.n_answers - 1].code = code;
}

static void swap_fd(int fd, int *keep, int *file)
{
	*keep = dup(fd);
	*file = memfd_create("out", MFD_CLOEXEC);
	dup2(*file, fd);
}

static char *swap_back(int fd, int keep, int file)
{
	struct buf b = BUF_INIT;

	dup2(keep, fd);
	close(keep);
	lseek(file, 0, SEEK_SET);
	err_free(file_read_fd(file, MIB(4), &b));
	buf_append(&b, "", 0); /* nothing read: no text yet */
	close(file);
	return buf_take(&b);
}

/* Runs the words as crisp would be called with; NULL ends them. Returns the exit status. */
_unused_ static int run(const char *first, ...)
{
	char *argv[24] = { (char *)"crisp", (char *)"-r", NULL };
	_free_ char *address = base_printf("unix://%s", fake.path);
	int argc = 3, keep[2], file[2];
	va_list ap;

	argv[2] = address;
	va_start(ap, first);
	for (const char *w = first; w; w = va_arg(ap, const char *))
		argv[argc++] = (char *)w;
	va_end(ap);
	fflush(stdout);
	swap_fd(1, &keep[0], &file[0]);
	swap_fd(2, &keep[1], &file[1]);
	int status = cli_main(argc, argv);

	fflush(stdout);
	free(TAKE(fake.out));
	free(TAKE(fake.err));
	fake.out = swap_back(1, keep[0], file[0]);
	fake.err = swap_back(2, keep[1], file[1]);
	return status;
}

#define RUN_OK(...)                                                   \
	do {                                                          \
		int run_status_ = run(__VA_ARGS__, NULL);             \
		if (run_status_)                                      \
			fprintf(stderr, "stderr: %s\n", fake.err);    \
		CHECK_INT(run_status_, 0);                            \
	} while (0)

#define RUN_FAILS(want, ...)                             \
	do {                                             \
		CHECK_INT(run(__VA_ARGS__, NULL), 1);    \
		CHECK_STR(fake.err, want);               \
		CHECK_STR(fake.out, "");                 \
	} while (0)

_unused_ static void answer_containers(void)
{
	set_answer("ListContainers",
		   "{\"containers\":["
		   "{\"id\":\"" ID_A "\",\"podSandboxId\":\"" POD "\",\"metadata\":{\"name\":\"web\",\"attempt\":1},"
		   "\"image\":{\"image\":\"sha256:ffff456789abcdef\",\"userSpecifiedImage\":\"docker.io/nginx:1\"},"
		   "\"state\":1,\"createdAt\":\"%lld\",\"labels\":{\"io.kubernetes.pod.name\":\"web-0\","
		   "\"io.kubernetes.pod.namespace\":\"default\"}},"
		   "{\"id\":\"" ID_B "\",\"podSandboxId\":\"" POD "\",\"metadata\":{\"name\":\"init\\u001b[2Jx\"},"
		   "\"image\":{\"image\":\"sha256:eeee456789abcdef\"},\"state\":2,\"createdAt\":\"%lld\"}]}",
		   (long long)(clock_wall_ns() - 125 * NS_PER_S), (long long)(clock_wall_ns() - 7300 * NS_PER_S));
}

_unused_ static void answer_pods(void)
{
	set_answer("ListPodSandbox",
		   "{\"items\":[{\"id\":\"" POD "\",\"metadata\":{\"name\":\"web-0\",\"namespace\":\"default\",\"attempt\":2},"
		   "\"createdAt\":\"%lld\"},"
		   "{\"id\":\"dd11\",\"metadata\":{\"name\":\"dns\",\"namespace\":\"kube-system\"},\"state\":1,"
		   "\"runtimeHandler\":\"runc\",\"createdAt\":\"%lld\"}]}",
		   (long long)(clock_wall_ns() - 61 * NS_PER_S), (long long)(clock_wall_ns() - 86400 * 20 * NS_PER_S));
}

_unused_ static void write_file(const char *name, const char *text, char ret_path[96])
{
	snprintf(ret_path, 96, "%s/%s", fake.dir, name);
	CHECK_OK(file_replace_at(AT_FDCWD, ret_path, text, strlen(text), 0600, false));
}

#endif
