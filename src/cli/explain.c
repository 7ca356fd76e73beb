/* crisp explain: one page on a pod or container: what was asked, what was done, where it stands, why it ended. */
#include "cli/explain.h"

#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

#define TAIL_LINES 10

static bool has_name(const struct explain_pod *p, const char *name)
{
	const Runtime__V1__PodSandboxMetadata *m = p->config->metadata;
	size_t n = m ? strlen(m->namespace_) : 0;

	if (!m)
		return false;
	return !strcmp(m->name, name) || (!strncmp(name, m->namespace_, n) && name[n] == '/' && !strcmp(name + n + 1, m->name));
}

static bool container_has_name(const struct explain_container *x, const char *name)
{
	return x->config->metadata && !strcmp(x->config->metadata->name, name);
}

struct pick {
	struct explain_pod *pod;
	struct explain_container *container;
	size_t n;
};

static void offer(struct pick *p, struct explain_pod *pod, struct explain_container *x)
{
	int64_t had = p->container ? p->container->created_ns : p->pod ? p->pod->created_ns : INT64_MIN;

	p->n++;
	if ((x ? x->created_ns : pod->created_ns) <= had)
		return;
	p->pod = pod;
	p->container = x;
}

struct err *explain_pick(struct explain_pod *const *pods, size_t n, const char *name, struct explain_pod **ret_pod,
			 struct explain_container **ret_container)
{
	struct pick by_id = { 0 }, by_name = { 0 }, by_container = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (str_starts(pods[i]->id, name))
			offer(&by_id, pods[i], NULL);
		if (has_name(pods[i], name))
			offer(&by_name, pods[i], NULL);
		for (size_t k = 0; k < pods[i]->n_containers; k++) {
			if (str_starts(pods[i]->containers[k]->id, name))
				offer(&by_id, pods[i], pods[i]->containers[k]);
			if (container_has_name(pods[i]->containers[k], name))
				offer(&by_container, pods[i], pods[i]->containers[k]);
		}
	}
	/* Names may look like the beginning of an ID; then they are names. */
	const struct pick *p = by_name.n ? &by_name : by_container.n ? &by_container : &by_id;

	if (p == &by_id && by_id.n > 1)
		return err_new(ERR_INVALID, "%s is ambiguous: %zu IDs begin so", name, by_id.n);
	if (p->n == 0)
		return err_new(ERR_NOT_FOUND, "there is no pod or container %s", name);
	*ret_pod = p->pod;
	*ret_container = p->container;
	return NULL;
}

struct err *cli_explain(struct cli *c)
{
	struct explain_pod *p = NULL;
	struct explain_container *only = NULL;
	_buf_ struct buf page = BUF_INIT;
	int64_t tail = TAIL_LINES;

	TRY(cli_number(c, "tail", &tail));
	if (!*c->args[0])
		return err_new(ERR_INVALID, "the name is empty");
	struct err *e = explain_ask(c, c->args[0], &p, &only);

	if (err_is(e, ERR_UNAVAILABLE) || (err_is(e, ERR_NOT_FOUND) && !c->client)) {
		/* Nobody on the socket: say so, and go on with what the disk tells. */
		buf_printf(&page, "%s\nThis is what its records on disk say:\n\n", err_text(e));
		err_free(e);
		e = explain_read(c, c->args[0], &p, &only);
	} else if (err_is(e, ERR_NOT_FOUND) && p) {
		buf_printf(&page, "%s; of a pod with this name is known:\n\n", err_text(e));
		err_free(e);
		e = NULL;
		c->status = 1;
	}
	if (!e)
		e = explain_print(c, p, only, tail, &page);
	if (e)
		return e;
	return output_printf("%s", buf_text(&page));
}
