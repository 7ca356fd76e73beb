/* verb.h: what a verb of the OCI command line is given, and the verbs. */
#ifndef CRISP_OCI_VERB_H
#define CRISP_OCI_VERB_H

#include "cli/verb.h"
#include "oci/state.h"
#include "oci/terminal.h"

#define OCI_PROCESS_WAIT_NS (10 * NS_PER_S)   /* for processes that were killed to end */
#define OCI_PRESERVE_MAX    1024              /* descriptors handed to a program */

struct oci_call {
	struct cli cli;                /* options, arguments, arena, status */
	const char *root;
	bool systemd_cgroup;
	const char *log;               /* NULL: standard error alone */
	bool log_json;
};

struct oci_verb {
	struct cli_verb verb;          /* its `run` is not used */
	struct err *(*run)(struct oci_call *c);
	bool enters;                   /* what it makes runs in a container: from a copy of the binary (CVE-2019-5736) */
};

/* Ends with a name of NULL. */
extern const struct oci_verb oci_verbs[];

#define OCI_VERB_FUNCTIONS(X) \
	X(create) X(start) X(run) X(state) X(list) X(kill) X(delete) X(exec) X(ps) X(pause) X(resume) X(update) X(features)

#define OCI_DECLARE(verb) struct err *oci_##verb(struct oci_call *c);
OCI_VERB_FUNCTIONS(OCI_DECLARE)
#undef OCI_DECLARE

/* The container that the first argument names. */
struct err *oci_open(struct oci_call *c, bool lock, struct oci_container *ret) _must_check_;

/* ---- life.c ---------------------------------------------------------------------------------- */

/* Kills what runs in it, removes its cgroup, runs the poststop hooks (whose failure is logged), removes its directory.
 * From any state; the lock is held. */
struct err *oci_destroy(struct oci_call *c, struct oci_container *k) _must_check_;
/* A line in the log and on standard error. */
void oci_warn(struct oci_call *c, const char *text);

/* ---- io.c: what create, run and exec have in common ------------------------------------------- */

/* The maker is forked and does *make*, which gets *context* and gives a process that is our child then. */
struct err *oci_fork_maker(struct err *(*make)(void *context, pid_t *ret_pid), void *context, pid_t *ret_pid) _must_check_;
/* --preserve-fds and LISTEN_FDS: all of them must be open. */
struct err *oci_preserve_fds(struct oci_call *c, unsigned *ret) _must_check_;
/* --console-socket; -1: not given. */
struct err *oci_console_socket(struct oci_call *c, int *ret_fd) _must_check_;
struct err *oci_write_pid_file(struct oci_call *c, pid_t pid) _must_check_;
/* ---- env.c ----------------------------------------------------------------------------------- */

struct yyjson_mut_doc;
struct yyjson_mut_val;
/* As runc does: of variables with one name the last, and HOME by the container's /etc/passwd below *root_fd*. */
void oci_complete_env(struct arena *a, struct yyjson_mut_doc *d, struct yyjson_mut_val *process, int root_fd);

/* What comes out of *fd* until it is closed, as an error; NULL: nothing. */
struct err *oci_read_failure(int fd) _must_check_;
/* For a process that wants a terminal: with *console* given there is nothing to do; else *t* (NULL: nobody will wait for
 * the process) takes it on the caller's own. */
struct err *oci_prepare_terminal(struct terminal *t, bool wanted, int *console) _must_check_;
/* Waits for our child, passing our signals and its terminal on; *ret_code as a shell gives it. */
struct err *oci_wait(pid_t pid, struct terminal *t, int *ret_code) _must_check_;

#endif
