#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *log_role = "crisp";
static atomic_int log_level = LOG_LEVEL_INFO;
static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_level = (int)level;
}

void log_set_level(enum log_level level)
{
	log_level = (int)level;
}

enum log_level log_get_level(void)
{
	return (enum log_level)log_level;
}

bool log_parse_level(const char *word, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (!strcmp(word, level_names[i])) {
			*ret_level = (enum log_level)i;
			return true;
		}
	return false;
}

static size_t clamp(int n, size_t room)
{
	if (n < 0)
		return 0;
	return MIN((size_t)n, room - 1);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	if ((int)level > log_level)
		return;
	int saved = errno;
	char line[LOG_LINE_MAX];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t len = clamp(snprintf(line, sizeof(line),
				    "%-5s %04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s: ",
				    level_names[level], tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
				    tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, log_role),
			   sizeof(line));
	va_list ap;

	va_start(ap, fmt);
	len += clamp(vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap), sizeof(line) - len - 1);
	va_end(ap);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[len++] = '\n';
	ssize_t n = write(2, line, len);

	(void)n;
	errno = saved;
}
