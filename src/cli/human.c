#include "cli/human.h"

#include "base/clock.h"
#include "base/str.h"
#include "cri/pack.h"

#include <stdio.h>
#include <string.h>

void human_duration(int64_t ns, struct buf *ret)
{
	int64_t seconds = ns / NS_PER_S, minutes = seconds / 60, hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		buf_puts(ret, "Less than a second");
	else if (seconds == 1)
		buf_puts(ret, "1 second");
	else if (seconds < 60)
		buf_printf(ret, "%lld seconds", (long long)seconds);
	else if (minutes == 1)
		buf_puts(ret, "About a minute");
	else if (minutes < 60)
		buf_printf(ret, "%lld minutes", (long long)minutes);
	else if (hours == 1)
		buf_puts(ret, "About an hour");
	else if (hours < 48)
		buf_printf(ret, "%lld hours", (long long)hours);
	else if (hours < 24 * 7 * 2)
		buf_printf(ret, "%lld days", (long long)hours / 24);
	else if (hours < 24 * 30 * 2)
		buf_printf(ret, "%lld weeks", (long long)hours / 24 / 7);
	else if (hours < 24 * 365 * 2)
		buf_printf(ret, "%lld months", (long long)hours / 24 / 30);
	else
		buf_printf(ret, "%lld years", (long long)(seconds / 3600 / 24 / 365));
}

void human_size(uint64_t bytes, int digits, struct buf *ret)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes, step = 1000;
	size_t i = 0;
	char text[32];

	for (;;) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		/* "1e+03kB" is 1MB. */
		if ((v < step && !strchr(text, 'e')) || i + 1 == ARRAY_LEN(units))
			break;
		v /= step;
		i++;
	}
	buf_printf(ret, "%s%s", text, units[i]);
}

/* Characters that a terminal acts on rather than shows: C0, DEL, C1, and those that turn the direction. */
static bool acts(const unsigned char *p, size_t len)
{
	if (len == 1)
		return *p < 0x20 || *p == 0x7f;
	if (len == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (len == 3 && p[0] == 0xe2 && p[1] == 0x80)
		return p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae);
	return len == 3 && p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9;
}

static size_t character(const unsigned char *p, size_t n)
{
	size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

	return len <= n && pack_text_len(p, len) == len ? len : 0;
}

void human_escape(const char *text, size_t n, struct buf *ret)
{
	const unsigned char *p = (const unsigned char *)text;

	while (n > 0) {
		size_t len = character(p, n), bad = len ? len : 1;

		if (len && !acts(p, len))
			buf_append(ret, p, len);
		else
			for (size_t i = 0; i < bad; i++)
				buf_printf(ret, "\\x%02x", p[i]);
		p += bad;
		n -= bad;
	}
}

size_t human_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

const char *human_id(const char *id, char ret_short[HUMAN_ID_LEN + 1])
{
	if (str_starts(id, "sha256:"))
		id += 7;
	snprintf(ret_short, HUMAN_ID_LEN + 1, "%s", id);
	return ret_short;
}
