/* info.h: what verbose answers tell beside the status: JSON texts of their info maps, in the call's arena.
 *
 * `crisp explain`, `crisp info` and `crisp inspect` show them. Keys are only ever added:
 *   info_operations   [{"method", "subject", "podId", "pod", "namespace", "container", "stage", "age", "stageAge", "pull"}]
 *   info_failures     as failures.h says
 *   info_imports      [{"file", "state", "error", "images"}]: files of the watched directories (image/import.h)
 *   info_pod          {"pid", "monitor", "stateDir", "netns", "config", "resources", "overhead", "steps", "operations", "failures"}
 *   info_container    {"sandboxID", "pid", "lastPid", "signal", "bundle", "cgroup", "config", "runtimeSpec", "steps", …}
 * "steps" are [{"time", "seconds", "call", "what"}]; ages are seconds; configurations are as the kubelet sent them.
 */
#ifndef CRISP_INFO_H
#define CRISP_INFO_H

#include "cri/rpc.h"

#define INFO_SPEC_MAX (1u << 20)    /* a larger runtime spec is left out */

char *info_operations(struct rpc *r);   /* of all calls in flight but this one */
char *info_imports(struct rpc *r);
char *info_failures(struct rpc *r);
char *info_pod(struct rpc *r, struct pod *p);
char *info_container(struct rpc *r, struct container *c);

#endif
