/* cdi.h: the node's CDI specs: files of the directories that the configuration names (cdi_dirs), read anew for each
 * container that asks for a device.
 */
#ifndef CRISP_CRI_CDI_H
#define CRISP_CRI_CDI_H

#include "cri/serve.h"

#define CDI_FILES_MAX 1024   /* of one directory */

/* Makes in *spec* the edits of the devices that CRI's cdi_devices name. A device that no file has, that two files of one
 * directory have, or whose file is malformed, is an error: nothing is guessed. */
struct err *cdi_edit_spec(struct rpc *r, const Runtime__V1__ContainerConfig *config, struct buf *spec) _must_check_;

#endif
