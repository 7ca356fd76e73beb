#include "cri/cadvisor.h"

#include "cri/selectors.h"
#include "cri/serve.h"
#include "spec/json.h"

#include <string.h>

#define CONTAINERS "/containers/"

/* What one answer is made in. */
struct page {
	struct arena arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
};

static void page_init(struct page *p)
{
	arena_init(&p->arena);
	p->doc = json_new(&p->arena);
	p->root = yyjson_mut_obj(p->doc);
	yyjson_mut_doc_set_root(p->doc, p->root);
}

static int page_finish(struct page *p, struct buf *ret)
{
	struct err *e = json_write(p->doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, ret);
	int status = e ? 500 : 200;

	err_ignore(e);
	arena_done(&p->arena);
	return status;
}

/* Layers are no directories that could be walked: with a driver that it does not know cAdvisor leaves sizes to CRI. The
 * cgroups are plain directories for it, whoever made them: with "systemd" it would pass over the pods'. */
static int info(struct serve *s, struct buf *ret)
{
	struct page p;

	page_init(&p);
	json_put_str(p.doc, p.root, "storage_driver", "erofs");
	json_put_str(p.doc, p.root, "storage_root", s->config.root);
	json_put_str(p.doc, p.root, "storage_image", "");
	json_put_str(p.doc, p.root, "cgroup_driver", "cgroupfs");
	return page_finish(&p, ret);
}

static yyjson_mut_val *put_pairs(struct page *p, const char *key, const void *pairs, size_t n)
{
	yyjson_mut_val *to = json_put_obj(p->doc, p->root, key);
	struct map_entry *const *all = pairs;

	for (size_t i = 0; i < n; i++)
		json_put_str(p->doc, to, all[i]->key, all[i]->value);
	return to;
}

static void put_common(struct page *p, const char *id, const char *image, pid_t pid, int64_t created_ns)
{
	json_put_str(p->doc, p->root, "name", id);
	json_put_str(p->doc, p->root, "image", image);
	yyjson_mut_obj_add_int(p->doc, p->root, "pid", pid);
	yyjson_mut_obj_add_int(p->doc, p->root, "created_time", created_ns);
}

static int container_page(struct serve *s, struct container *c, struct buf *ret)
{
	const Runtime__V1__ContainerConfig *config = c->request->config;
	_free_ char *root = container_state_path(s, c->o.id, "rootfs");
	const char *image = config->image->user_specified_image;
	struct page p;

	page_init(&p);
	pods_lock(&s->pods);
	pid_t pid = c->pid;

	pods_unlock(&s->pods);
	put_common(&p, c->o.id, str_empty(image) ? config->image->image : image, pid, c->created_ns);
	put_pairs(&p, "labels", config->labels, config->n_labels);
	put_pairs(&p, "annotations", config->annotations, config->n_annotations);
	json_put_str(p.doc, p.root, "log_path", c->log_path);
	json_put_str(p.doc, p.root, "root", root);
	return page_finish(&p, ret);
}

/* Any process of the pod will do: it is in the pod's network. */
static pid_t some_process(struct serve *s, struct pod *pod)
{
	pid_t pid = 0;

	pods_lock(&s->pods);
	pods_each_container(c, pod)
		if (c->state == CONTAINER_RUNNING && c->pid)
			pid = c->pid;
	pods_unlock(&s->pods);
	return pid;
}

static int pod_page(struct serve *s, struct pod *pod, struct buf *ret)
{
	const Runtime__V1__PodSandboxConfig *config = pod->request->config;
	struct page p;

	page_init(&p);
	put_common(&p, pod->o.id, "", some_process(s, pod), pod->created_ns);
	yyjson_mut_val *labels = put_pairs(&p, "labels", config->labels, config->n_labels);

	json_put_str(p.doc, labels, "io.kubernetes.container.name", "POD");
	put_pairs(&p, "annotations", config->annotations, config->n_annotations);
	return page_finish(&p, ret);
}

static int about(struct serve *s, const char *id, struct buf *ret)
{
	struct container *c = NULL;
	struct pod *pod = NULL;
	int status = 404;

	/* names in full only: a part of one is no answer to cAdvisor */
	if (!str_is_hex(id, POD_ID_LEN))
		return 404;
	struct err *e = pods_find_container(&s->pods, id, &c);

	if (!e) {
		status = container_page(s, c, ret);
		container_put(&s->pods, c);
		return status;
	}
	err_ignore(e);
	e = pods_find(&s->pods, id, &pod);
	if (!e)
		status = pod_page(s, pod, ret);
	err_ignore(e);
	pod_put(&s->pods, pod);
	return status;
}

static int answer(struct serve *s, const char *path, struct buf *ret)
{
	if (!strcmp(path, "/info"))
		return info(s, ret);
	return str_starts(path, CONTAINERS) ? about(s, path + strlen(CONTAINERS), ret) : 404;
}

const struct pages cadvisor_pages = {
	.key = "cadvisor_listen",
	.what = "cAdvisor is answered as CRI-O would",
	.type = "application/json",
	.answer = answer,
};
