/* import.h: images from files, without a registry: directories that are watched, and archives that `crisp import` hands
 * over. Runs in serve, on two threads of its own; no call of CRI waits for it.
 *
 * A file in one of the directories (.tar, .tar.gz, .tgz, .tar.zst, .tzst: an OCI layout or `docker save`; .txt: names of images
 * to pull, one a line) or a directory with an index.json (an OCI layout) is imported when it is whole: nobody has it open for
 * writing. Its images are pinned while it is there; when it goes they are as if pulled: the kubelet's to collect. What one file
 * gave is recorded in ROOT/imports (import_record.h), so that a file that has not changed costs one stat(2) at the next start. A bad
 * archive is named in the log and in `crisp info`, and left alone until it changes.
 *
 * What goes wrong with the node rather than with the file (no room, no network) is tried again at the next start.
 */
#ifndef CRISP_IMPORT_H
#define CRISP_IMPORT_H

#include "base/str.h"
#include "image/pull.h"

#define IMPORT_FILES_MAX 4096           /* in all directories */
#define IMPORT_LIST_MAX  MIB(1)         /* bytes of a .txt file */
#define IMPORT_NAMES_MAX 1024           /* images that it names */
#define IMPORT_JOBS_MAX  64             /* archives handed over that wait */

struct importer;

struct importer_options {
	struct images *images;
	struct puller *puller;
	const char *root;                       /* of the store: records below it */
	const char *socket;                     /* where `crisp import` asks (import_protocol.h) */
	const char *const *dirs;                /* NULL-terminated; made if missing */
	uid_t uid;                              /* of the role `archive` */
};

/* Reads the records, pins what they say, starts the threads. A directory that cannot be watched is named in the log. */
struct err *importer_start(const struct importer_options *o, struct importer **ret) _must_check_;

/* For `crisp info`. */
struct import_status {
	char *path;
	const char *state;                      /* static: "waiting", "being written", "importing", "imported", "failed" */
	char *error;                            /* NULL if none */
	struct strv images;                     /* IDs */
};
size_t importer_list(struct importer *im, struct import_status **ret);
void import_status_done(struct import_status *list, size_t n);

#endif
