#include "cri/userns.h"

#include "base/test.h"

static Runtime__V1__IDMapping maps[4];
static Runtime__V1__IDMapping *lists[4] = { &maps[0], &maps[1], &maps[2], &maps[3] };

static void set(size_t i, uint32_t host, uint32_t inside, uint32_t length)
{
	runtime__v1__idmapping__init(&maps[i]);
	maps[i].host_id = host;
	maps[i].container_id = inside;
	maps[i].length = length;
}

static struct err *check(Runtime__V1__NamespaceMode mode, size_t n_uids, size_t n_gids)
{
	Runtime__V1__NamespaceOption ns = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	Runtime__V1__UserNamespace u = RUNTIME__V1__USER_NAMESPACE__INIT;

	u.mode = mode;
	u.uids = u.gids = lists;
	u.n_uids = n_uids;
	u.n_gids = n_gids;
	ns.userns_options = &u;
	return userns_check(&ns);
}

TEST(what_the_kubelet_sends)
{
	set(0, 65536, 0, 65536);
	CHECK_OK(check(RUNTIME__V1__NAMESPACE_MODE__POD, 1, 1));
	CHECK_OK(check(RUNTIME__V1__NAMESPACE_MODE__NODE, 0, 0));
	CHECK_OK(userns_check(NULL));
	set(1, 1 << 20, 65536, 10);
	CHECK_OK(check(RUNTIME__V1__NAMESPACE_MODE__POD, 2, 1));
}

TEST(what_cannot_be)
{
	set(0, 65536, 0, 65536);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 0, 1), ERR_INVALID);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 1, 0), ERR_INVALID);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__NODE, 1, 1), ERR_INVALID);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__CONTAINER, 1, 1), ERR_INVALID);
	set(1, 65536 + 65535, 65536, 10); /* the same users of the node twice */
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 2, 1), ERR_INVALID);
	set(1, 1 << 20, 65535, 10);       /* the same of the container */
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 2, 1), ERR_INVALID);
	set(0, 65536, 1, 10);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 1, 1), ERR_INVALID);
	set(0, 65536, 0, 0);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 1, 1), ERR_INVALID);
	set(0, UINT32_MAX - 5, 0, 10);
	CHECK_ERR(check(RUNTIME__V1__NAMESPACE_MODE__POD, 1, 1), ERR_INVALID);
	set(0, 0, 0, UINT32_MAX); /* all but the one that is none */
	CHECK_OK(check(RUNTIME__V1__NAMESPACE_MODE__POD, 1, 1));
}

TEST_MAIN
