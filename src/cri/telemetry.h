/* telemetry.h: what serve counts of itself, and tells in Prometheus' text format where `metrics_listen` says.
 *
 * Counters are atomic: calls take no lock for them.
 */
#ifndef CRISP_TELEMETRY_H
#define CRISP_TELEMETRY_H

#include "cri/pages.h"
#include "cri/rpc.h"

struct telemetry;

struct telemetry *telemetry_new(void);
void telemetry_call(struct telemetry *t, const struct rpc_row *row, enum grpc_code code, int64_t took_ns);
void telemetry_pulled(struct telemetry *t, uint64_t bytes);     /* that came over the network */

/* GET /metrics: all of it. */
extern const struct pages telemetry_pages;

#endif
