/* record.h: the form of the small durable files: a magic line, then sections (tag, length, bytes).
 *
 * Sections hold the kubelet's own protobuf messages as they came and small state of ours. A reader keeps what it
 * does not know out of the way, so that a rollback can read what a newer version wrote.
 */
#ifndef CRISP_RECORD_H
#define CRISP_RECORD_H

#include "base/buf.h"
#include "base/err.h"

#define RECORD_MAX (20u << 20)      /* a request of GRPC_MESSAGE_MAX and its state */

enum record_tag {
	RECORD_REQUEST = 1,     /* RunPodSandboxRequest or CreateContainerRequest, packed */
	RECORD_STATUS = 2,      /* PodSandboxStatus or ContainerStatus, packed */
	RECORD_LAYERS = 3,      /* digests, one a line: what the container's root is made of */
	RECORD_BOOT = 4,        /* boot ID: other than the running one means that all processes are gone */
	RECORD_RESOURCES = 5,   /* LinuxContainerResources after the last update, packed */
	RECORD_NAMESPACES = 6,  /* pod: monitor's namespace paths, one "kind path" a line */
	RECORD_IMAGE = 7,       /* image ID */
	RECORD_CGROUP = 8,      /* path below /sys/fs/cgroup */
	RECORD_STEPS = 9,       /* what was done, and how long it took: lines of cri/steps.h */
	RECORD_SELINUX = 16,    /* pod: its SELinux level */
	RECORD_SIZE = 17,       /* of the whole file, the first section: a record that was cut between two is not taken */
	RECORD_OVERHEAD = 20,   /* pod: LinuxContainerResources of its overhead after the last update, packed */
};

void record_begin(struct buf *b);
void record_add(struct buf *b, enum record_tag tag, const void *p, size_t n);
void record_add_str(struct buf *b, enum record_tag tag, const char *s);

/* Checks the frame; ERR_CORRUPT names what is wrong. */
struct err *record_check(const struct buf *b) _must_check_;
/* Of a checked record; NULL if absent. The bytes are followed by some byte, not by a NUL. */
const void *record_get(const struct buf *b, enum record_tag tag, size_t *ret_len);
char *record_get_str(const struct buf *b, enum record_tag tag);   /* owned, NULL if absent */

/* NAME below *dirfd*, of which a power cut leaves the old or the new content (FILE_ORDERED). */
struct err *record_write(int dirfd, const char *name, struct buf *b) _must_check_;
struct err *record_read(int dirfd, const char *name, struct buf *ret) _must_check_;
/* The directory ID below *at* with all that is in it, its file NAME first: a removal that is cut off leaves a directory
 * without a record, which start-up takes for half-made, never a record that has lost what belongs to it. */
struct err *record_remove_dir(int at, const char *id, const char *name) _must_check_;

#endif
