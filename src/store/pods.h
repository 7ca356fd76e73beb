/* pods.h: the pods and containers: one table, one lock, and who may change what.
 *
 * `struct pods` holds every pod and its containers. Its one lock guards all fields marked (lock); the others are
 * written before an object is in the table and never again. Whoever changes an object beyond a field makes
 * it busy (pods_begin): a second operation on it waits, so a retry joins the one in flight. Waiting is on one
 * condition variable, broadcast at each change: a handful of waiters at most. Nobody holds the lock across a
 * system call that can wait.
 * Objects are counted: a found one stays valid until put back, removed from the table or not.
 */
#ifndef CRISP_PODS_H
#define CRISP_PODS_H

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "cri/api.pb-c.h"

#include <pthread.h>

#define POD_ID_LEN 64

enum pod_phase { POD_MAKING, POD_READY, POD_STOPPED };
enum container_state { CONTAINER_MAKING, CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED };

/* Processor time when it was last asked for, and the rate until then. */
struct cpu_sample {
	int64_t taken_ns;           /* wall clock, 0: never */
	uint64_t usage, rate;       /* ns; ns a second */
};

/* What pods and containers have in common. */
struct object {
	struct list link;           /* (lock) */
	char id[POD_ID_LEN + 1];
	char *key;                  /* who it is to the kubelet: a retry of its creation has the same */
	unsigned refs;              /* (lock) */
	bool busy;                  /* (lock) an operation is changing it */
	bool listed;                /* (lock) in the table */
	char *steps;                /* (lock) what was done to it and how long it took: cri/steps.h; NULL: nothing yet */
	struct cpu_sample cpu;      /* (lock) */
};

struct pod {
	struct object o;
	struct list containers;                         /* (lock) struct container.o.link */
	Runtime__V1__RunPodSandboxRequest *request;     /* as the kubelet sent it */
	char *dir;                                      /* STATE/pods/ID: socket, shm, pod files; 0700 */
	char *netns_path;                               /* NULL: the node's network */
	char *cgroup_parent;
	int64_t created_ns;
	enum pod_phase state;                           /* (lock) */
	struct strv ips;                                /* (busy) */
	char *ns_user, *ns_net, *ns_ipc, *ns_uts, *ns_pid;  /* (busy) paths to join, NULL: the node's */
	pid_t monitor;                                  /* (busy) */
	int events;                                     /* subscription to the monitor; I/O thread only */
	char *selinux_level;                            /* (lock) set once; NULL: SELinux is off */
	Runtime__V1__LinuxContainerResources *resources, *overhead; /* (lock) after UpdatePodSandboxResources */
};

struct container {
	struct object o;
	struct pod *pod;                                /* counted */
	Runtime__V1__CreateContainerRequest *request;
	char *image_id;                                 /* sha256:… */
	struct strv layers;                             /* (lock) digests it uses, one entry a use: root and image volumes */
	char *cgroup;                                   /* below /sys/fs/cgroup */
	char *log_path;                                 /* absolute, NULL: none */
	uint32_t uid, gid, *groups;                     /* what it runs as */
	size_t n_groups;
	char *selinux_process, *selinux_mount;          /* labels, while it is made; NULL: SELinux is off */
	int64_t created_ns;
	enum container_state state;                     /* (lock) */
	pid_t pid;                                      /* (lock) */
	int64_t started_ns, finished_ns;                /* (lock) */
	bool starting;                                  /* (serve's events_lock) its STARTED is still to be told */
	int exit_code;                                  /* (lock) */
	int end_signal;                                 /* (lock) 0: it exited */
	pid_t last_pid;                                 /* (lock) of its init, once it has ended: the kernel log names it */
	bool oom;                                       /* (lock) */
	char *message;                                  /* (lock) why it ended or could not start, in words */
	Runtime__V1__LinuxContainerResources *resources; /* (lock) after an update; NULL: as in the request */
	int64_t usage_ns;                               /* (lock) when usage was taken */
	uint64_t usage_bytes, usage_inodes;             /* (lock) of the writable layer */
};

struct pods {
	pthread_mutex_t lock;
	pthread_cond_t changed;     /* CLOCK_MONOTONIC */
	struct list all;            /* struct pod.o.link, oldest first */
	size_t n_pods, n_containers;
};

void pods_init(struct pods *t);

static inline void pods_lock(struct pods *t)
{
	pthread_mutex_lock(&t->lock);
}
static inline void pods_unlock(struct pods *t)
{
	pthread_mutex_unlock(&t->lock);
}
void pods_changed(struct pods *t);      /* wakes who waits; with the lock held */
/* Waits for a change until *deadline_ns* (clock_mono_ns); false at the deadline. Lock held. */
bool pods_wait(struct pods *t, int64_t deadline_ns);

/* A new pod, counted, busy, POD_MAKING, in the table; or the one with the same *key* that is there already, counted,
 * after waiting until it is not busy any more (NULL if that one's creation failed: call again).
 * *ret_new says which. ERR_TIMEOUT at the deadline names the operation that is still in flight. */
struct err *pods_add(struct pods *t, const char *key, int64_t deadline_ns, struct pod **ret, bool *ret_new) _must_check_;
struct err *pods_add_container(struct pods *t, struct pod *pod, const char *key, int64_t deadline_ns,
			       struct container **ret, bool *ret_new) _must_check_;

/* By full ID or unique prefix; counted. ERR_NOT_FOUND. Objects still being made are not found. */
struct err *pods_find(struct pods *t, const char *id, struct pod **ret) _must_check_;
struct err *pods_find_container(struct pods *t, const char *id, struct container **ret) _must_check_;

struct pod *pod_ref(struct pods *t, struct pod *p);                 /* lock NOT held */
struct container *container_ref(struct pods *t, struct container *c);
void pod_put(struct pods *t, struct pod *p);                        /* NULL is fine; lock not held */
void container_put(struct pods *t, struct container *c);

/* The right to change the object: waits while another has it. */
struct err *pods_begin(struct pods *t, struct object *o, int64_t deadline_ns) _must_check_;
void pods_end(struct pods *t, struct object *o);

/* Out of the table (its memory goes with the last reference). */
bool pods_drop(struct pods *t, struct pod *p);      /* true: it was in it until now */
bool pods_drop_container(struct pods *t, struct container *c);

#define pods_each(it, t)                                                               \
	for (struct pod *it = container_of((t)->all.next, struct pod, o.link);         \
	     &it->o.link != &(t)->all; it = container_of(it->o.link.next, struct pod, o.link))
#define pods_each_container(it, in)                                                    \
	for (struct container *it = container_of((in)->containers.next, struct container, o.link); \
	     &it->o.link != &(in)->containers;                                         \
	     it = container_of(it->o.link.next, struct container, o.link))

#endif
