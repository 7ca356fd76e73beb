/* landlock.h: landlock(7): a process gives up the file system, but for a few files to read, and more. For good. */
#ifndef CRISP_LANDLOCK_H
#define CRISP_LANDLOCK_H

#include "base/err.h"

/* From now on this thread and those it makes open, make, change or run no file, except that *readable*
 * (absolute paths, NULL-terminated; a missing one is passed over) can be read; they listen on no TCP port
 * and reach no abstract socket and signal no process outside. Descriptors that are open stay usable.
 * Needs no_new_privs. A kernel without Landlock (or before 6.12) is ERR_UNIMPLEMENTED. */
struct err *landlock_confine(const char *const *readable) _must_check_;
/* The same; readable is what lies below the directory *dirfd*; -1: nothing. */
struct err *landlock_confine_below(int dirfd) _must_check_;

#endif
