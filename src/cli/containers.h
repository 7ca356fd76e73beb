/* containers.h: what the verbs about containers share. */
#ifndef CRISP_CONTAINERS_H
#define CRISP_CONTAINERS_H

#include "cli/verb.h"

#define CONTAINERS_POD_NAME_LABEL      "io.kubernetes.pod.name"
#define CONTAINERS_POD_NAMESPACE_LABEL "io.kubernetes.pod.namespace"

/* Those that the options of ps pick, newest first; *all*: also without --all, every state. */
struct err *containers_list(struct cli *c, bool all, Runtime__V1__ListContainersResponse **ret) _must_check_;
/* "Running"; "Unknown" for what this client does not know. */
const char *containers_state(Runtime__V1__ContainerState s);
/* The status of what *prefix* names. */
struct err *containers_status(struct cli *c, const char *prefix, bool verbose,
			      Runtime__V1__ContainerStatusResponse **ret) _must_check_;
/* Pulls *image* for a container of *pod* (may be NULL), with --creds and --auth. *ret_ref: what it is now. */
struct err *images_pull(struct cli *c, const char *image, Runtime__V1__PodSandboxConfig *pod, const char **ret_ref)
	_must_check_;

#endif
