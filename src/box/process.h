/* process.h: the maker and its init: namespaces joined, clone3, what the two say to each other.
 *
 * One of the two files that make processes (the other is sys/spawn.c).
 */
#ifndef CRISP_PROCESS_H
#define CRISP_PROCESS_H

#include "box/oci.h"

/* Maker and init speak over a pair of SOCK_SEQPACKET: one of these, then text if it is an error. */
enum process_word {
	PROCESS_MAPS = 'M',     /* maker: your user namespace has its maps */
	PROCESS_HOOKS = 'H',    /* init: run the hooks; maker: they ran */
	PROCESS_READY = 'R',    /* init: set up */
	PROCESS_ERROR = 'E',    /* kind, text */
};

struct err *process_pair(int ret_fds[2]) _must_check_;
void process_say(int fd, enum process_word word);
void process_say_error(int fd, const struct err *e);
/* Waits for *want*; the error that came instead is returned. The other side's end without a word is
 * ERR_CANCELLED. */
struct err *process_expect(int fd, enum process_word want) _must_check_;

/* The namespaces that are joined by path, opened; then joined, the user namespace first: it owns the others.
 * A PID namespace takes effect for children only. */
struct process_namespaces {
	int fds[OCI_NS_KINDS];
};
struct err *process_open_namespaces(const struct oci_spec *spec, struct process_namespaces *ret) _must_check_;
struct err *process_join_namespaces(const struct process_namespaces *n) _must_check_;

/* CLONE_NEW* of the namespaces that are to be new, but for the cgroup namespace: its root is the cgroup of who
 * asks for it, so init does that itself. */
uint64_t process_new_flags(const struct oci_spec *spec);

/* Kills and, if it is our child, reaps. */
void process_kill(int pidfd, bool child);

#endif
