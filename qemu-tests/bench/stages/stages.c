/*
 * stages BLOB gzip|zstd DIR CRISP: the stages of a pull after the network, natively, each beside its limit: what the bare
 * library, or write(2), does with the same bytes in the same run. Tells samples (qemu-tests/bench/sample) in MB of the
 * stage's own bytes a second. It is linked with the product's own objects.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "image/inflate.h"
#include "image/unpack.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <zstd.h>

#define ROUNDS 5
#define CHUNK KIB(256)

struct bytes {
	unsigned char *p;
	size_t n;
};

static struct {
	const char *format, *dir, *crisp;
	struct bytes blob, tar;
	int tar_fd;     /* the archive as a file in memory */
	size_t image;   /* bytes of the layer's image */
} in;

static void fail(const char *what)
{
	fprintf(stderr, "stages: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(struct err *e)
{
	if (!e)
		return;
	fprintf(stderr, "stages: %s\n", err_text(e));
	exit(1);
}

static struct bytes map(size_t n)
{
	struct bytes b = { mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0), n };

	if (b.p == MAP_FAILED)
		fail("memory");
	return b;
}

static void read_blob(const char *path)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail(path);
	in.blob = map((size_t)st.st_size);
	for (size_t at = 0; at < in.blob.n;) {
		ssize_t n = read(fd, in.blob.p + at, in.blob.n - at);

		if (n <= 0)
			fail(path);
		at += (size_t)n;
	}
}

/* A file without a name in the directory. */
static int open_file(void)
{
	int fd = open(in.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(in.dir);
	return fd;
}

/* ---- the stages, ours and the limit: each returns the bytes that it is reckoned by ------------- */

static size_t sha256_ours(void)
{
	unsigned char digest[SHA256_LEN];
	struct sha256 h;

	sha256_init(&h);
	for (size_t at = 0; at < in.blob.n; at += CHUNK)
		sha256_update(&h, in.blob.p + at, MIN((size_t)CHUNK, in.blob.n - at));
	sha256_final(&h, digest);
	return in.blob.n;
}

static struct err *read_memory(void *ctx, void *to, size_t max, size_t *ret_n)
{
	size_t *at = ctx;

	*ret_n = MIN(max, in.blob.n - *at);
	memcpy(to, in.blob.p + *at, *ret_n);
	*at += *ret_n;
	return NULL;
}

static size_t inflate_ours(void)
{
	static unsigned char out[CHUNK];
	size_t at = 0, n = 1, all = 0;
	_inflate_ struct inflate *i = inflate_new((struct inflate_source){ read_memory, &at }, 0);

	for (; n; all += n)
		check(inflate_read(i, out, sizeof(out), &n));
	return all;
}

static size_t inflate_gzip_limit(void)
{
	struct inflate_state s;

	isal_inflate_init(&s);
	s.crc_flag = ISAL_GZIP;
	s.next_in = in.blob.p;
	s.avail_in = (uint32_t)in.blob.n;
	s.next_out = in.tar.p;
	s.avail_out = (uint32_t)in.tar.n;
	if (isal_inflate(&s) != ISAL_DECOMP_OK)
		fail("igzip");
	return in.tar.n - s.avail_out;
}

static size_t inflate_limit(void)
{
	if (!strcmp(in.format, "gzip"))
		return inflate_gzip_limit();
	size_t n = ZSTD_decompress(in.tar.p, in.tar.n, in.blob.p, in.blob.n);

	if (ZSTD_isError(n))
		fail(ZSTD_getErrorName(n));
	return n;
}

/* Hash of the archive, tar, EROFS, write. */
static size_t image_ours(void)
{
	_close_ int image = open_file();
	struct unpack_result r;

	lseek(in.tar_fd, 0, SEEK_SET);
	check(unpack_stream(in.tar_fd, image, 0, &r));
	in.image = r.image_size;
	return in.tar.n;
}

static size_t write_limit(void)
{
	_close_ int fd = open_file();

	for (size_t at = 0; at < in.image; at += CHUNK)
		check(file_write_fd(fd, in.tar.p + at, MIN((size_t)CHUNK, in.image - at)));
	return in.image;
}

static size_t write_and_fsync(void)
{
	_close_ int fd = open_file();

	for (size_t at = 0; at < in.image; at += CHUNK)
		check(file_write_fd(fd, in.tar.p + at, MIN((size_t)CHUNK, in.image - at)));
	if (fsync(fd) < 0)
		fail("fsync");
	return in.image;
}

/* As serve has it: hashed here on its way into the process `unpack`, then fsync. */
static size_t whole_ours(void)
{
	_close_ int image = open_file(), pidfd = -1;
	int to[2], report[2], status;
	pid_t pid;
	unsigned char digest[SHA256_LEN];
	struct sha256 h;

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0 || fcntl(to[1], F_SETPIPE_SZ, MIB(1)) < 0)
		fail("pipe");
	char *argv[] = { (char *)"crisp", (char *)"unpack", NULL };
	const struct spawn unpack = { .path = in.crisp, .argv = argv, .fds = { to[0], -1, 2, image, report[1] }, .n_fds = 5 };

	check(spawn_start(&unpack, &pid, &pidfd));
	close(to[0]);
	sha256_init(&h);
	for (size_t at = 0; at < in.blob.n; at += CHUNK) {
		size_t n = MIN((size_t)CHUNK, in.blob.n - at);

		sha256_update(&h, in.blob.p + at, n);
		check(file_write_fd(to[1], in.blob.p + at, n));
	}
	sha256_final(&h, digest);
	close(to[1]);
	check(spawn_wait(pidfd, CLOCK_NEVER, &status));
	if (status)
		fail("unpack");
	close(report[0]);
	close(report[1]);
	if (fsync(image) < 0)
		fail("fsync");
	return in.tar.n;
}

/* ---- measuring ---------------------------------------------------------------------------------- */

static double of_timeval(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* Processor time of this process, its threads and the children that have ended. */
static double processor(void)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return of_timeval(self.ru_utime) + of_timeval(self.ru_stime) + of_timeval(children.ru_utime) +
	       of_timeval(children.ru_stime);
}

static double wall(void)
{
	return (double)clock_mono_ns() / 1e9;
}

/* Returns the seconds of each round. */
static void measure(double (*now)(void), size_t (*stage)(void), double ret_seconds[ROUNDS], size_t *ret_bytes)
{
	for (int i = 0; i < ROUNDS; i++) {
		double began = now();

		*ret_bytes = stage();
		ret_seconds[i] = now() - began;
	}
}

static void tell(const char *what, const char *column, const char *unit, const double seconds[ROUNDS], size_t bytes)
{
	printf("sample: {\"group\":\"pipeline\",\"what\":\"%s\",\"case\":\"%s\",\"runtime\":\"%s\",\"unit\":\"%s\",\"values\":[",
	       what, in.format, column, unit);
	for (int i = 0; i < ROUNDS; i++)
		printf("%s%.4f", i ? "," : "", bytes ? (double)bytes / 1e6 / seconds[i] : seconds[i]);
	printf("]}\n");
}

static double median(const double v[ROUNDS])
{
	double best = v[0];

	for (int i = 0; i < ROUNDS; i++) {
		int below = 0;

		for (int k = 0; k < ROUNDS; k++)
			below += v[k] < v[i] || (v[k] == v[i] && k < i);
		if (below == ROUNDS / 2)
			best = v[i];
	}
	return best;
}

/* A stage by the processor time it takes: others' work on the machine is then of less weight. Returns its seconds. */
static double stage(const char *what, const char *column, size_t (*run)(void))
{
	double s[ROUNDS];
	size_t bytes;

	measure(processor, run, s, &bytes);
	tell(what, column, "MB/s", s, bytes);
	return median(s);
}

static void whole(double limits)
{
	double s[ROUNDS];
	size_t bytes;

	measure(wall, whole_ours, s, &bytes);
	tell("all of it, to the disk", "crisp", "s", s, 0);
	measure(processor, whole_ours, s, &bytes);
	tell("all of it, processor", "crisp", "s", s, 0);
	for (int i = 0; i < ROUNDS; i++)
		s[i] = limits;
	tell("all of it, processor", "limit", "s", s, 0);
	measure(wall, write_and_fsync, s, &bytes);
	tell("write and fsync alone", "limit", "s", s, 0);
}

int main(int argc, char **argv)
{
	static const char *const hash = "SHA-256", *const inflated = "inflate", *const image = "archive to image, with its hash";
	double limits;

	if (argc != 5)
		return 2;
	in.format = argv[2];
	in.dir = argv[3];
	in.crisp = argv[4];
	read_blob(argv[1]);
	in.tar = map(inflate_ours());
	inflate_limit();
	in.tar_fd = memfd_create("tar", MFD_CLOEXEC);
	check(file_write_fd(in.tar_fd, in.tar.p, in.tar.n));
	limits = stage(hash, "crisp", sha256_ours) * (1 + (double)in.tar.n / (double)in.blob.n);
	stage(inflated, "crisp", inflate_ours);
	limits += stage(inflated, "limit", inflate_limit);
	stage(image, "crisp", image_ours);
	limits += stage(image, "limit", write_limit);
	whole(limits);
	return 0;
}
