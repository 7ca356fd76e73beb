/* handlers.h: RuntimeClass: which runtime runs a pod's containers.
 *
 * "" and "crisp" are the built-in executor; the others are the configuration's ([runtime.NAME]): OCI runtimes with
 * runc's command line, which the pod's monitor runs (pod/external.h). The node's configuration names them, nobody else:
 * the kubelet picks one by its name, an image or an annotation cannot.
 */
#ifndef CRISP_HANDLERS_H
#define CRISP_HANDLERS_H

#include "cri/serve.h"

#define HANDLERS_BUILT_IN "crisp"

/* *ret* is NULL for the built-in executor. ERR_NOT_FOUND names those there are. */
struct err *handlers_find(const struct serve *s, const char *name, const struct config_runtime **ret) _must_check_;

/* ERR_UNIMPLEMENTED: what a pod of that runtime cannot have. */
struct err *handlers_check(const struct config_runtime *rt, const Runtime__V1__PodSandboxConfig *config) _must_check_;

/* Of a pod that was made with a handler that is gone: an error. */
struct err *handlers_of_pod(const struct serve *s, const struct pod *p, const struct config_runtime **ret) _must_check_;

/* Its --root: what it keeps of its containers until the next boot. */
char *handlers_root(struct arena *a, const struct serve *s, const struct config_runtime *rt);

/* Asks each runtime once, by its `features`, in the background. *c* must stay where it is until the process ends. */
struct err *handlers_learn(struct config *c) _must_check_;

/* For Status: every handler with what it can do. What a runtime has not said by then counts as what it cannot. */
void handlers_describe(struct rpc *r, int64_t deadline_ns, Runtime__V1__StatusResponse *out);

/* What the runtime still keeps of a container whose monitor could not see to it. */
void handlers_forget(const struct serve *s, const struct container *c);

#endif
