/* reference.h: image references (distribution's reference grammar), normalised as Docker does:
 * `nginx` is docker.io/library/nginx:latest. */
#ifndef CRISP_REFERENCE_H
#define CRISP_REFERENCE_H

#include "base/err.h"

#define REFERENCE_MAX 4096

struct reference {              /* owned strings; "" where absent */
	char *host;             /* docker.io, registry.test:5000, [::1]:5000 */
	char *repository;       /* library/nginx */
	char *tag;              /* "" if only a digest was given */
	char *digest;           /* "sha256:…" or "" */
};

struct err *reference_parse(const char *text, struct reference *ret) _must_check_;
/* It names no host: docker.io's by Docker's rule, unless registries.conf says otherwise. */
bool reference_is_short(const char *text);
void reference_done(struct reference *r);
#define _reference_ _cleanup_(reference_done)

char *reference_name(const struct reference *r);        /* host/repository */
char *reference_tagged(const struct reference *r);      /* host/repository:tag, "" without a tag */
char *reference_digested(const struct reference *r, const char *digest); /* host/repository@digest */
/* The wire address: docker.io is served at registry-1.docker.io. Borrowed. */
const char *reference_endpoint_host(const struct reference *r);

#endif
