/* crilog.h: the CRI log format: `2026-11-23T10:00:00.000000000Z stdout F text`, a line a line.
 *
 * The kubelet reads these files (pkg/kubelet/kuberuntime/logs): tag F is a whole line, P a piece of one whose
 * end is not in this entry. Lines are cut into pieces of CRILOG_PIECE_MAX bytes, as containerd does; what is
 * left without a newline at the end of output is a P, so that a reader gets exactly what the container wrote.
 * Output that cannot be written (a full disk) is counted and lost, and the log says so when it can: the
 * container never waits for it.
 * Nothing is allocated and nothing is synced.
 */
#ifndef CRISP_CRILOG_H
#define CRISP_CRILOG_H

#include "base/err.h"

#define CRILOG_PIECE_MAX 16384

struct crilog {
	int fd;             /* -1: output is not logged */
	bool torn;          /* the last write ended within an entry */
	int error;          /* why `lost` could not be written */
	uint64_t lost;      /* bytes since the log last said so */
	uint64_t lost_total;
};

struct crilog_stream {
	const char *name;   /* "stdout" or "stderr" */
	char *held;         /* room for CRILOG_PIECE_MAX: the line so far */
	uint32_t n_held;
};

/* *path* below *dirfd*, missing directories made; a regular file, never through a link. Appends. */
struct err *crilog_open(int dirfd, const char *path, int *ret_fd) _must_check_;

void crilog_write(struct crilog *l, struct crilog_stream *s, const char *p, size_t n);
void crilog_flush(struct crilog *l, struct crilog_stream *s);   /* what is held, as a P */
/* An entry of the monitor's own, on stderr: "crisp: TEXT". */
void crilog_note(struct crilog *l, const char *text);

#endif
