#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int clock_ms_until(int64_t deadline_ns)
{
	if (deadline_ns == CLOCK_NEVER)
		return -1;
	int64_t left = deadline_ns - clock_mono_ns();

	if (left <= 0)
		return 0;
	int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;

	return ms > INT_MAX ? INT_MAX : (int)ms;
}

void clock_format(int64_t wall_ns, char ret_text[CLOCK_TEXT_MAX])
{
	int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	time_t t = (time_t)s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || tm.tm_year > 8099 || tm.tm_year < -1900) {
		snprintf(ret_text, CLOCK_TEXT_MAX, "0001-01-01T00:00:00Z");
		return;
	}
	char date[24];

	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret_text, CLOCK_TEXT_MAX, "%s.%09dZ", date, (int)ns);
}
