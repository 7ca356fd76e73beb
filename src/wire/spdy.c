#include "wire/spdy.h"

#include "wire/spdy_block.h"

#include <string.h>

#define CONTROL_BIT 0x80000000u
#define VERSION     3
#define FLAG_FIN    0x01

/* Types as on the wire (section 2.6); 5 was NOOP, 10 is CREDENTIAL: both skipped as unknown. */
enum { WIRE_SYN_STREAM = 1, WIRE_SYN_REPLY, WIRE_RST_STREAM, WIRE_SETTINGS, WIRE_PING = 6, WIRE_GOAWAY,
       WIRE_HEADERS, WIRE_WINDOW_UPDATE };

void spdy_init(struct spdy *s, bool server, struct spdy_inflater *z)
{
	*s = (struct spdy){ .server = server, .inflater = z, .own_id = server ? 2 : 1 };
}

void spdy_done(struct spdy *s)
{
	buf_done(&s->history);
	buf_done(&s->payload);
}

const char *spdy_header(const struct spdy_event *e, const char *name)
{
	for (size_t i = 0; i < e->n_headers; i++)
		if (!strcmp(e->headers[i].name, name))
			return e->headers[i].value;
	return NULL;
}

static uint32_t stream_of(const void *p)
{
	return spdy_get32(p) & ~CONTROL_BIT;
}

/* Header blocks must be inflated even when nobody wants them: the history is the connection's. */
static struct err *read_block(struct spdy *s, size_t from, struct spdy_event *e)
{
	e->headers = s->headers;
	return spdy_block_read(s, s->payload.data + from, s->payload.len - from, &e->n_headers);
}

/* Numbers are the opener's parity and only grow (section 2.3.2). */
static struct err *read_syn_stream(struct spdy *s, struct spdy_event *e)
{
	TRY(read_block(s, 10, e));
	if ((e->id % 2 == 1) != s->server || e->id <= s->peer_id)
		return err_new(ERR_INVALID, "SPDY: stream %u can't be opened now", e->id);
	s->peer_id = e->id;
	return NULL;
}

/* Payload lengths: shortest, and whether it begins with a stream's number. */
static const struct control_kind {
	enum spdy_type type;
	size_t min;
	bool stream, number;
} kinds[] = {
	[WIRE_SYN_STREAM] = { SPDY_SYN_STREAM, 10, true, false },
	[WIRE_SYN_REPLY] = { SPDY_SYN_REPLY, 4, true, false },
	[WIRE_RST_STREAM] = { SPDY_RST_STREAM, 8, true, true },
	[WIRE_SETTINGS] = { SPDY_SETTINGS, 4, false, false },
	[WIRE_PING] = { SPDY_PING, 4, false, false },
	[WIRE_GOAWAY] = { SPDY_GOAWAY, 8, false, true },
	[WIRE_HEADERS] = { SPDY_HEADERS, 4, true, false },
	[WIRE_WINDOW_UPDATE] = { SPDY_WINDOW_UPDATE, 8, false, false },
};

static struct err *read_control(struct spdy *s, struct spdy_event *e)
{
	unsigned int wire = (unsigned int)s->head[2] << 8 | s->head[3];
	const struct control_kind *k = wire < ARRAY_LEN(kinds) ? &kinds[wire] : &kinds[0];
	const char *p = s->payload.data;

	if (k->type == SPDY_NONE)
		return NULL;
	if ((spdy_get32(s->head) >> 16 & 0x7fff) != VERSION)
		return err_new(ERR_INVALID, "SPDY: frame of version %u", spdy_get32(s->head) >> 16 & 0x7fff);
	if (s->payload.len < k->min)
		return err_new(ERR_INVALID, "SPDY: control frame of type %u is too short", wire);
	e->fin = k->stream && (s->head[4] & FLAG_FIN);
	e->id = k->stream ? stream_of(p) : k->type == SPDY_PING ? spdy_get32(p) : 0;
	e->status = k->number ? spdy_get32(p + 4) : 0;
	if (k->stream && e->id == 0)
		return err_new(ERR_INVALID, "SPDY: control frame of type %u for stream 0", wire);
	if (k->type == SPDY_SYN_STREAM)
		TRY(read_syn_stream(s, e));
	if (k->type == SPDY_SYN_REPLY || k->type == SPDY_HEADERS)
		TRY(read_block(s, 4, e));
	e->type = k->type;
	return NULL;
}

static void end_frame(struct spdy *s)
{
	s->head_len = 0;
	buf_clear(&s->payload);
	if (s->payload.cap > 4096) /* a rare large one must not stay for the connection's life */
		buf_done(&s->payload);
}

static struct err *take_head(struct spdy *s, const char *p, size_t n, size_t *ret_used)
{
	size_t take = MIN(n, sizeof(s->head) - s->head_len);

	memcpy(s->head + s->head_len, p, take);
	s->head_len += take;
	*ret_used = take;
	if (s->head_len < sizeof(s->head))
		return NULL;
	s->left = spdy_get32(s->head + 4) & SPDY_DATA_MAX;
	if (!(s->head[0] & 0x80)) {
		if (stream_of(s->head) == 0)
			return err_new(ERR_INVALID, "SPDY: data for stream 0");
	} else if (s->left > SPDY_CONTROL_MAX) {
		return err_new(ERR_EXHAUSTED, "SPDY: control frame of %u bytes", s->left);
	}
	return NULL;
}

static void take_data(struct spdy *s, const char *p, size_t n, size_t *ret_used, struct spdy_event *e)
{
	*ret_used = MIN(n, (size_t)s->left);
	s->left -= (uint32_t)*ret_used;
	e->type = SPDY_DATA;
	e->id = stream_of(s->head);
	e->data = p;
	e->len = *ret_used;
	e->fin = s->left == 0 && (s->head[4] & FLAG_FIN);
	if (s->left == 0)
		end_frame(s);
}

static struct err *take_control(struct spdy *s, const char *p, size_t n, size_t *ret_used, struct spdy_event *e)
{
	*ret_used = MIN(n, (size_t)s->left);
	buf_append(&s->payload, p, *ret_used);
	s->left -= (uint32_t)*ret_used;
	if (s->left)
		return NULL;
	struct err *err = read_control(s, e);

	end_frame(s);
	return err;
}

struct err *spdy_read(struct spdy *s, const char *p, size_t n, size_t *ret_used, struct spdy_event *ret)
{
	*ret = (struct spdy_event){ .type = SPDY_NONE };
	*ret_used = 0;
	while (ret->type == SPDY_NONE) {
		bool in_head = s->head_len < sizeof(s->head);
		const char *at = p + *ret_used;
		size_t have = n - *ret_used, used = 0;

		if (have == 0 && (in_head || s->left)) /* frames without payload are whole after their head */
			break;
		if (in_head)
			TRY(take_head(s, at, have, &used));
		else if (s->head[0] & 0x80)
			TRY(take_control(s, at, have, &used, ret));
		else
			take_data(s, at, have, &used, ret);
		*ret_used += used;
	}
	return NULL;
}

static void control_head(struct buf *out, unsigned int wire, unsigned int flags, size_t len)
{
	spdy_put32(out, CONTROL_BIT | VERSION << 16 | wire);
	spdy_put32(out, flags << 24 | (uint32_t)len);
}

void spdy_open(struct spdy *s, struct buf *out, const struct spdy_header *headers, size_t n, uint32_t *ret_id)
{
	_buf_ struct buf block = BUF_INIT;

	*ret_id = 0;
	if (s->own_id & CONTROL_BIT)
		return;
	*ret_id = s->own_id;
	s->own_id += 2;
	spdy_block_write(s, &block, headers, n);
	control_head(out, WIRE_SYN_STREAM, 0, 10 + block.len);
	spdy_put32(out, *ret_id);
	spdy_put32(out, 0);
	buf_append(out, "\0\0", 2); /* priority, slot */
	buf_append(out, block.data, block.len);
}

void spdy_reply(struct spdy *s, struct buf *out, uint32_t id)
{
	_buf_ struct buf block = BUF_INIT;

	spdy_block_write(s, &block, NULL, 0);
	control_head(out, WIRE_SYN_REPLY, 0, 4 + block.len);
	spdy_put32(out, id);
	buf_append(out, block.data, block.len);
}

void spdy_data_head(unsigned char ret_head[SPDY_DATA_HEAD_LEN], uint32_t id, size_t len, bool fin)
{
	uint32_t second = (uint32_t)(fin ? FLAG_FIN : 0) << 24 | ((uint32_t)len & SPDY_DATA_MAX);

	for (int i = 0; i < 4; i++) {
		ret_head[i] = (unsigned char)(id >> (24 - 8 * i));
		ret_head[4 + i] = (unsigned char)(second >> (24 - 8 * i));
	}
}

void spdy_data(struct buf *out, uint32_t id, const void *p, size_t len, bool fin)
{
	unsigned char head[SPDY_DATA_HEAD_LEN];

	spdy_data_head(head, id, len, fin);
	buf_append(out, head, sizeof(head));
	buf_append(out, p, len);
}

void spdy_reset(struct buf *out, uint32_t id, enum spdy_status status)
{
	control_head(out, WIRE_RST_STREAM, 0, 8);
	spdy_put32(out, id);
	spdy_put32(out, status);
}

void spdy_ping(struct buf *out, uint32_t number)
{
	control_head(out, WIRE_PING, 0, 4);
	spdy_put32(out, number);
}

void spdy_go_away(struct spdy *s, struct buf *out, bool protocol_error)
{
	control_head(out, WIRE_GOAWAY, 0, 8);
	spdy_put32(out, s->peer_id);
	spdy_put32(out, protocol_error);
}
