/* pivot.h: pivot_root(2). */
#ifndef CRISP_PIVOT_H
#define CRISP_PIVOT_H

#include "base/err.h"

/* Makes the mounted directory *root_fd* the root and current directory of this process's mount
 * namespace; the old tree is detached (pivot_root(2), 'pivot_root(".", ".")'). */
struct err *pivot_into(int root_fd) _must_check_;

#endif
