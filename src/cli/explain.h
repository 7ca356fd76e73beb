/* explain.h: what `crisp explain` knows of a pod and its containers, and where it knows it from.
 *
 * serve's verbose answers (cri/info.h), any runtime's plain ones, or, when nobody answers, the records on disk (read
 * only). All memory is the run's arena; what a source does not know is NULL, empty or 0.
 */
#ifndef CRISP_EXPLAIN_H
#define CRISP_EXPLAIN_H

#include "base/buf.h"
#include "base/str.h"
#include "cli/verb.h"

#include <yyjson.h>

struct explain_step {
	int64_t began_ns, took_ns;      /* wall clock */
	const char *call, *what;
};

struct explain_steps {
	struct explain_step *list;
	size_t n;
};

struct explain_container {
	const char *id;
	Runtime__V1__ContainerConfig *config;   /* never NULL; at least metadata */
	Runtime__V1__ContainerState state;
	const char *image, *image_id, *log_path, *message, *reason, *cgroup;
	Runtime__V1__LinuxContainerUser *user;
	int64_t created_ns, started_ns, finished_ns;
	int exit_code, end_signal;              /* signal -1: not said */
	bool oom;
	int pid;                                /* of its first process, running or not */
	struct explain_steps steps;
};

struct explain_pod {
	const char *id;
	Runtime__V1__PodSandboxConfig *config;  /* never NULL */
	const char *handler, *state;
	int64_t created_ns;
	struct strv ips;                        /* items in the arena */
	struct explain_steps steps;
	struct explain_container **containers;  /* newest first */
	size_t n_containers;
	yyjson_val *operations, *failures;      /* arrays of cri/info.h, or NULL */
};

/* By ID or its beginning, by name, by NAMESPACE/NAME, or by a container's. *ret_container: the one that was named, NULL
 * where it was the pod. ERR_NOT_FOUND: neither; *ret_pod then holds what is in flight or failed for a pod of that name
 * (id NULL), or is NULL. */
struct err *explain_ask(struct cli *c, const char *name, struct explain_pod **ret_pod,
			struct explain_container **ret_container) _must_check_;

/* The same from the records below the configured root. */
struct err *explain_read(struct cli *c, const char *name, struct explain_pod **ret_pod,
			 struct explain_container **ret_container) _must_check_;

/* Which of *pods* the name means; of several the newest. Shared by both. */
struct err *explain_pick(struct explain_pod *const *pods, size_t n, const char *name, struct explain_pod **ret_pod,
			 struct explain_container **ret_container) _must_check_;

/* The page. *only* NULL: all containers. *tail*: lines of each log. */
struct err *explain_print(struct cli *c, const struct explain_pod *p, const struct explain_container *only, int64_t tail,
			  struct buf *ret) _must_check_;

/* explain_config.c: what was asked, one line a subject. */
void explain_pod_config(const struct explain_pod *p, struct buf *ret);
void explain_container_config(const struct explain_container *x, struct buf *ret);

#endif
