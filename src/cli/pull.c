/* Pulling an image, and the credentials for it. */
#include "cli/containers.h"
#include "cli/output.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const char *or_env(const char *text, const char *name)
{
	return text ? text : getenv(name);
}

/* A line from the terminal, unseen. */
static struct err *ask_password(struct cli *c, char **ret)
{
	_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios quiet, was;
	char line[1024];

	if (fd < 0 || tcgetattr(fd, &was) < 0)
		return err_new(ERR_PRECONDITION, "--username asks for the password, and there is no terminal: use --creds");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &quiet);
	err_ignore(file_write_fd(fd, "Enter Password:", 15));
	ssize_t n = read(fd, line, sizeof(line));

	tcsetattr(fd, TCSAFLUSH, &was);
	err_ignore(file_write_fd(fd, "\n", 1));
	*ret = arena_strndup(&c->arena, line, n > 0 ? strcspn(line, "\n") < (size_t)n ? strcspn(line, "\n") : (size_t)n : 0);
	explicit_bzero(line, sizeof(line));
	return NULL;
}

/* --username, --creds USER[:PASSWORD] or --auth BASE64. NULL: none. */
static struct err *credentials(struct cli *c, Runtime__V1__AuthConfig **ret)
{
	const char *creds = or_env(cli_text(c, "creds"), "CRICTL_CREDS"), *auth = or_env(cli_text(c, "auth"), "CRICTL_AUTH");

	*ret = NULL;
	if (cli_text(c, "username")) {
		*ret = arena_alloc(&c->arena, sizeof(**ret));
		runtime__v1__auth_config__init(*ret);
		(*ret)->username = (char *)cli_text(c, "username");
		return ask_password(c, &(*ret)->password);
	}
	if (!creds && !auth)
		return NULL;
	if (creds && auth)
		return err_new(ERR_INVALID, "--creds and --auth exclude each other");
	Runtime__V1__AuthConfig *a = arena_alloc(&c->arena, sizeof(*a));

	runtime__v1__auth_config__init(a);
	if (auth) {
		a->auth = (char *)auth;
	} else {
		const char *colon = strchr(creds, ':');

		a->username = arena_strndup(&c->arena, creds, colon ? (size_t)(colon - creds) : strlen(creds));
		a->password = arena_strdup(&c->arena, colon ? colon + 1 : "");
		if (!*a->username)
			return err_new(ERR_INVALID, "--creds: the user's name is empty");
	}
	*ret = a;
	return NULL;
}

struct err *images_pull(struct cli *c, const char *image, Runtime__V1__PodSandboxConfig *pod, const char **ret_ref)
{
	Runtime__V1__PullImageRequest q = RUNTIME__V1__PULL_IMAGE_REQUEST__INIT;
	Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
	Runtime__V1__PullImageResponse *r;

	spec.image = (char *)image;
	q.image = &spec;
	q.sandbox_config = pod;
	TRY(credentials(c, &q.auth));
	TRY(CLI_PAIRS(c, "annotation", Runtime__V1__ImageSpec__AnnotationsEntry,
		      runtime__v1__image_spec__annotations_entry__init, &spec.annotations, &spec.n_annotations));
	/* As long as it takes, unless it is said: serve gives up on a registry that stalls. */
	const char *limit_text = or_env(cli_text(c, "pull-timeout"), "CRICTL_PULL_TIMEOUT");
	int64_t limit = 0;

	if (limit_text && !cli_parse_duration(limit_text, &limit))
		return err_new(ERR_INVALID, "--pull-timeout: \"%s\" is not a duration such as 30s or 5m", limit_text);
	TRY(cli_call(c, "PullImage", &q, limit ? limit : CLOCK_NEVER, &r));
	*ret_ref = r->image_ref;
	return NULL;
}

struct err *cli_pull(struct cli *c)
{
	Runtime__V1__PodSandboxConfig *pod = NULL;
	const char *ref;

	if (cli_text(c, "pod-config"))
		TRY(cli_read_config(c, cli_text(c, "pod-config"), &runtime__v1__pod_sandbox_config__descriptor, &pod));
	TRY(images_pull(c, c->args[0], pod, &ref));
	return output_printf("Image is up to date for %s\n", ref);
}
