/* implied.h: directories that a layer has files in without listing them.
 *
 * Such a layer means the directory as it is below: /tmp/x in a layer without /tmp leaves /tmp as wide open as the base image
 * has it. overlayfs takes owner and mode from the uppermost layer that has the directory at all, which is this one; the
 * layer's image lists them (store/erofs.h, EROFS_IMPLIED_NAME).
 */
#ifndef CRISP_IMPLIED_H
#define CRISP_IMPLIED_H

#include "base/err.h"
#include "base/str.h"

/* Gives them, in the mounted overlay *root*, what the next *layers* below say; these are paths, uppermost first. */
struct err *implied_repair(const char *root, const struct strv *layers) _must_check_;

#endif
