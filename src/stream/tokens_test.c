/* Tokens: once, in time, of their kind, bounded; claims taken once. */
#include "stream/tokens.h"

#include "base/clock.h"
#include "base/test.h"

#define T0 (1000 * NS_PER_S)

static const struct stream_request exec_request = { .kind = STREAM_EXEC, .pod_dir = "/d", .container = "c",
						    .process = "{}" };

TEST(token_is_claimed_once_and_its_claim_taken_once)
{
	_cleanup_(tokens_done) struct tokens t;
	const char *text;
	char kept[STREAM_TOKEN_LEN + 1];

	tokens_init(&t);
	CHECK_OK(tokens_add(&t, &exec_request, T0, &text));
	strcpy(kept, text);
	CHECK(!tokens_claim(&t, STREAM_ATTACH, kept, T0));
	CHECK(!tokens_claim(&t, STREAM_EXEC, "short", T0));
	struct token *k = tokens_claim(&t, STREAM_EXEC, kept, T0);

	CHECK(k && k->handle);
	CHECK_STR(k->request.container, "c");
	CHECK(!tokens_claim(&t, STREAM_EXEC, kept, T0));
	CHECK(tokens_take(&t, k->handle + 1) == NULL);
	CHECK(tokens_take(&t, k->handle) == k);
	CHECK(tokens_take(&t, k->handle) == NULL);
	token_free(k);
}

TEST(token_expires)
{
	_cleanup_(tokens_done) struct tokens t;
	const char *text;
	char kept[STREAM_TOKEN_LEN + 1];

	tokens_init(&t);
	CHECK_OK(tokens_add(&t, &exec_request, T0, &text));
	strcpy(kept, text);
	CHECK(!tokens_claim(&t, STREAM_EXEC, kept, T0 + STREAM_TOKEN_TTL_S * NS_PER_S));
	CHECK_INT(t.n_waiting, 0);
}

TEST(tokens_are_bounded_and_room_comes_back)
{
	_cleanup_(tokens_done) struct tokens t;
	const char *text;

	tokens_init(&t);
	for (int i = 0; i < STREAM_TOKENS_MAX; i++)
		CHECK_OK(tokens_add(&t, &exec_request, T0 + i, &text));
	CHECK_ERR(tokens_add(&t, &exec_request, T0 + 2000, &text), ERR_EXHAUSTED);
	CHECK_OK(tokens_add(&t, &exec_request, T0 + STREAM_TOKEN_TTL_S * NS_PER_S, &text));
	CHECK_INT(t.n_waiting, STREAM_TOKENS_MAX);
}

TEST(claims_die_with_their_process)
{
	_cleanup_(tokens_done) struct tokens t;
	const char *text;

	tokens_init(&t);
	CHECK_OK(tokens_add(&t, &exec_request, T0, &text));
	struct token *k = tokens_claim(&t, STREAM_EXEC, text, T0);
	uint64_t handle = k->handle;

	tokens_drop_claims(&t);
	CHECK(!tokens_take(&t, handle) && t.n_claimed == 0);
}

TEST_MAIN
