/* bare.h: a mount namespace in which nothing is mounted but what init needs before it enters a container's root.
 *
 * clone3(CLONE_NEWNS) copies every mount of the namespace that its caller is in, and pivot_root's old root takes them all
 * away again: on a node with a hundred pods that is most of what a container costs. So there is one namespace that stays
 * bare; a maker that has opened all it needs of the node's goes there before it clones, and the copy is small whatever
 * the node has mounted. What is mounted in a container is cloned in the node's namespace as before: volumes that come
 * later are found, and propagation is between the mounts themselves, wherever they are.
 *
 *   /        tmpfs, read-only        BARE_ROOT   an empty directory: where a container's root is attached
 *   /proc, /sys, /dev/null           the node's: a user namespace may mount the first two only where it sees them already
 */
#ifndef CRISP_BARE_H
#define CRISP_BARE_H

#include "base/err.h"

#include <pthread.h>

#define BARE_ROOT "/root"

struct bare {
	pthread_mutex_t lock;
	int sock, pidfd;   /* of the process that makes it; -1: it is done */
	int fd;            /* the namespace, which lives as long as it is open */
};
#define BARE_INIT { PTHREAD_MUTEX_INITIALIZER, -1, -1, -1 }

/* Starts a process that makes it, and does not wait for that. For a process without threads, whose mounts are the node's. */
struct err *bare_begin(struct bare *b) _must_check_;
/* The namespace; waits for it the first time. *ret_fd is borrowed. */
struct err *bare_get(struct bare *b, int *ret_fd) _must_check_;
void bare_done(struct bare *b);

#endif
