/* Archives made by hand: what GNU tar would not write, and every way to be wrong. What it does write is in
 * unpack_test.c. */
#include "base/buf.h"
#include "base/test.h"
#include "image/tar.h"
#include "image/tar_header.h"
#include "image/tar_pax.h"

static struct buf archive;
static struct tar *reader;
static size_t piece;

static struct err *next_piece(void *ctx, const unsigned char **ret_p, size_t *ret_n)
{
	size_t *at = ctx;

	*ret_p = (const unsigned char *)archive.data + *at;
	*ret_n = MIN(piece, archive.len - *at);
	*at += *ret_n;
	return NULL;
}

static void begin(void)
{
	tar_free(TAKE(reader));
	buf_done(&archive);
}

static void open_archive(size_t step)
{
	static size_t at;

	at = 0;
	piece = step;
	tar_free(TAKE(reader));
	reader = tar_new((struct tar_source){.next = next_piece, .ctx = &at});
}

static void sum_header(unsigned char *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
}

/* Appends a ustar header and *n* bytes of data; returns the header, to be changed before sum_header(). */
static unsigned char *add(char type, const char *name, const void *data, size_t n)
{
	char block[512] = "";
	size_t at = archive.len;

	snprintf(block, 100, "%s", name);
	strcpy(block + 100, "0000644");
	strcpy(block + 108, "0001750");
	strcpy(block + 116, "0000144");
	snprintf(block + 124, 12, "%011zo", n);
	strcpy(block + 136, "14524770400");
	block[156] = type;
	memcpy(block + 257, "ustar\00000", 8);
	buf_append(&archive, block, 512);
	buf_append(&archive, data, n);
	memset(block, 0, 512);
	buf_append(&archive, block, -n & 511);
	sum_header((unsigned char *)archive.data + at);
	return (unsigned char *)archive.data + at;
}

static void add_text(char type, const char *name, const char *text)
{
	add(type, name, text, strlen(text));
}

/* PAX records of "key=value|key=value", with their lengths. */
static const char *pax(const char *list)
{
	static struct buf records;

	buf_clear(&records);
	while (*list) {
		int n = (int)strcspn(list, "|"), len = n + 3;

		while (snprintf(NULL, 0, "%d %.*s\n", len, n, list) != len)
			len++;
		buf_printf(&records, "%d %.*s\n", len, n, list);
		list += n + (list[n] == '|');
	}
	return buf_text(&records);
}

static void end_archive(void)
{
	static const char zeros[1024];

	buf_append(&archive, zeros, sizeof(zeros));
}

static const struct tar_entry *next(void)
{
	const struct tar_entry *e = NULL;

	CHECK_OK(tar_next(reader, &e));
	return e;
}

static void check_data(const char *want)
{
	const unsigned char *p;
	size_t n;
	_buf_ struct buf got = {0};

	do {
		CHECK_OK(tar_data(reader, &p, &n));
		buf_append(&got, p, n);
	} while (n > 0);
	CHECK_STR(buf_text(&got), want);
}

/* The first entry, of an archive that has been added. */
static const struct tar_entry *only(void)
{
	end_archive();
	open_archive(SIZE_MAX);
	const struct tar_entry *e = next();

	CHECK(e != NULL);
	return e;
}

static struct err *try_all(void)
{
	const struct tar_entry *e = NULL;

	open_archive(100);
	do {
		TRY(tar_next(reader, &e));
	} while (e);
	return NULL;
}

static void check_bad(enum err_kind kind)
{
	CHECK_ERR(try_all(), kind);
	begin();
}

TEST(entries_in_pieces_of_every_size)
{
	static const size_t steps[] = {1, 7, 511, 512, 513, 100000};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		begin();
		add_text('5', "dir/", "");
		add_text('0', "dir/file", "content");
		add_text('x', "pax", pax("path=a/longer/one|mtime=1234.5678"));
		add_text('0', "short", "more\n");
		add_text('0', "last", "skipped by the reader");
		end_archive();
		open_archive(steps[i]);
		const struct tar_entry *e = next();

		CHECK_INT(e->type, TAR_DIR);
		CHECK_STR(e->path, "dir/");
		CHECK_INT(e->attr.mode, 0644);
		CHECK_INT(e->attr.uid, 1000);
		CHECK_INT(e->attr.gid, 100);
		CHECK_INT(e->attr.mtime, 014524770400);
		e = next();
		CHECK_INT(e->size, 7);
		check_data("content");
		e = next();
		CHECK_STR(e->path, "a/longer/one");
		CHECK_INT(e->attr.mtime, 1234);
		CHECK_INT(e->attr.mtime_nsec, 567800000);
		check_data("more\n");
		CHECK_STR(next()->path, "last");
		CHECK(next() == NULL);
		CHECK(next() == NULL);
	}
	begin();
}

TEST(numbers)
{
	static const struct {
		const char *field;
		size_t n;
		bool ok;
		int64_t value;
	} table[] = {
		{"0000644", 8, true, 0644},
		{"   644 ", 8, true, 0644},
		{"644\0xxx", 8, true, 0644},
		{"\0\0\0\0\0\0\0", 8, true, 0},
		{"        ", 8, true, 0},
		{"77777777", 8, true, 077777777},
		{"00008", 5, false, 0},
		{"-1", 3, false, 0},
		{"12x", 4, false, 0},
		{"777777777777777777777", 21, true, INT64_MAX},
		{"1777777777777777777777", 22, false, 0},
		{"\x80\0\0\0\0\0\0\x01", 8, true, 1},
		{"\xff\xff\xff\xff\xff\xff\xff\xfe", 8, true, -2},
		{"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, INT64_MAX},
		{"\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, false, 0},
		{"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, true, INT64_MIN},
		{"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, false, 0},
		{"\xbf\xff\xff\xff\xff\xff\xff\xff", 8, true, 0x3fffffffffffffff},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t value = 0;
		bool ok = tar_number((const unsigned char *)table[i].field, table[i].n, &value);

		if (ok != table[i].ok || value != table[i].value)
			fprintf(stderr, "row %zu: %d %lld\n", i, ok, (long long)value);
		CHECK_INT(ok, table[i].ok);
		CHECK_INT(value, table[i].value);
	}
}

TEST(names_of_each_format)
{
	begin();
	unsigned char *h = add('0', "name", "", 0);

	strcpy((char *)h + 345, "pre/fix");
	sum_header(h);
	CHECK_STR(only()->path, "pre/fix/name");
	begin();
	h = add('0', "name", "", 0);
	memset(h, 'n', 100); /* as long as it can be: no NUL */
	memset(h + 345, 'p', 155);
	sum_header(h);
	CHECK_INT(strlen(only()->path), 256);
	begin();
	h = add('0', "name", "", 0);
	memcpy(h + 257, "ustar  ", 8); /* GNU: other things lie where the prefix would */
	strcpy((char *)h + 345, "14524770400");
	sum_header(h);
	CHECK_STR(only()->path, "name");
	begin();
	h = add('0', "name", "", 0);
	memset(h + 345, 'p', 155); /* star: times in the last 24 bytes */
	memcpy(h + 508, "tar", 4);
	sum_header(h);
	CHECK_INT(strlen(only()->path), 131 + 5);
	begin();
	h = add('\0', "old/", "", 0);
	memset(h + 257, 0, 8);
	sum_header(h);
	CHECK_INT(only()->type, TAR_DIR);
	begin();
}

TEST(precedence_is_go_s)
{
	begin();
	add_text('x', "x", pax("path=pax|linkpath=p"));
	add_text('L', "././@LongLink", "gnu");
	add_text('2', "ustar", "");
	const struct tar_entry *e = only();

	CHECK_STR(e->path, "gnu");
	CHECK_STR(e->target, "p");
	begin();
	add_text('x', "x", pax("path=one"));
	add_text('x', "x", pax("uid=77")); /* the second takes the place of the first */
	add_text('0', "ustar", "");
	e = only();
	CHECK_STR(e->path, "ustar");
	CHECK_INT(e->attr.uid, 77);
	begin();
	add_text('g', "g", "12 path=all\n10 uid=77\n");
	add_text('0', "ustar", "");
	e = only();
	CHECK_STR(e->path, "ustar");
	CHECK_INT(e->attr.uid, 1000);
	begin();
	add_text('x', "x", pax("size=6"));
	add_text('0', "ustar", "");
	buf_append(&archive, "sixsix", 6);
	buf_append(&archive, (char[506]){0}, 506);
	CHECK_INT(only()->size, 6);
	check_data("sixsix");
	CHECK(next() == NULL);
	begin();
	add_text('x', "x", pax("path=yes|path=")); /* an empty value takes it back */
	add_text('0', "ustar", "");
	CHECK_STR(only()->path, "ustar");
	begin();
}

/* POSIX has no data after these, whatever their size says. */
TEST(links_and_directories_have_no_data)
{
	for (char type = '1'; type <= '6'; type++) {
		begin();
		unsigned char *h = add(type, "n", "", 0);

		strcpy((char *)h + 124, "00000001000");
		strcpy((char *)h + 157, "target");
		strcpy((char *)h + 329, "0000010");
		strcpy((char *)h + 337, "0000020");
		sum_header(h);
		add_text('0', "after", "");
		const struct tar_entry *e = only();

		CHECK_INT(e->type, TAR_LINK + type - '1');
		CHECK((e->target != NULL) == (type <= '2'));
		CHECK_INT(e->major, type == '3' || type == '4' ? 8 : 0);
		CHECK_STR(next()->path, "after");
		CHECK(next() == NULL);
	}
	begin();
}

TEST(extended_attributes)
{
	begin();
	static const char records[] = "25 SCHILY.xattr.user.a=1\n"
				      "27 SCHILY.xattr.user.b=\0\n=\n"
				      "25 SCHILY.xattr.user.a=2\n"
				      "24 SCHILY.xattr.user.c=\n";

	add('x', "x", records, sizeof(records) - 1);
	add_text('0', "f", "");
	const struct tar_entry *e = only();

	CHECK_INT(e->attr.n_xattrs, 3);
	CHECK_STR(e->attr.xattrs[0].name, "user.a");
	CHECK(e->attr.xattrs[0].size == 1 && *(const char *)e->attr.xattrs[0].value == '2');
	CHECK(e->attr.xattrs[1].size == 3 && memcmp(e->attr.xattrs[1].value, "\0\n=", 3) == 0);
	CHECK_INT(e->attr.xattrs[2].size, 0);
	begin();
}

static bool pax_ok(const char *records)
{
	_free_ char *copy = base_strdup(records);
	static struct tar_pax p;

	tar_pax_clear(&p);
	struct err *e = tar_pax_parse(copy, strlen(copy), &p);
	bool ok = !e;

	err_free(e);
	tar_pax_done(&p);
	p.cap_extents = 0;
	return ok;
}

TEST(pax_records_that_are_wrong)
{
	static const char *const bad_form[] = {
		"x",	   "5",	       "5 ",	   "0 a=b\n",  "99 a=b\n",  "6 a=b",
		"6 abc\n", "5 =b\n\n", "7 a=b\nx", "-6 a=b\n", "7  a=b\n ", "18446744073709551622 a=b\n",
		"5 a=b\n", "5 a\0=\n",
	};
	static const char *const bad_value[] = {
		"size=x",
		"size=-1",
		"size=9223372036854775808",
		"uid=1 ",
		"uid=4294967296",
		"gid=0x1",
		"mtime=a",
		"mtime=1.x",
		"mtime=1e3",
		"mtime=--1",
		"mtime=999999999999999999999999999",
		"mtime=.5",
		"GNU.sparse.numbytes=1",
		"GNU.sparse.offset=1",
		"GNU.sparse.offset=1|GNU.sparse.offset=1",
		"GNU.sparse.offset=1|GNU.sparse.numbytes=x",
		"GNU.sparse.major=1|GNU.sparse.minor=1",
		"GNU.sparse.size=1x",
		"GNU.sparse.realsize=-1",
	};
	static const char *const good[] = {
		"",
		"a=b",
		"a=",
		"mtime=1",
		"mtime=-1",
		"mtime=",
		"comment=two\nlines",
		"size=9223372036854775807",
		"uid=4294967295",
		"path=a=b",
		"GNU.sparse.offset=1|GNU.sparse.numbytes=1",
		"GNU.sparse.major=1|GNU.sparse.minor=0",
		"GNU.sparse.major=0|GNU.sparse.minor=1",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad_form); i++)
		CHECK(!pax_ok(bad_form[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad_value); i++) {
		if (pax_ok(pax(bad_value[i])))
			fprintf(stderr, "accepted: %s\n", bad_value[i]);
		CHECK(!pax_ok(pax(bad_value[i])));
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!pax_ok(pax(good[i])))
			fprintf(stderr, "refused: %s\n", good[i]);
		CHECK(pax_ok(pax(good[i])));
	}
}

TEST(times_before_1970)
{
	static const struct {
		const char *record;
		int64_t sec;
		uint32_t nsec;
	} table[] = {
		{"mtime=-1", -1, 0},
		{"mtime=-1.5", -2, 500000000},
		{"mtime=-0.1", -1, 900000000},
		{"mtime=-7.000000001", -8, 999999999},
		{"mtime=5.1234567891234", 5, 123456789},
		{"mtime=1.", 1, 0},
		{"mtime=72057594037927936", INT64_C(1) << 56, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_buf_ struct buf text = {0};
		static struct tar_pax p;

		buf_puts(&text, pax(table[i].record));
		tar_pax_clear(&p);
		CHECK_OK(tar_pax_parse(text.data, text.len, &p));
		CHECK(p.has_mtime);
		CHECK_INT(p.mtime, table[i].sec);
		CHECK_INT(p.mtime_nsec, table[i].nsec);
	}
}

TEST(limits)
{
	_free_ char *big = base_alloc(TAR_PAX_MAX + 1);
	_buf_ struct buf records = {0};

	memset(big, 'x', TAR_PAX_MAX + 1);
	begin();
	add('x', "x", big, TAR_PAX_MAX + 1);
	check_bad(ERR_EXHAUSTED);
	add('L', "x", big, TAR_NAME_MAX + 2);
	check_bad(ERR_EXHAUSTED);
	add('K', "x", big, TAR_NAME_MAX + 2);
	check_bad(ERR_EXHAUSTED);
	unsigned char *h = add('x', "x", "", 0);

	memcpy(h + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12); /* nothing is allocated for that */
	sum_header(h);
	check_bad(ERR_EXHAUSTED);
	for (int i = 0; i < TAR_XATTRS_MAX + 1; i++)
		buf_printf(&records, "26 SCHILY.xattr.user.%03d=\n", i);
	add('x', "x", records.data, records.len);
	check_bad(ERR_EXHAUSTED);
	buf_clear(&records);
	buf_puts(&records, "9999999 x="); /* a record longer than its header */
	add('x', "x", records.data, records.len);
	check_bad(ERR_INVALID);
	/* 65,537 parts of nothing */
	buf_clear(&records);
	buf_puts(&records, pax("GNU.sparse.major=1|GNU.sparse.minor=0|GNU.sparse.realsize=9"));
	add('x', "x", records.data, records.len);
	buf_clear(&records);
	buf_printf(&records, "%d\n", TAR_EXTENTS_MAX + 1);
	for (int i = 0; i < TAR_EXTENTS_MAX + 1; i++)
		buf_puts(&records, "0\n0\n");
	while (records.len % 512)
		buf_putc(&records, '\0');
	add('0', "f", records.data, records.len);
	check_bad(ERR_EXHAUSTED);
}

static void sparse(const char *records, const char *data, size_t n)
{
	add_text('x', "x", records);
	add('0', "f", data, n);
	end_archive();
}

TEST(sparse_maps_that_are_wrong)
{
	begin();
	sparse(pax("GNU.sparse.size=99|GNU.sparse.map=0,5,9"), "12345", 5);
	check_bad(ERR_INVALID);
	sparse(pax("GNU.sparse.size=99|GNU.sparse.map=0,5,,"), "12345", 5);
	check_bad(ERR_INVALID);
	sparse(pax("GNU.sparse.size=99|GNU.sparse.map=0,6"), "12345", 5);
	check_bad(ERR_INVALID);
	sparse(pax("GNU.sparse.size=99|GNU.sparse.map=0,4"), "12345", 5);
	check_bad(ERR_INVALID);
	sparse(pax("GNU.sparse.size=99|GNU.sparse.map=0,9223372036854775800,9,9223372036854775800"), "12345",
	       5);
	check_bad(ERR_INVALID);
	sparse(pax("GNU.sparse.major=1|GNU.sparse.minor=0|GNU.sparse.realsize=99"), "1\n", 2);
	check_bad(ERR_INVALID); /* no whole block of map */
	char map[600] = "1\n0\nx";

	sparse(pax("GNU.sparse.major=1|GNU.sparse.minor=0|GNU.sparse.realsize=99"), map, 600);
	check_bad(ERR_INVALID);
	unsigned char *h = add('S', "f", "12345", 5);

	memcpy(h + 257, "ustar  ", 8);
	strcpy((char *)h + 386, "00000000000");
	strcpy((char *)h + 398, "00000000006");
	strcpy((char *)h + 483, "00000000099");
	sum_header(h);
	end_archive();
	check_bad(ERR_INVALID);
	add_text('S', "star", "12345"); /* not GNU's */
	end_archive();
	check_bad(ERR_INVALID);
}

TEST(ends)
{
	begin();
	open_archive(9);
	CHECK(next() == NULL); /* nothing at all is an empty archive */
	add_text('0', "f", "x");
	open_archive(9);
	CHECK(next() && !next()); /* no zeros after it: Go takes it too */
	buf_append(&archive, (char[512]){0}, 512);
	open_archive(9);
	CHECK(next() && !next());
	add_text('0', "f", "x");
	check_bad(ERR_INVALID); /* zeros in the middle */
	add_text('0', "f", "x");
	for (size_t cut = 1; cut < 1024; cut += 73) {
		archive.len = 1024 - cut;
		CHECK_ERR(try_all(), ERR_INVALID);
	}
	begin();
	add_text('x', "x", pax("a=b")); /* about an entry that does not come */
	CHECK_ERR(try_all(), ERR_INVALID);
	end_archive();
	check_bad(ERR_INVALID);
	unsigned char *h = add('0', "f", "", 0);

	h[0] = 'g';
	check_bad(ERR_INVALID); /* checksum */
	h = add('0', "f", "", 0);
	h[124] = '9';
	sum_header(h);
	check_bad(ERR_INVALID);
	h = add('0', "f", "", 0);
	memset(h + 124, 0xff, 12); /* size -1 */
	sum_header(h);
	check_bad(ERR_INVALID);
	h = add('3', "f", "", 0);
	memset(h + 329, 0xff, 8); /* major -1 */
	sum_header(h);
	check_bad(ERR_INVALID);
}

TEST(tidy)
{
	begin();
}

TEST_MAIN
