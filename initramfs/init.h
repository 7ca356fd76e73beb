/*
 * The appliance's init: one static program, twice in the machine.
 *
 * As /init of the initramfs (early.c) it loads the modules that the root file system needs, builds
 * the dm-verity device over the read-only root, mounts it and hands over to /sbin/init in it.
 * As /sbin/init (late.c) it mounts what a Linux node needs, finds or makes the state partition, and then
 * supervises the services that /etc/crisp-init.conf names (service.c) until told to stop.
 *
 * Early failures are fatal: the machine says why and stops, it never comes up half-made. From the
 * moment that services run, nothing is: PID 1 must stay.
 */
#ifndef CRISP_INIT_H
#define CRISP_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* util.c */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
int64_t now_ms(void);
/* Whether the kernel's command line has KEY=VALUE; the value is valid until exit. */
bool cmdline_get(const char *key, const char **ret_value);
bool write_file(const char *path, const char *text);
/* At most size - 1 bytes; what is longer is a failure, not cut. */
bool read_file(const char *path, char *buf, size_t size);
bool make_dir(const char *path, mode_t mode);

/* modules.c: load each module that the list in DIR names, in its order. */
void modules_load(const char *dir);

/* disk.c: the device node of the block device with this virtio serial number, partition name or path. */
bool disk_find(const char *name, int wait_ms, char *path, size_t size);

/*
 * verity.c: a device over the disk that is found as NAME: data, then a superblock and a hash tree. The command line vouches for
 * it: KEY.roothash=, and KEY.hashoffset= for where the data end. Without these words nothing is opened.
 */
void verity_open(const char *name, const char *key, char *path, size_t size);

/* early.c, late.c */
void early_main(void) __attribute__((noreturn));
void late_main(void) __attribute__((noreturn));

/* config.c */
#define SERVICES_MAX 32
#define ARGS_MAX 48
#define BOOT_MAX 8
#define DIRS_MAX 48
#define SYSCTLS_MAX 48
#define DEFAULTS_MAX 16
#define VERIFIED_MAX 4

struct command {
	char *argv[ARGS_MAX + 1];
	int count;
};

struct service {
	const char *name;
	struct command run;
	char *env[ARGS_MAX + 1];
	int env_count;
	const char *when;	/* KEY=VALUE of the kernel's command line, or NULL */
	const char *needs;	/* a path that must be there first */
	const char *port;	/* stdio is this virtio-serial port */
	const char *tty;	/* stdio is this terminal */
	bool manual;		/* started only by the control pipe */
	bool once;		/* not started again */
	bool final;		/* its end ends the machine */
	bool console;		/* its output is copied to the console */

	/* the supervisor's */
	bool wanted;
	pid_t pid;
	int64_t started_ms, start_at_ms, kill_at_ms;
	int backoff_ms, starts, status;
	int log_in, log_out, log_fd;	/* pipe from the service (both ends kept), file */
	off_t log_size;
};

struct config {
	const char *hostname;
	struct service services[SERVICES_MAX];
	int service_count;
	struct command boot[BOOT_MAX];
	int boot_count;
	struct { const char *path; mode_t mode; } dirs[DIRS_MAX];
	int dir_count;
	struct { const char *key, *value; } sysctls[SYSCTLS_MAX];
	int sysctl_count;
	struct { const char *key, *value; } defaults[DEFAULTS_MAX];
	int default_count;
	struct { const char *disk, *dir; } verified[VERIFIED_MAX];
	int verified_count;
};

void config_read(const char *path, struct config *config);
/* The command line's value of KEY, else the configuration's default, else NULL. */
const char *config_value(const struct config *config, const char *key);

/* service.c */
void services_run(struct config *config) __attribute__((noreturn));

/* stop.c: end everything, and the machine. */
void machine_stop(int reboot_command) __attribute__((noreturn));

#endif
