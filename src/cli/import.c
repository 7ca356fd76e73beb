/* import: archives are opened here and handed over to serve as descriptors (image/import_protocol.h). */
#include "cli/output.h"
#include "cli/verb.h"

#include "base/str.h"
#include "image/bake.h"
#include "image/import_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct err *connect_to_serve(const struct cli *c, int *ret_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *slash = strrchr(c->endpoint, '/');
	_free_ char *path = base_printf("%.*s/" IMPORT_SOCKET_NAME, (int)(slash - c->endpoint), c->endpoint);
	_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "%s: too long for a socket", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_as(err_errno(errno, "%s (is crisp serve running?)", path), ERR_UNAVAILABLE);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

static struct err *print_image(const struct message *m)
{
	TRY(output_printf("%s", message_str(m, IMPORT_TAG_ID)));
	for (size_t i = 0; message_str_n(m, IMPORT_TAG_NAME, i); i++)
		TRY(output_printf(" %s", message_str_n(m, IMPORT_TAG_NAME, i)));
	return output_printf("\n");
}

/* Each image as it is there, until all are. */
static struct err *hear(int sock, struct message *m)
{
	for (;;) {
		bool eof = false;

		TRY(message_recv(sock, CLOCK_NEVER, m, &eof));
		if (eof)
			return err_new(ERR_UNAVAILABLE, "crisp serve has ended, or has too many archives waiting");
		message_close_fds(m);
		if (m->type == IMPORT_DONE)
			return message_take_err(m);
		if (m->type == IMPORT_IMAGE)
			TRY(print_image(m));
	}
}

static struct err *import(struct cli *c, const char *text)
{
	_cleanup_(bake_source_done) struct bake_source s = { 0 };
	_free_ struct message *m = base_alloc(sizeof(*m));
	_close_ int fd = -1, sock = -1;

	TRY(bake_source_parse_archive(text, &s));
	fd = open(s.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_errno(errno, "open");
	TRY(connect_to_serve(c, &sock));
	message_init(m, IMPORT_ASK, 0);
	message_put_str(m, IMPORT_TAG_PATH, s.path);
	message_put_str(m, IMPORT_TAG_NAME, s.name);
	message_put_str(m, IMPORT_TAG_PICK, s.pick);
	message_add_fd(m, fd);
	TRY(message_send(sock, m));
	return hear(sock, m);
}

struct err *cli_import(struct cli *c)
{
	for (size_t i = 0; i < c->n_args; i++)
		TRY_WRAP(import(c, c->args[i]), "%s", c->args[i]);
	return NULL;
}
