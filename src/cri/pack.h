/* pack.h: CRI messages to bytes and back, in an arena, bounded.
 *
 * protobuf-c trusts its input more than proto3 allows: text is checked here first (UTF-8, and no NUL, which a
 * char * could not hold), and what a message may grow to in memory is limited, since two bytes on the wire can become
 * two hundred. Unknown fields are kept: records survive a rollback.
 */
#ifndef CRISP_PACK_H
#define CRISP_PACK_H

#include "base/arena.h"
#include "base/err.h"
#include "cri/api.pb-c.h"

#include <stdio.h>
/* CRI has fields of these names, which musl's <stdio.h> defines as macros. */
#undef stdin
#undef stdout
#undef stderr

#define PACK_WIRE_MAX   (16u << 20)   /* bytes of a message; gRPC's limit too */
#define PACK_MEMORY_MAX (64u << 20)   /* what it may become */
#define PACK_DEPTH_MAX  16            /* CRI nests six deep */

/* *ret_message lives in *a*. ERR_INVALID says which field is wrong; ERR_EXHAUSTED: too large. */
struct err *pack_unpack(struct arena *a, const ProtobufCMessageDescriptor *d, const void *p, size_t n,
			ProtobufCMessage **ret_message) _must_check_;

/* The bytes of *m*, in *a*. */
struct err *pack_message(struct arena *a, const ProtobufCMessage *m, void **ret, size_t *ret_len) _must_check_;

/* How many of *n* bytes are UTF-8 without NUL: what a string field may hold, and callers refuse if it does not
 * (Go's protobuf does). For what comes from a container or a registry before it goes into a message. */
size_t pack_text_len(const void *p, size_t n);

/* Pointers to the message type that *message* has: PACK_AS(Version, m) is a Runtime__V1__Version *. */
#define PACK_AS(type, message) ((Runtime__V1__##type *)(message))

#endif
