/* serve.h: what the daemon is made of: one struct, made by serve_main(), read by the handlers.
 *
 * Who owns what: `pods`, `images`, `layers`, `puller` have their own locks (and never call each other while holding
 * them); `config` changes on SIGHUP in its LIVE keys, which are read through reload.h; the rest is written before
 * the first call is taken.
 */
#ifndef CRISP_SERVE_H
#define CRISP_SERVE_H

#include "box/bare.h"
#include "cri/config.h"
#include "cri/feed.h"
#include "cri/rpc.h"
#include "image/import.h"
#include "image/pull.h"
#include "net/cni.h"
#include "spec/selinux.h"
#include "store/images.h"
#include "store/layers.h"
#include "store/pods.h"
#include "stream/link.h"

struct serve_options;

struct serve {
	struct config config;                   /* LIVE keys change at SIGHUP: reload.h */
	const struct serve_options *options;
	char *pods_dir, *containers_dir;        /* ROOT/pods, ROOT/containers: durable records, writable layers */
	char *pods_state, *containers_state;    /* STATE/pods, STATE/containers: sockets, shm, mounts */
	int pods_fd, containers_fd;             /* of the durable ones */
	struct bare bare;                       /* the mount namespace that containers' are copied from (box/bare.h) */
	char boot_id[37];
	struct pods pods;
	struct layers *layers;
	struct images *images;
	struct puller *puller;
	struct importer *importer;              /* NULL: it could not start, which the log says */
	struct stream_link *stream;
	struct cni cni;
	struct grpc_server *grpc;
	int signals;                            /* signalfd */
	int epoll;                              /* the I/O thread's: gRPC, signals, monitors' events */
	char *apparmor;                         /* RuntimeDefault's profile; NULL: AppArmor is off */
	bool selinux;
	struct selinux_policy selinux_policy;   /* where selinux */
	struct feed feed;                       /* container_events.h */
	pthread_mutex_t events_lock;            /* before the tables' */
	struct telemetry *telemetry;
	pthread_mutex_t flight_lock;
	struct list flight;                     /* struct rpc.link */
	struct failures *failures;              /* the last calls that failed (cri/failures.h) */
	struct pulls_done *pulls_done;          /* the last pulls (cri/steps.h) */
};

int serve_main(int argc, char **argv);

/* ---- the steps that handlers, recovery and undo share ---------------------------------------- */

/* A listening unix socket at unix:///PATH, mode 0600; what a serve that is gone left there is removed. */
struct err *serve_listen(const char *listen_url, int *ret_fd) _must_check_;

/* Watches the pod's monitor (pod->events) on the I/O thread. */
struct err *serve_watch_pod(struct serve *s, struct pod *p) _must_check_;

/* Undo and removal: idempotent, from any prefix of creation. The caller has the object busy. Errors
 * are what could not be undone now: the object stays and the next call goes on. */
struct err *container_destroy(struct serve *s, struct container *c) _must_check_;
struct err *pod_stop(struct serve *s, struct pod *p) _must_check_;      /* containers, network, namespaces */
struct err *pod_destroy(struct serve *s, struct pod *p) _must_check_;   /* all of it */

/* Until the container has ended or the deadline (monotonic); true if it has. */
bool container_wait_ended(struct serve *s, struct container *c, int64_t deadline_ns);
/* Ends the container's processes: the stop signal, the grace period, then cgroup.kill. */
struct err *container_stop(struct serve *s, struct container *c, int64_t grace_ns) _must_check_;

/* Exit code of a container whose end nobody saw: the node lost power, or its monitor was killed. */
#define EXIT_UNSEEN 255

/* What the monitor said about an end, into the table; wakes who waits. */
struct pod_exit;
void container_ended(struct serve *s, struct container *c, const struct pod_exit *x);

/* Digests in use by containers, pods' volumes and pulls: what a sweep must keep. */
void serve_layers_in_use(struct serve *s, struct strv *ret);
void serve_sweep_images(struct serve *s);

/* Finds pods and containers that are on disk: running ones through their monitors, ended ones by their
 * records; destroys what was half-made. One bad record is set aside and named, never fatal. */
struct err *serve_recover(struct serve *s) _must_check_;

/* Records: ordered (base/file.h), so that an exit record, which is durable, never is without them. */
struct err *pod_save(struct serve *s, struct pod *p, const void *request, size_t len) _must_check_;
struct err *container_save(struct serve *s, struct container *c, const void *request, size_t len) _must_check_;

/* Names in the state directories. Owned by the caller. */
char *pod_state_path(struct serve *s, const char *id, const char *name);
char *container_state_path(struct serve *s, const char *id, const char *name);
char *container_root_path(struct serve *s, const char *id, const char *name);

/* What follows from the request and the ID: directory, cgroup parent, network namespace's path; log path. */
void pod_derive(struct serve *s, struct pod *p);
void container_derive(struct container *c);
char *pod_netns_path(const char *id);

/* "name", "namespace", … of the pod's metadata, "" where absent. */
const Runtime__V1__PodSandboxMetadata *pod_metadata(const struct pod *p);
const Runtime__V1__ContainerMetadata *container_metadata(const struct container *c);
const Runtime__V1__NamespaceOption *pod_namespace_options(const struct pod *p);   /* never NULL */

/* The CNI request for the pod, in *a*. */
void pod_cni(struct serve *s, struct arena *a, const struct pod *p, struct cni_pod *ret);

/* The container's root: overlay of the image's layers, mounted at STATE/containers/ID/rootfs. */
struct err *rootfs_mount(struct serve *s, struct container *c, const struct image *image) _must_check_;
void rootfs_unmount(struct serve *s, struct container *c);
/* The same for a state directory that no container is known for. */
void rootfs_unmount_below(const char *container_state_dir);
/* An image volume, mounted read-only at STATE/containers/ID/volumes/N; *ret_path is the sub path in it. */
struct err *image_volume_mount(struct serve *s, struct container *c, unsigned n, const struct image *image,
			       const char *sub_path, char **ret_path) _must_check_;

/* The statuses as their calls and events tell them, in the call's arena. Lock not held. */
Runtime__V1__PodSandboxStatus *pod_status(struct rpc *r, const struct pod *p);
Runtime__V1__ContainerStatus *container_status(struct rpc *r, const struct container *c);

/* What limits are in force: of the last update, else of the creation. Lock held, also while the result is read. */
const Runtime__V1__LinuxContainerResources *container_resources(const struct container *c);

/* resources.c: a copy that protobuf-c's free_unpacked() frees. */
Runtime__V1__LinuxContainerResources *resources_copy(const Runtime__V1__LinuxContainerResources *from);

/* An image by ID, or by a reference as a person writes it (normalised). */
struct err *serve_find_image(struct serve *s, const char *name, struct image **ret) _must_check_;

/* stats.c: bytes and inodes of the writable layer, walked at most every ten seconds. */
void container_usage(struct serve *s, struct container *c, uint64_t *ret_bytes, uint64_t *ret_inodes, int64_t *ret_ns);

#endif
