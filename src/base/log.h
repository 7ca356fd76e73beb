/* log.h: one line an event, on standard error: `LEVEL TIME role: text`.
 *
 * Control characters in the text are replaced, so that nothing a peer says can forge a line.
 * A line is one write(2) of at most LOG_LINE_MAX bytes; nothing is buffered.
 */
#ifndef CRISP_LOG_H
#define CRISP_LOG_H

#include "base/base.h"

#define LOG_LINE_MAX 2048

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* *role* (static string) names the process in each line. Call once, before threads. */
void log_init(const char *role, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* "error", "warn", "info", "debug"; false for any other word. */
bool log_parse_level(const char *word, enum log_level *ret_level);

void log_line(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
