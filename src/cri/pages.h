/* pages.h: what serve tells over HTTP/1.1 where the configuration asks for it: its metrics, what cAdvisor wants to know.
 *
 * GET only, of a unix socket or a loopback port. A request is one line that matters: parsed by pages_request(),
 * bounded; one connection after the other, each with a deadline and closed after its answer.
 */
#ifndef CRISP_PAGES_H
#define CRISP_PAGES_H

#include "base/buf.h"
#include "base/err.h"

#define PAGES_REQUEST_MAX KIB(8)
#define PAGES_PATH_MAX    256
#define PAGES_WAIT_NS     (5 * NS_PER_S)    /* for a request, and for its answer to be taken */

struct serve;

/* One address and what is there. */
struct pages {
	const char *key;        /* of the configuration: it names the address in errors */
	const char *what;       /* in the log: "serve's own metrics are at …" */
	const char *type;       /* of every answer's content */
	/* The status of *path* (without its query); the body where that is 200. */
	int (*answer)(struct serve *s, const char *path, struct buf *ret_body);
};

/* Listens at *address*, unix:///PATH or a loopback ADDRESS:PORT, and answers on a thread of its own until the
 * process ends. "": does nothing. *p* stays. */
struct err *pages_start(struct serve *s, const struct pages *p, const char *address) _must_check_;

/* The HTTP status that the request deserves as it is; 0: it is not whole yet; 200: it is well-formed, and *ret_path has
 * its path. */
int pages_request(const char *p, size_t n, char ret_path[PAGES_PATH_MAX]);

#endif
