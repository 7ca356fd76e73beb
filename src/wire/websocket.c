#include "wire/websocket.h"

#include <string.h>

#define FIN        0x80
#define RESERVED   0x70
#define OPCODE     0x0f
#define MASKED     0x80
#define CONTROL    0x08    /* bit of the opcodes that are for control */
#define LENGTH_16  126
#define LENGTH_64  127
#define MASK_LEN   4

static unsigned int opcode(const struct websocket *w)
{
	return w->head[0] & OPCODE;
}

static size_t length_bytes(unsigned int second)
{
	unsigned int n = second & ~(unsigned int)MASKED;

	return n == LENGTH_16 ? 2 : n == LENGTH_64 ? 8 : 0;
}

/* How long the head is, as far as its bytes so far tell. */
static size_t head_wants(const struct websocket *w)
{
	return w->head_len < 2 ? 2 : 2 + length_bytes(w->head[1]) + MASK_LEN;
}

static uint64_t payload_len(const struct websocket *w)
{
	size_t n = length_bytes(w->head[1]);
	uint64_t len = 0;

	if (!n)
		return w->head[1] & ~(unsigned int)MASKED;
	for (size_t i = 0; i < n; i++)
		len = len << 8 | w->head[2 + i];
	return len;
}

/* Section 5.2: lengths in as few bytes as they need; no reserved bits or opcodes without an extension. */
static struct err *check_head(const struct websocket *w, uint64_t len)
{
	static const uint64_t least[] = { [0] = 0, [2] = LENGTH_16, [8] = 0x10000 };
	unsigned int op = opcode(w);

	if (w->head[0] & RESERVED)
		return err_new(ERR_INVALID, "websocket: a reserved bit is set");
	if (len < least[length_bytes(w->head[1])] || len > INT64_MAX)
		return err_new(ERR_INVALID, "websocket: a length that is no length");
	if (op > WEBSOCKET_OP_PONG || (op > WEBSOCKET_OP_BINARY && op < WEBSOCKET_OP_CLOSE))
		return err_new(ERR_INVALID, "websocket: unknown opcode %u", op);
	if (op & CONTROL)
		return !(w->head[0] & FIN) || len > WEBSOCKET_CONTROL_MAX
			       ? err_new(ERR_INVALID, "websocket: a control frame in pieces or of more than %d bytes",
					 WEBSOCKET_CONTROL_MAX)
			       : NULL;
	if (w->in_message != (op == WEBSOCKET_OP_CONTINUE))
		return err_new(ERR_INVALID, w->in_message ? "websocket: a message inside another"
							  : "websocket: a continuation of nothing");
	return NULL;
}

static struct err *begin_frame(struct websocket *w)
{
	uint64_t len = payload_len(w);

	TRY(check_head(w, len));
	w->left = len;
	w->mask_at = 0;
	w->in_frame = true;
	w->control_len = 0;
	if (opcode(w) & CONTROL)
		return NULL;
	w->first = !w->in_message;
	w->in_message = true;
	return NULL;
}

/* A register's width at a time once the mask is at its beginning: 1 GiB goes this way. */
static void unmask(struct websocket *w, char *p, size_t n)
{
	const unsigned char *mask = w->head + w->head_len - MASK_LEN;
	uint64_t wide, v;
	size_t i = 0;

	for (; i < n && w->mask_at % MASK_LEN; i++)
		p[i] ^= (char)mask[w->mask_at++ % MASK_LEN];
	memcpy(&wide, mask, MASK_LEN);
	memcpy((char *)&wide + MASK_LEN, mask, MASK_LEN);
	for (; i + sizeof(wide) <= n; i += sizeof(wide)) {
		memcpy(&v, p + i, sizeof(v));
		v ^= wide;
		memcpy(p + i, &v, sizeof(v));
	}
	for (; i < n; i++)
		p[i] ^= (char)mask[w->mask_at++ % MASK_LEN];
	w->mask_at %= MASK_LEN;
}

static void end_frame(struct websocket *w)
{
	w->in_frame = false;
	w->head_len = 0;
}

static bool code_ok(unsigned int code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
	       (code >= 3000 && code <= 4999);
}

static struct err *end_control(struct websocket *w, struct websocket_event *e)
{
	unsigned int op = opcode(w);

	w->control[w->control_len] = '\0';
	e->data = w->control;
	e->len = w->control_len;
	e->type = op == WEBSOCKET_OP_PING ? WEBSOCKET_PING : op == WEBSOCKET_OP_PONG ? WEBSOCKET_PONG : WEBSOCKET_CLOSE;
	end_frame(w);
	if (e->type != WEBSOCKET_CLOSE)
		return NULL;
	w->closed = true;
	e->code = WEBSOCKET_NO_STATUS;
	if (!e->len)
		return NULL;
	if (e->len >= 2) {
		e->code = (unsigned int)(unsigned char)w->control[0] << 8 | (unsigned char)w->control[1];
		e->data += 2;
		e->len -= 2;
		if (code_ok(e->code))
			return NULL;
	}
	return err_new(ERR_INVALID, "websocket: a close frame with no code that may be sent");
}

/* Payload of the frame begun: true if it makes an event. */
static struct err *take_payload(struct websocket *w, char *p, size_t n, size_t *ret_used, struct websocket_event *e,
				bool *ret_event)
{
	size_t take = (size_t)MIN((uint64_t)n, w->left);

	unmask(w, p, take);
	w->left -= take;
	*ret_used = take;
	if (opcode(w) & CONTROL) {
		memcpy(w->control + w->control_len, p, take);
		w->control_len += take;
		*ret_event = !w->left;
		return w->left ? NULL : end_control(w, e);
	}
	*e = (struct websocket_event){ .type = WEBSOCKET_DATA, .begin = w->first, .data = p, .len = take };
	e->end = !w->left && (w->head[0] & FIN);
	w->first = false;
	w->in_message = !e->end;
	if (!w->left)
		end_frame(w);
	*ret_event = true;
	return NULL;
}

struct err *websocket_read(struct websocket *w, char *p, size_t n, size_t *ret_used, struct websocket_event *ret)
{
	size_t used = 0, took;
	bool event = false;

	*ret = (struct websocket_event){ .type = WEBSOCKET_NONE };
	if (w->closed) {
		*ret_used = n;
		return NULL;
	}
	while (!w->in_frame && used < n) {
		w->head[w->head_len++] = (unsigned char)p[used++];
		if (w->head_len == 2 && !(w->head[1] & MASKED))
			return err_new(ERR_INVALID, "websocket: a client's frame that is not masked");
		if (w->head_len == head_wants(w) && w->head_len > 2)
			TRY(begin_frame(w));
	}
	if (w->in_frame && (used < n || !w->left)) {
		TRY(take_payload(w, p + used, n - used, &took, ret, &event));
		used += took;
	}
	*ret_used = event ? used : n;
	return NULL;
}

size_t websocket_head(unsigned char ret_head[WEBSOCKET_HEAD_MAX], enum websocket_opcode op, uint64_t len)
{
	size_t bytes = len < LENGTH_16 ? 0 : len < 0x10000 ? 2 : 8;

	ret_head[0] = (unsigned char)(FIN | op);
	ret_head[1] = (unsigned char)(bytes == 0 ? len : bytes == 2 ? LENGTH_16 : LENGTH_64);
	for (size_t i = 0; i < bytes; i++)
		ret_head[2 + i] = (unsigned char)(len >> 8 * (bytes - 1 - i));
	return 2 + bytes;
}
