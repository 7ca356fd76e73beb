#include "sys/signals.h"

#include "base/test.h"

#include <signal.h>

TEST(names_of_signals)
{
	static const struct {
		const char *name;
		int number;
	} cases[] = {
		{ "TERM", SIGTERM }, { "SIGTERM", SIGTERM }, { "sigterm", SIGTERM }, { "SIGNAL_SIGQUIT", SIGQUIT }, { "15", 15 },
		{ "64", 64 }, { "RTMIN", 34 }, { "SIGRTMIN+3", 37 }, { "RTMAX-1", 63 }, { "SIGNAL_SIGRTMINPLUS15", 49 },
		{ "SIGNAL_SIGRTMAXMINUS14", 50 }, { "SIGRTMAX", 64 }, { "CLD", SIGCHLD },
		{ "", 0 }, { "SIG", 0 }, { "0", 0 }, { "65", 0 }, { "-9", 0 }, { "9 ", 0 }, { "RTMIN+31", 0 }, { "RTMIN-1", 0 },
		{ "RTMINUS5", 0 }, { "RTMAX+1", 0 }, { "RTMIN+", 0 }, { "TERMX", 0 }, { "SIGNAL_RUNTIME_DEFAULT", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (signal_number(cases[i].name) != cases[i].number)
			printf("%s\n", cases[i].name);
		CHECK_INT(signal_number(cases[i].name), cases[i].number);
	}
}

TEST_MAIN
