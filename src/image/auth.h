/* auth.h: registry credentials: where they come from, what a registry asks for (WWW-Authenticate), what a
 * token server answers. Pure: the requests are registry.c's.
 *
 * Secrets are wiped when freed and never appear in errors or logs.
 */
#ifndef CRISP_IMAGE_AUTH_H
#define CRISP_IMAGE_AUTH_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/http1.h"

#define AUTH_FILE_MAX   (1u << 20)    /* bytes of JSON */
#define AUTH_TOKEN_MAX  (64u << 10)   /* bytes of a token, or of a token server's answer */

struct credential {             /* owned; NULL where absent */
	char *username, *password;
	char *identity_token;   /* OAuth2 refresh token */
	char *registry_token;   /* sent as it is */
};
void credential_done(struct credential *c);
#define _credential_ _cleanup_(credential_done)
struct credential credential_copy(const struct credential *c);
bool credential_empty(const struct credential *c);
bool credential_same(const struct credential *a, const struct credential *b);

/* From the pieces that CRI's AuthConfig and docker's config.json have; *auth* is base64 of "user:password" and gives
 * way to the two. Any may be NULL or "". */
struct err *credential_make(const char *username, const char *password, const char *auth, const char *identity_token,
			    const char *registry_token, struct credential *ret) _must_check_;

/* Looks *host* ("docker.io", "registry.test:5000") up in docker's config.json, whose keys may be hosts,
 * URLs, or hosts with the beginning of a repository's path (containers-auth.json(5)): the longest that fits wins.
 * *ret_found* false: nothing for it. */
struct err *auth_file_find(const char *json, size_t len, const char *host, const char *repository, bool *ret_found,
			   struct credential *ret) _must_check_;

enum auth_scheme { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

struct auth_challenge {         /* owned; "" where absent */
	enum auth_scheme scheme;
	char *realm, *service, *scope;
};
void auth_challenge_done(struct auth_challenge *c);
#define _challenge_ _cleanup_(auth_challenge_done)

/* The strongest challenge that we can meet in a head's WWW-Authenticate lines: Bearer before Basic;
 * scheme AUTH_NONE if there is none. */
void auth_challenge_of(const struct http1_head *h, struct auth_challenge *ret);
/* One line of it; keeps *ret* unless it has something stronger. */
void auth_challenge_parse(const char *line, struct auth_challenge *ret);

/* "Basic …": the value of an Authorization header. NULL without a user name. */
char *auth_basic(const struct credential *c);

/* A token server's JSON answer: `token` or `access_token`. */
struct err *auth_token_parse(const char *json, size_t len, char **ret_token) _must_check_;

/* Wipes and frees. */
void auth_forget(char *secret);

static inline void auth_forget_p(char **s)
{
	auth_forget(*s);
}
#define _secret_ _cleanup_(auth_forget_p)

#endif
