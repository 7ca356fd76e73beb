/* pbjson.h: CRI messages as JSON and YAML, and JSON as CRI messages, through protobuf-c's descriptors.
 *
 * The JSON is proto3's (protobuf.dev, "ProtoJSON format") with unset fields written out, as crictl prints it: names in
 * lowerCamelCase, 64-bit integers as strings, enums by name, maps as objects. Bytes are base64, but for
 * KeyValue.value, which is text wherever it is text. Reading also takes the names of api.proto, numbers where a
 * string stands for one, and enums by number; a name that does not exist is an error.
 * For the client: trees are yyjson's, memory is the caller's document or arena.
 */
#ifndef CRISP_PBJSON_H
#define CRISP_PBJSON_H

#include "base/buf.h"
#include "cri/pack.h"

#include <yyjson.h>

#define PBJSON_FILE_MAX (1u << 20)    /* a configuration that somebody wrote */

/* A tree in *doc*, which must outlive it; *m* may be freed. */
yyjson_mut_val *pbjson_tree(yyjson_mut_doc *doc, const ProtobufCMessage *m);

/* Indented by two spaces, with a newline at the end. */
void pbjson_write(yyjson_mut_val *tree, struct buf *ret);
void pbjson_write_yaml(yyjson_mut_val *tree, struct buf *ret);

/* A message of type *d* from JSON text, in *a*. Errors name the field. */
struct err *pbjson_parse(struct arena *a, const ProtobufCMessageDescriptor *d, const char *text, size_t len,
			 ProtobufCMessage **ret_message) _must_check_;

/* True for a repeated entry message that stands for map<string, …>. */
bool pbjson_is_map(const ProtobufCFieldDescriptor *f);
/* Bytes of one element of a repeated field. */
size_t pbjson_element_size(const ProtobufCFieldDescriptor *f);
/* "pod_sandbox_id" → "podSandboxId"; room for PBJSON_NAME_MAX. */
#define PBJSON_NAME_MAX 64
void pbjson_field_name(const ProtobufCFieldDescriptor *f, char ret_name[PBJSON_NAME_MAX]);

#endif
