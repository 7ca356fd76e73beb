/* fetch.h: the registry client in its own process: serve's side and the role `fetch`.
 *
 * One process a pull: own uid, no capabilities, seccomp, Landlock, network only. serve tells it where
 * and with what credentials (it reads no file); it hands manifests in messages' memfds and blobs over
 * pipes. What it says is checked by serve against digests: a subverted fetch can withhold, not forge.
 */
#ifndef CRISP_FETCH_H
#define CRISP_FETCH_H

#include "image/hosts.h"
#include "base/buf.h"

struct fetch;

struct fetch_auth {             /* CRI AuthConfig, or from the static file; all may be NULL */
	const char *username, *password;
	const char *auth;       /* base64 of user:password */
	const char *identity_token, *registry_token;
};

struct fetch_options {
	struct hosts_paths hosts;   /* read by serve, bytes go over */
	const char *auth_file;      /* docker's config.json form, or NULL */
	const struct fetch_auth *auth;      /* from the kubelet; tried before the file's */
	uid_t uid;                  /* 0: stay root (tests) */
	/* proxy variables are taken from serve's own environment */
};

/* Starts the process for *r*. */
struct err *fetch_start(const struct reference *r, const struct fetch_options *o, struct fetch **ret) _must_check_;
/* The role `archive` in its place (image/archive.h): images from a file or an OCI layout's directory, *archive_fd* (borrowed). */
struct err *fetch_start_archive(int archive_fd, uid_t uid, struct fetch **ret) _must_check_;
/* What is in it, in the form of an OCI layout's index.json (image/layout.h). As long as it takes. */
struct err *fetch_contents(struct fetch *f, struct buf *ret_index) _must_check_;
void fetch_stop(struct fetch *f);      /* kills, reaps, frees; NULL is fine */

/* Kills the process; every call in flight, on whatever thread, returns ERR_CANCELLED soon. fetch_stop() is still owed. */
void fetch_cancel(struct fetch *f);

/* GET manifest by tag or digest. Bounded by MANIFEST_MAX; *ret_type owned. The digest of what came is
 * the caller's to check (and must be, when asked by digest). */
struct err *fetch_manifest(struct fetch *f, const char *tag_or_digest, int64_t deadline_ns,
			   struct buf *ret_body, char **ret_type) _must_check_;

/* GET blob into *pipe_fd* (closed by fetch when done). Up to FETCH_PARALLEL at once; others wait in the
 * process. Several threads may call this at once. Returns when the blob is complete or failed; resumes
 * by Range after a cut, retries with back-off, follows redirects. *size*: exactly so many bytes, else an error. */
#define FETCH_PARALLEL 4
struct err *fetch_blob(struct fetch *f, const char *digest, uint64_t size, int pipe_fd,
		       int64_t idle_timeout_ns) _must_check_;

int fetch_main(int argc, char **argv);

#endif
