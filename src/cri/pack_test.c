#include "base/test.h"
#include "cri/pack.h"

static const ProtobufCMessageDescriptor *const version = &runtime__v1__version_response__descriptor;

static struct err *unpack(struct arena *a, const ProtobufCMessageDescriptor *d, const char *bytes, size_t n,
			  ProtobufCMessage **ret)
{
	return pack_unpack(a, d, bytes, n, ret);
}

TEST(round_trip_keeps_unknown_fields)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;
	void *bytes;
	size_t n;
	/* field 1 "1", field 2 "crisp", field 99 (unknown) 7 */
	static const char wire[] = "\x0a\x01\x31\x12\x05\x63risp\x98\x06\x07";

	arena_init(&a);
	CHECK_OK(unpack(&a, version, wire, sizeof(wire) - 1, &m));
	CHECK_STR(PACK_AS(VersionResponse, m)->runtime_name, "crisp");
	CHECK_STR(PACK_AS(VersionResponse, m)->runtime_version, "");
	CHECK_OK(pack_message(&a, m, &bytes, &n));
	CHECK(n == sizeof(wire) - 1 && !memcmp(bytes, wire, n));
}

TEST(empty_message)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;
	void *bytes;
	size_t n;

	arena_init(&a);
	CHECK_OK(unpack(&a, &runtime__v1__image_fs_info_request__descriptor, "", 0, &m));
	CHECK_OK(pack_message(&a, m, &bytes, &n));
	CHECK_INT(n, 0);
}

TEST(text_is_utf8_without_nul)
{
	_arena_ struct arena a;
	ProtobufCMessage *m;

	arena_init(&a);
	CHECK_OK(unpack(&a, version, "\x0a\x02\xc3\xbc", 4, &m));
	_err_ struct err *nul = unpack(&a, version, "\x0a\x03" "a\0b", 5, &m);
	_err_ struct err *bad = unpack(&a, version, "\x12\x02" "a\xff", 4, &m);

	CHECK(err_is(nul, ERR_INVALID) && err_is(bad, ERR_INVALID));
	CHECK_STR(err_text(nul), "VersionResponse: version: byte 1 is NUL, which text may not hold");
	CHECK_STR(err_text(bad), "VersionResponse: runtime_name: byte 1 is not UTF-8");
}

TEST(utf8_forms)
{
	static const struct {
		const char *bytes;
		size_t len, good;
	} rows[] = {
		{ "plain", 5, 5 },	{ "\xe2\x82\xac", 3, 3 },     { "\xf0\x9f\x98\x80", 4, 4 },
		{ "\xc0\xaf", 2, 0 },	{ "a\xed\xa0\x80", 4, 1 },    { "\xf4\x90\x80\x80", 4, 0 },
		{ "ab\xe2\x82", 4, 2 }, { "\xe0\x80\xaf", 3, 0 },     { "\x80", 1, 0 },
		{ "", 0, 0 },		{ "\xf0\x9f\x98\x41", 4, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_INT(pack_text_len(rows[i].bytes, rows[i].len), rows[i].good);
}

TEST(error_names_the_nested_field)
{
	_arena_ struct arena a;
	ProtobufCMessage *m;

	/* RunPodSandboxRequest.config(1).metadata(1).name(1) */
	arena_init(&a);
	_err_ struct err *e = unpack(&a, &runtime__v1__run_pod_sandbox_request__descriptor, "\x0a\x05\x0a\x03\x0a\x01\xff", 7,
				     &m);

	CHECK_STR(err_text(e), "RunPodSandboxRequest: config: metadata: name: byte 0 is not UTF-8");
}

TEST(malformed)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "\x0a", 1 },		       /* no length */
		{ "\x0a\x05" "ab", 4 },	       /* shorter than it says */
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* length passes the end of memory */
		{ "\x0b\x0c", 2 },	       /* a group */
		{ "\x02\x00", 2 },	       /* field number 0 */
		{ "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12 },
		{ "\x08\x01", 2 },	       /* a number where text is wanted */
	};
	_arena_ struct arena a;
	ProtobufCMessage *m;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_ERR(unpack(&a, version, rows[i].bytes, rows[i].len, &m), ERR_INVALID);
}

TEST(memory_is_bounded)
{
	_arena_ struct arena a;
	ProtobufCMessage *m;
	const size_t n = 4u << 20;
	_free_ char *bytes = base_alloc(n);

	/* Two million empty containers. */
	for (size_t i = 0; i < n; i += 2)
		bytes[i] = 0x0a;
	arena_init(&a);
	CHECK_ERR(unpack(&a, &runtime__v1__list_containers_response__descriptor, bytes, n, &m), ERR_EXHAUSTED);
	CHECK(a.total <= PACK_MEMORY_MAX * 2);
	CHECK_ERR(unpack(&a, version, bytes, PACK_WIRE_MAX + 1, &m), ERR_EXHAUSTED);
}

TEST(reply_is_bounded)
{
	_arena_ struct arena a;
	Runtime__V1__ExecSyncResponse r = RUNTIME__V1__EXEC_SYNC_RESPONSE__INIT;
	void *bytes;
	size_t n;

	arena_init(&a);
	r.stdout.len = PACK_WIRE_MAX;
	r.stdout.data = base_alloc(r.stdout.len);
	struct err *e = pack_message(&a, &r.base, &bytes, &n);

	free(r.stdout.data);
	CHECK_ERR(e, ERR_EXHAUSTED);
}

TEST_MAIN
