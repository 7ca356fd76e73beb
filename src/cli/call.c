#include "cli/verb.h"

#include "base/file.h"
#include "base/str.h"
#include "cli/yaml.h"
#include "cri/pbjson.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const ProtobufCServiceDescriptor *const services[] = {
	&runtime__v1__runtime_service__descriptor,
	&runtime__v1__image_service__descriptor,
};

static struct err *find_method(const char *name, const ProtobufCServiceDescriptor **ret_service,
			       const ProtobufCMethodDescriptor **ret)
{
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		*ret_service = services[i];
		*ret = protobuf_c_service_descriptor_get_method_by_name(services[i], name);
		if (*ret)
			return NULL;
	}
	return err_new(ERR_INTERNAL, "CRI has no method %s", name);
}

/* The connection for *service*: the image service may be elsewhere. */
static struct err *connect_once(struct cli *c, const ProtobufCServiceDescriptor *service, struct grpc_client **ret)
{
	bool elsewhere = service == services[1] && strcmp(c->endpoint, c->image_endpoint) != 0;
	struct grpc_client **client = elsewhere ? &c->image_client : &c->client;

	if (!*client)
		TRY_WRAP(grpc_client_connect(elsewhere ? c->image_endpoint : c->endpoint, client),
			 "no CRI runtime (is crisp serve running? --runtime-endpoint names another socket)");
	*ret = *client;
	return NULL;
}

struct request {
	struct grpc_client *client;
	char *path;
	const ProtobufCMessageDescriptor *reply;
	void *bytes;
	size_t len;
};

static struct err *prepare(struct cli *c, const char *method, const void *message, struct request *ret)
{
	const ProtobufCServiceDescriptor *service;
	const ProtobufCMethodDescriptor *m;

	TRY(find_method(method, &service, &m));
	TRY(connect_once(c, service, &ret->client));
	ret->path = arena_printf(&c->arena, "/%s/%s", service->name, method);
	ret->reply = m->output;
	return pack_message(&c->arena, message, &ret->bytes, &ret->len);
}

/* --debug: what was called and what came, without contents: requests may hold credentials. */
static void tell(struct cli *c, const struct request *r, int64_t began_ns, size_t len, const struct err *e)
{
	if (c->settings.debug)
		fprintf(stderr, "crisp: debug: %s: %zu bytes asked, %zu answered in %.1f ms%s%s\n", r->path, r->len, len,
			(double)(clock_mono_ns() - began_ns) / 1e6, e ? ": " : "", e ? err_kind_name(err_kind(e)) : "");
}

struct err *cli_call(struct cli *c, const char *method, const void *message, int64_t timeout_ns, void *ret_reply)
{
	struct request r = { 0 };
	_free_ void *body = NULL;
	size_t len = 0;
	ProtobufCMessage *reply = NULL;

	if (c->timeout_ns)
		timeout_ns = c->timeout_ns;
	int64_t began = clock_mono_ns(), deadline = timeout_ns == CLOCK_NEVER ? CLOCK_NEVER : began + timeout_ns;

	TRY(prepare(c, method, message, &r));
	struct err *e = grpc_client_call(r.client, r.path, r.bytes, r.len, deadline, &body, &len);

	tell(c, &r, began, len, e);
	if (e)
		return e;
	TRY_WRAP(pack_unpack(&c->arena, r.reply, body, len, &reply), "the runtime's answer");
	*(void **)ret_reply = reply;
	return NULL;
}

struct stream_context {
	struct cli *c;
	const ProtobufCMessageDescriptor *type;
	bool (*on_message)(struct cli *c, const ProtobufCMessage *m, void *context);
	void *context;
	struct err *error;
};

static bool on_bytes(const void *p, size_t len, void *context)
{
	struct stream_context *s = context;
	_arena_ struct arena a;
	ProtobufCMessage *m;

	arena_init(&a);
	s->error = pack_unpack(&a, s->type, p, len, &m);
	return !s->error && s->on_message(s->c, m, s->context);
}

struct err *cli_stream(struct cli *c, const char *method, const void *message,
		       bool (*on_message)(struct cli *c, const ProtobufCMessage *m, void *context), void *context)
{
	struct request r = { 0 };

	TRY(prepare(c, method, message, &r));
	struct stream_context s = { .c = c, .type = r.reply, .on_message = on_message, .context = context };
	int64_t deadline = c->timeout_ns ? clock_mono_ns() + c->timeout_ns : CLOCK_NEVER;
	struct err *e = grpc_client_stream(r.client, r.path, r.bytes, r.len, deadline, on_bytes, &s);

	if (!s.error)
		return e;
	err_free(e);
	return err_wrap(s.error, "the runtime's answer");
}

/* ---- IDs ------------------------------------------------------------------------------------- */

struct match {
	const char *prefix, *kind, *id;
	size_t n;
};

static void offer(struct match *m, const char *id)
{
	if (!str_starts(id, m->prefix))
		return;
	/* The whole ID is never ambiguous. */
	if (!strcmp(id, m->prefix))
		m->n = 0;
	else if (m->n && !strcmp(m->id, m->prefix))
		return;
	m->id = id;
	m->n++;
}

static struct err *settle(const struct match *m, const char **ret_id)
{
	if (m->n == 0)
		return err_new(ERR_NOT_FOUND, "there is no %s %s", m->kind, m->prefix);
	if (m->n > 1)
		return err_new(ERR_INVALID, "%s is ambiguous: %zu %ss begin so", m->prefix, m->n, m->kind);
	*ret_id = m->id;
	return NULL;
}

struct err *cli_find_container(struct cli *c, const char *prefix, const char **ret_id)
{
	Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
	Runtime__V1__ListContainersResponse *r;
	struct match m = { .prefix = prefix, .kind = "container" };

	if (!*prefix)
		return err_new(ERR_INVALID, "the container's ID is empty");
	TRY(cli_call(c, "ListContainers", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_containers; i++)
		offer(&m, r->containers[i]->id);
	return settle(&m, ret_id);
}

struct err *cli_find_pod(struct cli *c, const char *prefix, const char **ret_id)
{
	Runtime__V1__ListPodSandboxRequest q = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__ListPodSandboxResponse *r;
	struct match m = { .prefix = prefix, .kind = "pod" };

	if (!*prefix)
		return err_new(ERR_INVALID, "the pod's ID is empty");
	TRY(cli_call(c, "ListPodSandbox", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_items; i++)
		offer(&m, r->items[i]->id);
	return settle(&m, ret_id);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* By the name; else by the first sign, since a configuration is an object. */
static bool is_json(const char *path, const struct buf *text)
{
	if (str_ends(path, ".json"))
		return true;
	if (str_ends(path, ".yaml") || str_ends(path, ".yml"))
		return false;
	return buf_text(text)[strspn(buf_text(text), " \t\r\n")] == '{';
}

struct err *cli_read_config(struct cli *c, const char *path, const ProtobufCMessageDescriptor *d, void *ret)
{
	_buf_ struct buf text = BUF_INIT;
	_close_ int fd = -1;
	ProtobufCMessage *m;

	if (strcmp(path, "-") != 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_new(ERR_NOT_FOUND, "%s: %m", path);
	}
	TRY_WRAP(file_read_fd(fd < 0 ? 0 : fd, PBJSON_FILE_MAX, &text), "%s", path);
	if (!is_json(path, &text)) {
		_buf_ struct buf json = BUF_INIT;

		TRY_WRAP(yaml_to_json(buf_text(&text), text.len, &json), "%s", path);
		buf_clear(&text);
		buf_append(&text, json.data, json.len);
	}
	TRY_WRAP(pbjson_parse(&c->arena, d, buf_text(&text), text.len, &m), "%s", path);
	*(void **)ret = m;
	return NULL;
}
