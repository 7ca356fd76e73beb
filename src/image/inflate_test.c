#include "base/buf.h"
#include "base/file.h"
#include "base/test.h"
#include "image/inflate.h"

/* A stream in memory that gives as few bytes a read as it is told. */
struct stream {
	const char *p;
	size_t n, step;
};

static struct err *read_stream(void *ctx, void *to, size_t max, size_t *ret_n)
{
	struct stream *s = ctx;

	*ret_n = MIN(MIN(max, s->n), s->step);
	if (*ret_n)
		memcpy(to, s->p, *ret_n);
	s->p += *ret_n;
	s->n -= *ret_n;
	return NULL;
}

static struct err *inflate_all(const struct buf *in, size_t step, size_t out_step, uint64_t max,
			       struct buf *out)
{
	struct stream s = {in->data, in->len, step};
	_inflate_ struct inflate *i = inflate_new((struct inflate_source){read_stream, &s}, max);
	size_t n = 0;

	buf_clear(out);
	do {
		char *to = buf_reserve(out, out_step);

		TRY(inflate_read(i, to, out_step, &n));
		out->len += n;
		out->data[out->len] = '\0';
	} while (n == out_step);
	CHECK_INT(inflate_total(i), out->len);
	return NULL;
}

/* The output of a shell command. */
static void shell(const char *command, struct buf *out)
{
	FILE *f = popen(command, "re");
	char part[65536];
	size_t n;

	CHECK(f != NULL);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_append(out, part, n);
	CHECK(pclose(f) == 0);
}

/* Words in an order that compresses neither well nor badly: the same in the shell and here. */
#define TEXT "seq 1 20000 | awk '{print $1 * 7919 % 10007, $1}'"

static struct buf text, packed, out;

static void check_same(size_t step, size_t out_step)
{
	CHECK_OK(inflate_all(&packed, step, out_step, 0, &out));
	CHECK_INT(out.len, text.len);
	CHECK(memcmp(out.data, text.data, text.len) == 0);
}

static void check_steps(void)
{
	static const size_t steps[] = {1, 3, 7, 8, 9, 100, 4096, 70000, 1 << 20};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		check_same(steps[i], 262144);
		check_same(1 << 20, steps[i] + 50);
		check_same(steps[i], steps[ARRAY_LEN(steps) - 1 - i] + 16);
	}
}

static void load(const char *command)
{
	buf_done(&text);
	buf_done(&packed);
	buf_done(&out);
	shell(TEXT, &text);
	shell(command, &packed);
}

static bool have(const char *tool)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", tool);
	return system(command) == 0;
}

/* RFC 1952, by hand: "hello" in a stored block; and a zstd frame (RFC 8878) with a raw block. */
TEST(known_bytes)
{
	static const char gzip[] =
		"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x05\0\xfa\xffhello\x86\xa6\x10\x36\x05\0\0\0";
	static const char zstd[] = "\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello";
	struct buf in = {.data = (char *)(uintptr_t)gzip, .len = sizeof(gzip) - 1};

	CHECK_OK(inflate_all(&in, 100, 100, 0, &out));
	CHECK_STR(buf_text(&out), "hello");
	in = (struct buf){.data = (char *)(uintptr_t)zstd, .len = sizeof(zstd) - 1};
	buf_done(&out);
	CHECK_OK(inflate_all(&in, 100, 100, 0, &out));
	CHECK(out.len == 5 && memcmp(out.data, "hello", 5) == 0);
	in = (struct buf){.data = (char *)(uintptr_t) "not packed", .len = 10};
	CHECK_OK(inflate_all(&in, 3, 4, 0, &out));
	CHECK(out.len == 10 && memcmp(out.data, "not packed", 10) == 0);
	in.len = 1;
	CHECK_OK(inflate_all(&in, 3, 4, 0, &out));
	CHECK_INT(out.len, 1);
	in.len = 0;
	CHECK_ERR(inflate_all(&in, 3, 4, 0, &out), ERR_CORRUPT);
}

TEST(gzip_in_any_pieces)
{
	load(TEXT "| gzip -n");
	check_steps();
}

TEST(gzip_with_name_and_many_members)
{
	load(TEXT " | split -b 3001 --filter='gzip -1'");
	check_steps();
	/* empty members, as estargz's footer has, and zeros after the end */
	load("gzip </dev/null; " TEXT "| gzip -9; gzip </dev/null; head -c 700 /dev/zero");
	check_steps();
}

TEST(gzip_damage_is_seen)
{
	load(TEXT "| gzip -n");
	packed.data[packed.len - 6] ^= 1; /* CRC */
	CHECK_ERR(inflate_all(&packed, 4096, 4096, 0, &out), ERR_CORRUPT);
	packed.data[packed.len - 6] ^= 1;
	packed.data[packed.len - 2] ^= 1; /* length */
	CHECK_ERR(inflate_all(&packed, 4096, 4096, 0, &out), ERR_CORRUPT);
	packed.data[packed.len - 2] ^= 1;
	for (size_t cut = 1; cut < packed.len; cut += cut < 40 || cut > packed.len - 40 ? 1 : 997) {
		struct buf in = {.data = packed.data, .len = packed.len - cut};

		if (in.len < 2)
			continue;
		CHECK_ERR(inflate_all(&in, 4096, 65536, 0, &out), ERR_CORRUPT);
	}
	buf_append(&packed, "\0\0garbage", 9);
	CHECK_ERR(inflate_all(&packed, 4096, 4096, 0, &out), ERR_CORRUPT);
	load(TEXT "| gzip -n; echo garbage");
	CHECK_ERR(inflate_all(&packed, 4096, 4096, 0, &out), ERR_CORRUPT);
}

TEST(zstd_in_any_pieces)
{
	if (!have("zstd"))
		SKIP("zstd is not installed");
	load(TEXT "| zstd -q -19");
	check_steps();
	/* frames, a skippable one first (0x184D2A5E, 5 bytes) and one last, as zstd:chunked has */
	load("printf '\\136\\052\\115\\030\\005\\000\\000\\000hello'; " TEXT
	     " | split -b 30001 --filter='zstd -q --check'; printf "
	     "'\\120\\052\\115\\030\\000\\000\\000\\000'");
	check_steps();
}

TEST(zstd_damage_is_seen)
{
	if (!have("zstd"))
		SKIP("zstd is not installed");
	load(TEXT "| zstd -q --check");
	packed.data[packed.len / 2] ^= 4;
	CHECK_ERR(inflate_all(&packed, 4096, 4096, 0, &out), ERR_CORRUPT);
	packed.data[packed.len / 2] ^= 4;
	packed.len -= 3;
	CHECK_ERR(inflate_all(&packed, 4096, 4096, 0, &out), ERR_CORRUPT);
	packed.len = 0;
	shell("head -c 300000000 /dev/zero | zstd -q --long=28", &packed);
	CHECK_ERR(inflate_all(&packed, 4096, 65536, 0, &out), ERR_EXHAUSTED);
}

TEST(limits)
{
	load(TEXT "| gzip");
	CHECK_OK(inflate_all(&packed, 4096, 4096, text.len, &out));
	CHECK_ERR(inflate_all(&packed, 4096, 4096, text.len - 1, &out), ERR_EXHAUSTED);
	CHECK_ERR(inflate_all(&text, 4096, 4096, text.len - 1, &out), ERR_EXHAUSTED);
}

TEST(bomb)
{
	if (!have("zstd"))
		SKIP("zstd is not installed");
	buf_done(&packed);
	shell("head -c 1100M /dev/zero | zstd -q", &packed);
	struct stream s = {packed.data, packed.len, 65536};
	_inflate_ struct inflate *i = inflate_new((struct inflate_source){read_stream, &s}, 0);
	_free_ char *to = base_alloc(MIB(1));
	struct err *e = NULL;
	size_t n = MIB(1);

	while (!e && n == MIB(1))
		e = inflate_read(i, to, MIB(1), &n);
	bool exhausted = err_is(e, ERR_EXHAUSTED);

	err_free(e);
	CHECK(exhausted);
	CHECK(inflate_total(i) <= INFLATE_RATIO_FLOOR + MIB(1));
	/* gzip cannot be a bomb by ratio: a file of zeros is just that */
	buf_done(&packed);
	buf_done(&out);
}

TEST(tidy)
{
	buf_done(&text);
	buf_done(&packed);
	buf_done(&out);
}

TEST_MAIN
