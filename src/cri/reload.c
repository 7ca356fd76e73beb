#include "cri/reload.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Held for a copy, or for the exchange of values. */
static pthread_mutex_t live = PTHREAD_MUTEX_INITIALIZER;

static void override(char **to, const char *value)
{
	if (!value)
		return;
	free(*to);
	*to = base_strdup(value);
}

static struct err *load(const struct serve_options *o, struct config *c)
{
	enum log_level level;

	TRY(config_load(o->config, c));
	override(&c->root, o->root);
	override(&c->state, o->state);
	override(&c->listen, o->listen);
	override(&c->log_level, o->log_level);
	if (!log_parse_level(c->log_level, &level))
		return err_new(ERR_INVALID, "log level \"%s\": not one of error, warn, info, debug", c->log_level);
	if (c->root[0] != '/' || c->state[0] != '/')
		return err_new(ERR_INVALID, "root and state must be absolute paths");
	return NULL;
}

static void use_log_level(const struct config *c)
{
	enum log_level level;

	if (log_parse_level(c->log_level, &level))
		log_set_level(level);
}

struct err *reload_first(struct serve *s, const struct serve_options *o)
{
	s->options = o;
	TRY(load(o, &s->config));
	use_log_level(&s->config);
	return NULL;
}

static void say_names(const struct strv *names, const char *what)
{
	_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < names->len; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", names->items[i]);
	if (names->len)
		log_info("configuration: %s: %s", what, buf_text(&b));
}

static void take(struct serve *s, struct config *fresh)
{
	_strv_ struct strv taken = { 0 }, later = { 0 };

	pthread_mutex_lock(&live);
	config_take(&s->config, fresh, &taken, &later);
	pthread_mutex_unlock(&live);
	use_log_level(&s->config);
	images_set_pinned(s->images, (const char *const *)s->config.pinned_images.items);
	log_info("configuration reloaded%s", taken.len || later.len ? "" : "; nothing has changed");
	say_names(&taken, "in force now");
	say_names(&later, "changed, in force after a restart of crisp");
}

void reload_now(struct serve *s)
{
	char state[80];
	struct config fresh = { 0 };

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_mono_ns() / 1000));
	reload_notify(state);
	struct err *e = load(s->options, &fresh);

	if (e)
		log_error("reload: %s; the configuration stays as it was", err_text(e));
	else
		take(s, &fresh);
	err_free(e);
	config_done(&fresh);
	reload_notify("READY=1");
}

void reload_notify(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, strlen(path));
	if (addr.sun_path[0] == '@')
		addr.sun_path[0] = '\0';
	_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warn("notify socket %s: %s", path, strerror(errno));
}

const char *reload_text(struct rpc *r, char *const *key)
{
	pthread_mutex_lock(&live);
	const char *copy = arena_strdup(&r->arena, *key);

	pthread_mutex_unlock(&live);
	return copy;
}

const char *const *reload_list(struct rpc *r, const struct strv *key)
{
	pthread_mutex_lock(&live);
	const char **copy = arena_calloc(&r->arena, key->len + 1, sizeof(*copy));

	for (size_t i = 0; i < key->len; i++)
		copy[i] = arena_strdup(&r->arena, key->items[i]);
	pthread_mutex_unlock(&live);
	return copy;
}

uint64_t reload_number(const uint64_t *key)
{
	pthread_mutex_lock(&live);
	uint64_t n = *key;

	pthread_mutex_unlock(&live);
	return n;
}
