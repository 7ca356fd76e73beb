/* hosts.h: where a registry's images are fetched from: certs.d/HOST/hosts.toml as containerd and k3s write it
 * (containerd docs/hosts.md), or docker's certificate files there. Read by serve, as the administrator's word.
 *
 * The result is a list of endpoints: mirrors in the file's order, then the registry itself.
 */
#ifndef CRISP_IMAGE_HOSTS_H
#define CRISP_IMAGE_HOSTS_H

#include "base/str.h"
#include "image/reference.h"
#include "wire/url.h"

#define HOSTS_FILE_MAX   (256u << 10)  /* bytes of hosts.toml */
#define HOSTS_CERT_MAX   (4u << 20)    /* bytes of one certificate or key file */
#define HOSTS_MAX        64            /* endpoints */

struct host_endpoint {
	struct url url;            /* the API's root: https://mirror:5000/v2; its target never ends in a slash */
	char *repository;          /* the reference's, rewritten perhaps */
	bool server;               /* the registry itself; else a mirror of it */
	bool mirror;               /* by registries.conf: the kubelet's credentials are not for it, ?ns= neither */
	bool pull, resolve;        /* by digest, by tag */
	char *namespace;           /* for ?ns=; NULL: leave it out */
	struct strv ca;            /* PEM texts, beside the system's */
	char *cert, *key;          /* the client's, PEM; both or neither */
	bool skip_verify;
	struct strv headers;       /* "Name: value" */
	int64_t dial_timeout_ns;   /* 0: the usual */
};

struct hosts {
	struct host_endpoint *items;
	size_t n;
};

/* What decides, the first that is there: certs.d's directory of the very host; registries.conf (registries.h); certs.d's
 * _default; else there is the registry alone. Nothing of it need exist. Blocked by registries.conf: ERR_PRECONDITION. */
struct hosts_paths {
	const char *certs_dir;     /* hosts.toml, or docker's certificate files */
	const char *registries;    /* registries.conf */
	const char *registries_certs_dir;    /* containers-certs.d(5) */
};
struct err *hosts_load(const struct hosts_paths *p, const struct reference *r, struct hosts *ret) _must_check_;
void hosts_done(struct hosts *h);
#define _hosts_ _cleanup_(hosts_done)

/* hosts_file.c: what one hosts.toml, *text*, says; *dir* is what its relative paths are relative to. The
 * last endpoint has an empty URL (host NULL) when the file names no server. */
struct err *hosts_parse(const char *dir, const char *text, size_t len, const struct reference *r,
			struct hosts *ret) _must_check_;
/* Docker's certificate files in the host's directory: NAME.crt are authorities, NAME.cert and NAME.key a client. No
 * directory: none. */
struct err *hosts_take_files(const char *certs_dir, const char *host, struct host_endpoint *e) _must_check_;
/* A new endpoint at the end. */
struct host_endpoint *hosts_add(struct hosts *h, const struct reference *r);
/* A PEM text. Bytes that are not ASCII can only be comments and become question marks. */
struct err *hosts_read_pem(const char *dir, const char *name, char **ret) _must_check_;

/* hosts_rewrite.c: *pattern* (POSIX extended; k3s' own addition) applied to *name*, "$1" in *replacement* standing for
 * the first group. NULL in *ret*: it does not match. */
struct err *hosts_rewrite(const char *pattern, const char *replacement, const char *name, char **ret) _must_check_;

#endif
