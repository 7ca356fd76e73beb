/* `crisp stream UID`: the role's entry (link.h). serve starts it with its descriptors in place; nobody else
 * has a use for it. */
#include "base/log.h"
#include "base/str.h"
#include "stream/server.h"

#include <fcntl.h>

int stream_main(int argc, char **argv)
{
	uint64_t uid;
	struct err *e;

	log_init("stream", LOG_LEVEL_INFO);
	if (argc < 2 || !str_to_u64(argv[argc - 1], UINT32_MAX - 1, &uid) || fcntl(STREAM_LINK_FD, F_GETFD) < 0 ||
	    fcntl(STREAM_LISTEN_FD, F_GETFD) < 0) {
		log_error("`crisp serve` starts this; it is not to be run by hand");
		return 2;
	}
	e = sandbox_enter((uid_t)uid);
	if (!e)
		e = server_run(STREAM_LINK_FD, STREAM_LISTEN_FD);
	if (!e)
		return 0;
	log_error("%s", err_text(e));
	err_free(e);
	return 1;
}
