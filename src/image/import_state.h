/* import_state.h: inside import: what the watching thread (import_watch.c), the working one (import_work.c) and who asks
 * (import.c) share. */
#ifndef CRISP_IMPORT_STATE_H
#define CRISP_IMPORT_STATE_H

#include "base/list.h"
#include "base/thread.h"
#include "image/import.h"
#include "image/import_record.h"

enum import_state { IMPORT_WAITING, IMPORT_WORKING, IMPORT_OK, IMPORT_FAILED };

/* A file of a watched directory. */
struct import_file {
	struct list link;
	struct import_record r;         /* r.images are pinned, also those of the content before, until the new ones are there */
	enum import_state state;
	bool seen;                      /* by the scan under way */
	bool gone;                      /* while it was worked on */
	bool complete;                  /* nobody was writing to it */
};

/* An archive that was handed over. */
struct import_job {
	struct list link;
	int fd, sock;
	char *path, *name, *pick;       /* name, pick: NULL if not given */
};

struct importer {
	struct importer_options o;
	int records, inotify, listener;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list files;              /* (lock) import_file, in the order of directories and names */
	struct list jobs;               /* (lock) */
	size_t n_files, n_jobs;         /* (lock) */
};

/* Lock held. */
struct import_file *importer_find(struct importer *im, const char *path);
struct import_file *importer_add(struct importer *im, struct import_record *r);        /* takes what *r* owns */
void importer_drop(struct importer *im, struct import_file *f);
void importer_pin(struct importer *im);        /* tells the store what is pinned now */

/* import_watch.c. One look at all directories: what is new or changed waits for work, what is gone is dropped. */
struct err *import_watch_open(struct importer *im) _must_check_;
void import_watch_scan(struct importer *im);
void *import_watch_thread(void *importer);

/* A file's or layout's descriptor and sign; *ret_fd* -1: not there, not whole yet, or nothing of ours. */
struct err *import_open_file(const char *path, int *ret_fd, struct import_sign *ret_sign) _must_check_;

/* import_work.c */
void *import_work_thread(void *importer);
void import_job_free(struct import_job *j);

#endif
