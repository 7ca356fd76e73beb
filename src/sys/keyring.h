/* keyring.h: kernel keyrings(7). */
#ifndef CRISP_KEYRING_H
#define CRISP_KEYRING_H

#include "base/err.h"

/* A session keyring of our own, in the place of the one inherited: keyctl(2) KEYCTL_JOIN_SESSION_KEYRING. A kernel
 * without keyrings is fine. */
struct err *keyring_new_session(void) _must_check_;

#endif
