/* clock.h: the two clocks, in nanoseconds. */
#ifndef CRISP_CLOCK_H
#define CRISP_CLOCK_H

#include "base/base.h"

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

int64_t clock_wall_ns(void);  /* since 1970, may jump: for what people and CRI read */
int64_t clock_mono_ns(void);  /* since boot, sleep included: for durations and deadlines */

/* Milliseconds until the monotonic *deadline_ns*, rounded up, for poll(2): 0 when past,
 * -1 for CLOCK_NEVER. */
#define CLOCK_NEVER INT64_MAX
int clock_ms_until(int64_t deadline_ns);

/* RFC 3339 with nanoseconds and Z: room for CLOCK_TEXT_MAX. */
#define CLOCK_TEXT_MAX 36
void clock_format(int64_t wall_ns, char ret_text[CLOCK_TEXT_MAX]);

#endif
