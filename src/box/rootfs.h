/* rootfs.h: init's half of the container's file system: attach the root and its mounts, mask, pivot.
 *
 * Every target is resolved below the root's descriptor (rule R1) and every mount is attached to a descriptor.
 */
#ifndef CRISP_ROOTFS_H
#define CRISP_ROOTFS_H

#include "box/setup.h"

/* Makes the root's tree visible at its own path in this (new) mount namespace. */
struct err *rootfs_attach(const struct setup *s) _must_check_;
/* The spec's mounts in order, then devices. */
struct err *rootfs_mount_all(const struct setup *s) _must_check_;
/* Masked and read-only paths. */
struct err *rootfs_restrict(const struct setup *s) _must_check_;
/* pivot_root, read-only root, propagation of the root. */
struct err *rootfs_enter(const struct setup *s) _must_check_;

#endif
