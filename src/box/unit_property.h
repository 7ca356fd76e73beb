/* unit_property.h: one (sv) of an array of properties; for unit*.c. */
#ifndef CRISP_UNIT_PROPERTY_H
#define CRISP_UNIT_PROPERTY_H

#include "wire/dbus.h"

static inline void property_begin(struct buf *b, const char *name, const char *signature)
{
	dbus_struct_begin(b);
	dbus_put_string(b, name);
	dbus_put_signature(b, signature);
}

static inline void property_u64(struct buf *b, const char *name, uint64_t v)
{
	property_begin(b, name, "t");
	dbus_put_u64(b, v);
}

static inline void property_bool(struct buf *b, const char *name, bool v)
{
	property_begin(b, name, "b");
	dbus_put_u32(b, v);
}

static inline void property_string(struct buf *b, const char *name, const char *v)
{
	property_begin(b, name, "s");
	dbus_put_string(b, v);
}

static inline void property_bytes(struct buf *b, const char *name, const void *p, size_t n)
{
	property_begin(b, name, "ay");
	dbus_put_bytes(b, p, n);
}

#endif
