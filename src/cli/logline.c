#include "cli/logline.h"

#include "base/clock.h"

#include <string.h>
#include <time.h>

static bool digits(const char *p, size_t n, int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*ret = *ret * 10 + (p[i] - '0');
	}
	return true;
}

/* "Z", "+02:00", "-07:30" */
static bool offset(const char *p, size_t len, int *ret_s)
{
	int hours, minutes;

	*ret_s = 0;
	if (len == 1)
		return *p == 'Z' || *p == 'z';
	if (len != 6 || (*p != '+' && *p != '-') || p[3] != ':' || !digits(p + 1, 2, &hours) ||
	    !digits(p + 4, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_s = (hours * 60 + minutes) * 60 * (*p == '-' ? -1 : 1);
	return true;
}

bool logline_time(const char *text, size_t len, int64_t *ret_ns)
{
	struct tm tm = { 0 };
	int64_t ns = 0, unit = NS_PER_S / 10;
	size_t at = 19;
	int shift;

	if (len < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
	    text[16] != ':')
		return false;
	if (!digits(text, 4, &tm.tm_year) || !digits(text + 5, 2, &tm.tm_mon) || !digits(text + 8, 2, &tm.tm_mday) ||
	    !digits(text + 11, 2, &tm.tm_hour) || !digits(text + 14, 2, &tm.tm_min) ||
	    !digits(text + 17, 2, &tm.tm_sec))
		return false;
	if (tm.tm_year < 1970 || tm.tm_year > 2261 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	if (text[at] == '.')
		for (at++; at < len && text[at] >= '0' && text[at] <= '9'; at++, unit /= 10)
			ns += (text[at] - '0') * unit;
	if (at >= len || !offset(text + at, len - at, &shift))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_ns = ((int64_t)timegm(&tm) - shift) * NS_PER_S + ns;
	return true;
}

static bool parse_head(struct logline *l)
{
	char *time = l->head, *stream = strchr(time, ' ') + 1, *tags = strchr(stream, ' ') + 1;
	size_t n_time = (size_t)(stream - time) - 1, n_stream = (size_t)(tags - stream) - 1;

	l->head[l->n_head - 1] = '\0';
	if (!logline_time(time, n_time, &l->time_ns))
		return false;
	bool out = n_stream == 6 && !memcmp(stream, "stdout", 6), err = n_stream == 6 && !memcmp(stream, "stderr", 6);

	time[n_time] = '\0';
	l->time_text = time;
	l->is_stderr = err;
	/* Tags are separated by colons; the first says whether the record is whole. */
	l->partial = tags[0] == 'P';
	return (out || err) && (tags[0] == 'P' || tags[0] == 'F') && (tags[1] == '\0' || tags[1] == ':');
}

static void next_record(struct logline *l)
{
	l->n_head = 0;
	l->spaces = 0;
	l->in_text = false;
	l->skipping = false;
}

/* One byte of the three words. */
static void take_head(struct logline *l, char c)
{
	if (c == '\n') {
		l->malformed |= l->n_head > 0;
		next_record(l);
		return;
	}
	if (l->n_head == LOGLINE_HEAD_MAX - 1 || c == '\0') {
		l->malformed = l->skipping = true;
		return;
	}
	l->head[l->n_head++] = c;
	l->spaces += c == ' ';
	if (l->spaces < 3)
		return;
	if (parse_head(l))
		l->in_text = true;
	else
		l->malformed = l->skipping = true;
}

void logline_feed(struct logline *l, const char *p, size_t n, logline_text *text, void *context)
{
	while (n > 0) {
		if (!l->in_text && !l->skipping) {
			take_head(l, *p++);
			n--;
			if (l->in_text)
				text(l, p, 0, true, false, context);
			continue;
		}
		const char *end = memchr(p, '\n', n);
		size_t len = end ? (size_t)(end - p) : n;

		if (l->in_text && (len || end))
			text(l, p, len, false, end != NULL, context);
		if (end)
			next_record(l);
		p += len + (end != NULL);
		n -= len + (end != NULL);
	}
}
