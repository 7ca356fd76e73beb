/* archive_confine.h: takes from the role `archive` all that it does not need: it reads one archive, and writes to
 * pipes and a socket that it is given. */
#ifndef CRISP_ARCHIVE_CONFINE_H
#define CRISP_ARCHIVE_CONFINE_H

#include "base/err.h"

/* Own user (if root; 0: stay), no network, no new privileges, limits, Landlock, and a list of system calls of which any other
 * ends the process. Of a directory the files stay readable whoever owns them, if Landlock lets nothing else be read. */
struct err *archive_confine(uid_t uid) _must_check_;

#endif
