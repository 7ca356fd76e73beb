/* fetch_settings.h: serve's side: gathers what fetch has to know and may not read itself. */
#ifndef CRISP_FETCH_SETTINGS_H
#define CRISP_FETCH_SETTINGS_H

#include "image/fetch.h"
#include "image/registry_config.h"

/* certs.d, auth file, the kubelet's credentials, the system's CA certificates, proxy variables. */
struct err *fetch_settings_gather(const struct reference *r, const struct fetch_options *o,
				  struct registry_config *ret) _must_check_;

/* The same as a sealed memfd. */
struct err *fetch_settings_make(const struct reference *r, const struct fetch_options *o, int *ret_fd) _must_check_;

#endif
