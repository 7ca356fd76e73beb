#include "spec/spec.h"

#include "base/str.h"
#include "spec/build.h"

#define SPEC_OCI_VERSION "1.2.0"

/* The keys that containerd uses, so that what reads them (an external runtime, a tool) finds them. Nothing that
 * the image or the pod's author writes comes in here (rule R6). */
static void build_annotations(struct build *b, yyjson_mut_val *root)
{
	const Runtime__V1__PodSandboxMetadata *pod = b->in->pod ? b->in->pod->metadata : NULL;
	const Runtime__V1__ContainerConfig *c = b->in->container;
	yyjson_mut_val *obj = json_put_obj(b->doc, root, "annotations");

	json_put_str(b->doc, obj, "io.kubernetes.cri.container-type", "container");
	json_put_str(b->doc, obj, "io.kubernetes.cri.container-name", c->metadata ? c->metadata->name : NULL);
	json_put_str(b->doc, obj, "io.kubernetes.cri.image-name", c->image ? c->image->image : NULL);
	json_put_str(b->doc, obj, "io.kubernetes.cri.sandbox-id", b->in->pod_id);
	json_put_str(b->doc, obj, "io.kubernetes.cri.sandbox-name", pod ? pod->name : NULL);
	json_put_str(b->doc, obj, "io.kubernetes.cri.sandbox-namespace", pod ? pod->namespace_ : NULL);
	json_put_str(b->doc, obj, "io.kubernetes.cri.sandbox-uid", pod ? pod->uid : NULL);
}

static void build_root(struct build *b, yyjson_mut_val *root)
{
	yyjson_mut_val *obj = json_put_obj(b->doc, root, "root");

	json_put_str(b->doc, obj, "path", b->in->rootfs);
	yyjson_mut_obj_add_bool(b->doc, obj, "readonly", b->sc->readonly_rootfs);
}

static struct err *build_all(struct build *b, struct buf *ret_json)
{
	yyjson_mut_val *root = yyjson_mut_obj(b->doc);

	yyjson_mut_doc_set_root(b->doc, root);
	json_put_str(b->doc, root, "ociVersion", SPEC_OCI_VERSION);
	build_root(b, root);
	TRY(build_caps(b));
	TRY(build_process(b, root));
	TRY(build_mounts(b, root));
	TRY(build_linux(b, root));
	build_annotations(b, root);
	return json_write(b->doc, 0, ret_json);
}

struct err *spec_build(const struct spec_input *in, struct buf *ret_json)
{
	static const Runtime__V1__LinuxContainerSecurityContext no_context =
		RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	static const Runtime__V1__NamespaceOption no_namespaces = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	const Runtime__V1__LinuxContainerConfig *l = in->container->linux;
	const Runtime__V1__LinuxContainerResources *res = l ? l->resources : NULL;
	_arena_ struct arena a;
	struct build b = {
		.arena = &a, .in = in,
		.sc = l && l->security_context ? l->security_context : &no_context,
	};

	arena_init(&a);
	b.ns = b.sc->namespace_options ? b.sc->namespace_options : &no_namespaces;
	b.doc = json_new(&a);
	TRY(resources_from_cri(&a, res, &b.resources));
	if (res) {
		b.has_oom_score_adj = true;
		b.oom_score_adj = res->oom_score_adj;
	}
	return build_all(&b, ret_json);
}
