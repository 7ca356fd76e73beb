/* telemetry.h: what serve counts of itself, and tells in Prometheus' text format where `metrics_listen` says.
 *
 * Counters are atomic: calls take no lock for them. A request of a scraper is one line that matters: parsed by
 * telemetry_request(), bounded, one connection after the other, each with a deadline.
 */
#ifndef CRISP_TELEMETRY_H
#define CRISP_TELEMETRY_H

#include "base/buf.h"
#include "cri/rpc.h"

#define TELEMETRY_REQUEST_MAX KIB(8)
#define TELEMETRY_WAIT_NS     (5 * NS_PER_S)    /* for a request, and for its answer to be taken */

struct telemetry;

struct telemetry *telemetry_new(void);
void telemetry_call(struct telemetry *t, const struct rpc_row *row, enum grpc_code code, int64_t took_ns);
void telemetry_pulled(struct telemetry *t, uint64_t bytes);     /* that came over the network */

/* All of it, as text/plain; version=0.0.4. */
void telemetry_write(struct serve *s, struct buf *out);

/* Listens at *address*, unix:///PATH or a loopback ADDRESS:PORT, and answers on a thread of its own until the
 * process ends. "": does nothing. */
struct err *telemetry_start(struct serve *s, const char *address) _must_check_;

/* The HTTP status that the request deserves; 0: it is not whole yet. */
int telemetry_request(const char *p, size_t n);

#endif
