/* What handlers, recovery and undo need to know of a pod or container: names, paths, records, CNI. */
#include "cri/serve.h"

#include "base/file.h"
#include "cri/cgroups.h"
#include "store/record.h"

#include <fcntl.h>
#include <stdio.h>

static char *join_path(const char *dir, const char *id, const char *name)
{
	return name ? base_printf("%s/%s/%s", dir, id, name) : base_printf("%s/%s", dir, id);
}

char *pod_state_path(struct serve *s, const char *id, const char *name)
{
	return join_path(s->pods_state, id, name);
}

char *container_state_path(struct serve *s, const char *id, const char *name)
{
	return join_path(s->containers_state, id, name);
}

char *container_root_path(struct serve *s, const char *id, const char *name)
{
	return join_path(s->containers_dir, id, name);
}

void pod_derive(struct serve *s, struct pod *p)
{
	p->dir = pod_state_path(s, p->o.id, NULL);
	p->cgroup_parent = cgroups_of_pod(s, p);
	if (pod_namespace_options(p)->network == RUNTIME__V1__NAMESPACE_MODE__POD)
		p->netns_path = pod_netns_path(p->o.id);
}

char *pod_netns_path(const char *id)
{
	return base_printf("/run/netns/crisp-%.16s", id);
}

void container_derive(struct container *c)
{
	const char *log_dir = c->pod->request->config->log_directory;
	const char *log_path = c->request->config->log_path;

	if (!str_empty(log_dir) && !str_empty(log_path))
		c->log_path = base_printf("%s/%s", log_dir, log_path);
}

const Runtime__V1__PodSandboxMetadata *pod_metadata(const struct pod *p)
{
	static const Runtime__V1__PodSandboxMetadata none = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;

	return p->request && p->request->config->metadata ? p->request->config->metadata : &none;
}

const Runtime__V1__ContainerMetadata *container_metadata(const struct container *c)
{
	static const Runtime__V1__ContainerMetadata none = RUNTIME__V1__CONTAINER_METADATA__INIT;

	return c->request && c->request->config->metadata ? c->request->config->metadata : &none;
}

const Runtime__V1__NamespaceOption *pod_namespace_options(const struct pod *p)
{
	static const Runtime__V1__NamespaceOption none = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	const Runtime__V1__LinuxPodSandboxConfig *l = p->request ? p->request->config->linux : NULL;

	if (!l || !l->security_context || !l->security_context->namespace_options)
		return &none;
	return l->security_context->namespace_options;
}

static const char *protocol_name(Runtime__V1__Protocol protocol)
{
	switch (protocol) {
	case RUNTIME__V1__PROTOCOL__UDP:
		return "udp";
	case RUNTIME__V1__PROTOCOL__SCTP:
		return "sctp";
	default:
		return "tcp";
	}
}

static void collect_ports(struct arena *a, const Runtime__V1__PodSandboxConfig *config, struct cni_pod *ret)
{
	struct cni_port *ports = arena_calloc(a, config->n_port_mappings + 1, sizeof(*ports));

	for (size_t i = 0; i < config->n_port_mappings; i++) {
		const Runtime__V1__PortMapping *m = config->port_mappings[i];

		if (m->host_port <= 0)
			continue; /* not published */
		ports[ret->n_ports++] = (struct cni_port){
			.host_port = (uint32_t)m->host_port,
			.container_port = (uint32_t)m->container_port,
			.protocol = protocol_name(m->protocol),
			.host_ip = m->host_ip,
		};
	}
	ret->ports = ports;
}

/* "10M" as in the kubernetes.io/ingress-bandwidth annotation: a resource quantity in bits a second. */
static uint64_t parse_rate(const char *text)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = { { "k", 1000 },	   { "M", 1000000 },	{ "G", 1000000000 }, { "Ki", 1u << 10 },
		      { "Mi", 1u << 20 }, { "Gi", 1u << 30 }, { "", 1 } };
	size_t digits = 0;
	uint64_t v;

	while (text[digits] >= '0' && text[digits] <= '9')
		digits++;
	_free_ char *number = base_strndup(text, digits);

	if (!str_to_u64(number, UINT64_C(1) << 40, &v))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq(text + digits, units[i].suffix))
			return v * units[i].factor;
	return 0;
}

static uint64_t rate_annotation(const Runtime__V1__PodSandboxConfig *config, const char *key)
{
	for (size_t i = 0; i < config->n_annotations; i++)
		if (str_eq(config->annotations[i]->key, key))
			return parse_rate(config->annotations[i]->value);
	return 0;
}

void pod_cni(struct serve *s, struct arena *a, const struct pod *p, struct cni_pod *ret)
{
	const Runtime__V1__PodSandboxConfig *config = p->request->config;
	const Runtime__V1__DNSConfig *dns = config->dns_config;

	(void)s;
	*ret = (struct cni_pod){
		.id = p->o.id,
		.name = pod_metadata(p)->name,
		.namespace = pod_metadata(p)->namespace_,
		.uid = pod_metadata(p)->uid,
		.netns = p->netns_path,
		.cgroup_parent = p->cgroup_parent,
		.ingress_rate = rate_annotation(config, "kubernetes.io/ingress-bandwidth"),
		.egress_rate = rate_annotation(config, "kubernetes.io/egress-bandwidth"),
	};
	collect_ports(a, config, ret);
	if (!dns)
		return;
	struct cni_dns *d = arena_alloc(a, sizeof(*d));
	const char **lists[] = { arena_calloc(a, dns->n_servers + 1, sizeof(char *)),
				 arena_calloc(a, dns->n_searches + 1, sizeof(char *)),
				 arena_calloc(a, dns->n_options + 1, sizeof(char *)) };

	for (size_t i = 0; i < dns->n_servers; i++)
		lists[0][i] = dns->servers[i];
	for (size_t i = 0; i < dns->n_searches; i++)
		lists[1][i] = dns->searches[i];
	for (size_t i = 0; i < dns->n_options; i++)
		lists[2][i] = dns->options[i];
	*d = (struct cni_dns){ lists[0], lists[1], lists[2] };
	ret->dns = d;
}

/* ---- records --------------------------------------------------------------------------------- */

static void add_packed(struct buf *b, enum record_tag tag, const ProtobufCMessage *m)
{
	if (!m)
		return;
	size_t len = protobuf_c_message_get_packed_size(m);
	_free_ uint8_t *bytes = base_alloc(len);

	protobuf_c_message_pack(m, bytes);
	record_add(b, tag, bytes, len);
}

static void add_lines(struct buf *b, enum record_tag tag, const struct strv *lines)
{
	_buf_ struct buf text = BUF_INIT;

	for (size_t i = 0; i < lines->len; i++)
		buf_printf(&text, "%s\n", lines->items[i]);
	record_add(b, tag, buf_text(&text), text.len);
}

struct err *pod_save(struct serve *s, struct pod *p, const void *request, size_t len)
{
	Runtime__V1__PodSandboxStatus status = RUNTIME__V1__POD_SANDBOX_STATUS__INIT;
	Runtime__V1__PodSandboxNetworkStatus network = RUNTIME__V1__POD_SANDBOX_NETWORK_STATUS__INIT;
	_buf_ struct buf b = BUF_INIT;
	_close_ int dir = -1;
	Runtime__V1__PodIP *ips = base_calloc(p->ips.len, sizeof(*ips));
	Runtime__V1__PodIP **list = base_calloc(p->ips.len, sizeof(*list));

	for (size_t i = 1; i < p->ips.len; i++) {
		runtime__v1__pod_ip__init(&ips[i]);
		ips[i].ip = p->ips.items[i];
		list[i - 1] = &ips[i];
	}
	if (p->ips.len) {
		network.ip = p->ips.items[0];
		network.additional_ips = list;
		network.n_additional_ips = p->ips.len - 1;
		status.network = &network;
	}
	status.id = p->o.id;
	status.created_at = p->created_ns;
	record_begin(&b);
	record_add(&b, RECORD_REQUEST, request, len);
	add_packed(&b, RECORD_STATUS, &status.base);
	add_packed(&b, RECORD_RESOURCES, p->resources ? &p->resources->base : NULL);
	record_add_str(&b, RECORD_STEPS, p->o.steps);
	add_packed(&b, RECORD_OVERHEAD, p->overhead ? &p->overhead->base : NULL);
	record_add_str(&b, RECORD_BOOT, s->boot_id);
	if (p->selinux_level)
		record_add_str(&b, RECORD_SELINUX, p->selinux_level);
	free(list);
	free(ips);
	TRY(file_open_dir(s->pods_fd, p->o.id, true, 0700, &dir));
	return err_wrap(record_write(dir, "record", &b), "record of pod %.12s", p->o.id);
}

struct err *container_save(struct serve *s, struct container *c, const void *request, size_t len)
{
	Runtime__V1__ContainerStatus status = RUNTIME__V1__CONTAINER_STATUS__INIT;
	Runtime__V1__ContainerUser user = RUNTIME__V1__CONTAINER_USER__INIT;
	Runtime__V1__LinuxContainerUser ids = RUNTIME__V1__LINUX_CONTAINER_USER__INIT;
	_buf_ struct buf b = BUF_INIT;
	_close_ int dir = -1;
	_free_ int64_t *groups = base_calloc(c->n_groups, sizeof(*groups));

	for (size_t i = 0; i < c->n_groups; i++)
		groups[i] = c->groups[i];
	ids.uid = c->uid;
	ids.gid = c->gid;
	ids.supplemental_groups = groups;
	ids.n_supplemental_groups = c->n_groups;
	user.linux = &ids;
	status.user = &user;
	status.id = c->o.id;
	status.created_at = c->created_ns;
	status.message = c->message ? c->message : "";
	record_begin(&b);
	record_add(&b, RECORD_REQUEST, request, len);
	add_packed(&b, RECORD_STATUS, &status.base);
	add_packed(&b, RECORD_RESOURCES, c->resources ? &c->resources->base : NULL);
	add_lines(&b, RECORD_LAYERS, &c->layers);
	record_add_str(&b, RECORD_IMAGE, c->image_id);
	record_add_str(&b, RECORD_CGROUP, c->cgroup);
	record_add_str(&b, RECORD_STEPS, c->o.steps);
	record_add_str(&b, RECORD_BOOT, s->boot_id);
	TRY(file_open_dir(s->containers_fd, c->o.id, true, 0700, &dir));
	return err_wrap(record_write(dir, "record", &b), "record of container %.12s", c->o.id);
}
