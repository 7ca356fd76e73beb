/* recover.h: what start-up finds of containers (recover_container.c), for the pods that it makes of records (recover.c).
 *
 * Each record is read once. One that cannot be read is set aside and named; a directory without one is half-made, and
 * recover.c removes it.
 */
#ifndef CRISP_RECOVER_H
#define CRISP_RECOVER_H

#include "cri/serve.h"
#include "pod/client.h"
#include "store/record.h"

#define RECOVER_WAIT_NS (10 * NS_PER_S)

/* What a pod's monitor says of its containers. */
struct found_states {
	struct pod_state *states;
	size_t n;
	bool same_boot, alive;
};

struct found_container {
	const char *id;                                 /* in the list of IDs that was read */
	struct buf record;
	Runtime__V1__CreateContainerRequest *request;   /* NULL: in the table, or of no use */
};

struct found_containers {
	struct found_container *items;
	size_t n;
};

/* The records of *ids*, which must live as long. */
void found_containers_read(struct serve *s, const struct strv *ids, struct found_containers *ret);
void found_containers_done(struct found_containers *all);
#define _found_containers_ _cleanup_(found_containers_done)

/* Those of pod *p* come into the table. */
void recover_containers(struct serve *s, struct pod *p, struct found_containers *all, const struct found_states *found);
/* What *p*'s monitor holds without a record: a CreateContainer that was cut off. */
void recover_end_unrecorded(struct serve *s, struct pod *p, const struct found_states *found);
/* Those whose pod is not in the table: what runs of them ends. Their directories are leftovers then. */
void recover_end_orphans(struct serve *s, const struct found_containers *all);

/* The record of ID below *at*. */
struct err *recover_read(int at, const char *id, struct buf *ret) _must_check_;
/* AT/NAME becomes ROOT/quarantine/KIND-ID, logged with *e*, which it frees. */
void recover_set_aside(struct serve *s, int at, const char *name, const char *kind, const char *id, struct err *e);
/* Temporary files in AT/ID, which nobody writes in any more. */
void recover_sweep(int at, const char *id);
Runtime__V1__LinuxContainerResources *recover_resources(const struct buf *b, enum record_tag tag);

#endif
