/* registry_config.h: what serve tells the role `fetch` about one image's registry, as JSON in a memfd: where, trusting
 * whom, with what credentials, through which proxy. The role reads no file and no variable for any of it.
 */
#ifndef CRISP_REGISTRY_CONFIG_H
#define CRISP_REGISTRY_CONFIG_H

#include "image/auth.h"
#include "image/hosts.h"

#define REGISTRY_CONFIG_MAX (32u << 20)   /* bytes of JSON: certificates make it long */

struct registry_endpoint {
	struct host_endpoint at;
	struct credential *credentials;   /* for this endpoint's host alone, the first to be tried first */
	size_t n_credentials;
};

struct registry_config {
	char *host;                       /* as the reference has it, for errors */
	char *system_ca;                  /* PEM, or NULL */
	char *http_proxy, *https_proxy, *no_proxy;
	struct registry_endpoint *endpoints;
	size_t n_endpoints;
};

void registry_config_done(struct registry_config *c);
#define _registry_config_ _cleanup_(registry_config_done)

void registry_endpoint_add_credential(struct registry_endpoint *e, const struct credential *c);

/* *ret*: owned, with secrets: auth_forget(). */
struct err *registry_config_encode(const struct registry_config *c, char **ret) _must_check_;
struct err *registry_config_decode(const char *json, size_t len, struct registry_config *ret) _must_check_;

#endif
