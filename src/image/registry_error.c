#include "image/json.h"
#include "image/registry_http.h"

#include <string.h>
#include <time.h>

#define WORDS_MAX 400

/* distribution-spec, "Error Codes": errors[].message (and code where that is empty). */
static void add_errors(struct buf *b, yyjson_val *list)
{
	yyjson_val *v;
	size_t i, n;

	if (!yyjson_is_arr(list))
		return;
	yyjson_arr_foreach(list, i, n, v) {
		const char *message = yyjson_get_str(yyjson_obj_get(v, "message"));
		const char *code = yyjson_get_str(yyjson_obj_get(v, "code"));

		if (!message || !*message)
			message = code;
		if (message && *message)
			buf_printf(b, "%s%.200s", b->len ? "; " : "", message);
	}
}

/* Token servers have their own: {"error":…,"error_description":…}, {"details":…}, {"message":…}. */
static void add_others(struct buf *b, yyjson_val *root)
{
	static const char *const keys[] = { "error_description", "message", "details", "detail", "error" };

	for (size_t i = 0; i < ARRAY_LEN(keys) && !b->len; i++) {
		const char *s = yyjson_get_str(yyjson_obj_get(root, keys[i]));

		if (s && *s)
			buf_printf(b, "%.200s", s);
	}
}

static void make_printable(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if ((unsigned char)b->data[i] < 0x20 || b->data[i] == 0x7f)
			b->data[i] = ' ';
	while (b->len && b->data[b->len - 1] == ' ')
		b->data[--b->len] = '\0';
}

char *registry_words(const char *body, size_t len)
{
	struct buf b = { .max = WORDS_MAX };
	_json_ yyjson_doc *doc = yyjson_read(body, len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc);

	add_errors(&b, yyjson_obj_get(root, "errors"));
	if (!b.len)
		add_others(&b, root);
	/* No JSON: a proxy's or load balancer's word. Their HTML pages say nothing. */
	if (!doc && len && body[0] != '<' && !memchr(body, '\0', len))
		buf_append(&b, body, MIN(len, (size_t)200));
	make_printable(&b);
	return buf_take(&b);
}

static enum err_kind status_kind(int status)
{
	switch (status) {
	case 401:
		return ERR_AUTH;
	case 403:
		return ERR_DENIED;
	case 404:
	case 410:
		return ERR_NOT_FOUND;
	case 408:
	case 425:
	case 429:
		return ERR_UNAVAILABLE;
	default:
		return status >= 500 && status != 501 ? ERR_UNAVAILABLE : ERR_INVALID;
	}
}

struct err *registry_status_error(const char *what, const struct http1_head *h, const char *words)
{
	_buf_ struct buf reason = BUF_INIT;

	buf_printf(&reason, "%.60s", h->reason);
	make_printable(&reason);
	return err_new(status_kind(h->status), "%s: status %d%s%s%s%s", what, h->status, reason.len ? " " : "",
		       buf_text(&reason), *words ? ": " : "", words);
}

static int64_t clamp_seconds(int64_t s)
{
	return MAX(MIN(s, (int64_t)REGISTRY_RETRY_AFTER_MAX), (int64_t)0) * NS_PER_S;
}

/* RFC 9110 section 10.2.3: seconds, or a date. */
int64_t registry_retry_after(const struct http1_head *h)
{
	const char *value = http1_header(h, "Retry-After");
	struct tm tm = { 0 };
	uint64_t seconds;

	if (!value)
		return 0;
	if (str_to_u64(value, 1000000000, &seconds))
		return clamp_seconds((int64_t)seconds);
	if (!strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return 0;
	return clamp_seconds((int64_t)timegm(&tm) - clock_wall_ns() / NS_PER_S);
}
