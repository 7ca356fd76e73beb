#include "base/test.h"
#include "cri/pbjson.h"

static char *as_text(const ProtobufCMessage *m, bool yaml)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct buf b = BUF_INIT;
	yyjson_mut_val *tree = pbjson_tree(doc, m);

	if (yaml)
		pbjson_write_yaml(tree, &b);
	else
		pbjson_write(tree, &b);
	yyjson_mut_doc_free(doc);
	return buf_take(&b);
}

static struct err *parse(struct arena *a, const ProtobufCMessageDescriptor *d, const char *text, ProtobufCMessage **ret)
{
	return pbjson_parse(a, d, text, strlen(text), ret);
}

static const char container_json[] =
	"{\n"
	"  \"id\": \"abc\",\n"
	"  \"podSandboxId\": \"\",\n"
	"  \"metadata\": {\n"
	"    \"name\": \"web\",\n"
	"    \"attempt\": 2\n"
	"  },\n"
	"  \"image\": null,\n"
	"  \"imageRef\": \"sha256:00\",\n"
	"  \"state\": \"CONTAINER_RUNNING\",\n"
	"  \"createdAt\": \"1700000000000000001\",\n"
	"  \"labels\": {\n"
	"    \"a\": \"1\",\n"
	"    \"b\": \"x \\\"y\\\"\\u0007\"\n"
	"  },\n"
	"  \"annotations\": {},\n"
	"  \"imageId\": \"\"\n"
	"}\n";

TEST(message_to_json_and_back)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;

	arena_init(&a);
	CHECK_OK(parse(&a, &runtime__v1__container__descriptor, container_json, &m));
	Runtime__V1__Container *c = PACK_AS(Container, m);

	CHECK_INT(c->created_at, INT64_C(1700000000000000001));
	CHECK_INT(c->state, RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING);
	CHECK(c->n_labels == 2 && !c->image);
	/* Keys are sorted on output. */
	Runtime__V1__Container__LabelsEntry *first = c->labels[0];

	c->labels[0] = c->labels[1];
	c->labels[1] = first;
	_free_ char *text = as_text(m, false);

	CHECK_STR(text, container_json);
}

TEST(message_to_yaml)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;

	arena_init(&a);
	CHECK_OK(parse(&a, &runtime__v1__container_config__descriptor,
		       "{\"metadata\":{\"name\":\"no\"},\"image\":{\"image\":\"docker.io/x:1.0\"},\"args\":[\"a b\",\"-c\",\"8080\"],"
		       "\"envs\":[{\"key\":\"K\",\"value\":\"v\"}],\"mounts\":[{\"host_path\":\"/h\"}],\"tty\":true}",
		       &m));
	Runtime__V1__ContainerConfig *c = PACK_AS(ContainerConfig, m);

	CHECK(c->n_envs == 1 && c->envs[0]->value.len == 1 && c->envs[0]->value.data[0] == 'v');
	_free_ char *text = as_text(m, true);

	static const char begin[] = "metadata:\n"
				    "  name: \"no\"\n"
				    "  attempt: 0\n"
				    "image:\n"
				    "  image: docker.io/x:1.0\n"
				    "  annotations: {}\n"
				    "  userSpecifiedImage: \"\"\n"
				    "  runtimeHandler: \"\"\n"
				    "  imageRef: \"\"\n"
				    "command: []\n"
				    "args:\n"
				    "- \"a b\"\n"
				    "- \"-c\"\n"
				    "- \"8080\"\n"
				    "workingDir: \"\"\n"
				    "envs:\n"
				    "- key: K\n"
				    "  value: v\n"
				    "mounts:\n"
				    "- containerPath: \"\"\n"
				    "  hostPath: /h\n";

	CHECK(!strncmp(text, begin, sizeof(begin) - 1));
	CHECK(strstr(text, "CDIDevices: []\n") && strstr(text, "tty: true\n") && strstr(text, "linux: null\n"));
}

TEST(bytes_are_base64_but_for_text_of_environment)
{
	Runtime__V1__ExecSyncResponse r = RUNTIME__V1__EXEC_SYNC_RESPONSE__INIT;
	Runtime__V1__KeyValue kv = RUNTIME__V1__KEY_VALUE__INIT;

	r.stdout.data = (uint8_t *)"hello";
	r.stdout.len = 5;
	r.stderr.data = (uint8_t *)"\xff";
	r.stderr.len = 1;
	_free_ char *text = as_text(&r.base, false);

	CHECK_STR(text, "{\n  \"stdout\": \"aGVsbG8=\",\n  \"stderr\": \"/w==\",\n  \"exitCode\": 0\n}\n");
	kv.key = (char *)"K";
	kv.value.data = (uint8_t *)"gr\xc3\xbc\xc3\x9f";
	kv.value.len = 6;
	_free_ char *utf8 = as_text(&kv.base, false);

	CHECK_STR(utf8, "{\n  \"key\": \"K\",\n  \"value\": \"gr\xc3\xbc\xc3\x9f\"\n}\n");
	kv.value.data = (uint8_t *)"\xff\xfe";
	kv.value.len = 2;
	_free_ char *binary = as_text(&kv.base, false);

	CHECK_STR(binary, "{\n  \"key\": \"K\",\n  \"value\": \"//4=\"\n}\n");
}

TEST(all_messages_of_cri_have_a_json_form)
{
	static const ProtobufCServiceDescriptor *const services[] = {
		&runtime__v1__runtime_service__descriptor,
		&runtime__v1__image_service__descriptor,
	};

	for (size_t s = 0; s < ARRAY_LEN(services); s++)
		for (unsigned i = 0; i < services[s]->n_methods; i++) {
			const ProtobufCMessageDescriptor *d = services[s]->methods[i].output;
			_free_ ProtobufCMessage *m = base_alloc(d->sizeof_message);
			_arena_ struct arena a;
			ProtobufCMessage *back = NULL;

			d->message_init(m);
			_free_ char *text = as_text(m, false);

			arena_init(&a);
			CHECK_OK(parse(&a, d, text, &back));
		}
}

TEST(psi_numbers)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;

	arena_init(&a);
	CHECK_OK(parse(&a, &runtime__v1__psi_data__descriptor, "{\"Total\":\"18446744073709551615\",\"Avg10\":1.5}", &m));
	_free_ char *text = as_text(m, false);

	CHECK_STR(text, "{\n  \"Total\": \"18446744073709551615\",\n  \"Avg10\": 1.5,\n  \"Avg60\": 0.0,\n  \"Avg300\": 0.0\n}\n");
}

TEST(parse_says_which_field_is_wrong)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "{", "not JSON: unexpected end of data at byte 1" },
		{ "[]", "an object is wanted, not array" },
		{ "{\"nam\":1}", "PodSandboxConfig has no field \"nam\"" },
		{ "{\"metadata\":{\"name\":5}}", "metadata: name: text is wanted, not uint" },
		{ "{\"metadata\":{\"attempt\":-1}}", "metadata: attempt: the number does not fit 32 bits without sign" },
		{ "{\"metadata\":{\"attempt\":4294967296}}",
		  "metadata: attempt: the number does not fit 32 bits without sign" },
		{ "{\"port_mappings\":[{\"protocol\":\"XYZ\"}]}",
		  "port_mappings: [0]: protocol: Protocol has no value \"XYZ\"" },
		{ "{\"portMappings\":{}}", "portMappings: a list is wanted, not object" },
		{ "{\"labels\":[]}", "labels: an object is wanted, not array" },
		{ "{\"labels\":{\"k\":1}}", "labels: k: text is wanted, not uint" },
		{ "{\"hostname\":\"a\\u0000b\"}", "hostname: text may not hold NUL" },
		{ "{\"linux\":{\"security_context\":{\"privileged\":1}}}",
		  "linux: security_context: privileged: true or false is wanted, not uint" },
		{ "{\"linux\":{\"resources\":{\"cpu_quota\":\"12x\"}}}",
		  "linux: resources: cpu_quota: \"12x\" is not an integer" },
		{ "{\"linux\":{\"resources\":{\"cpu_quota\":9223372036854775808}}}",
		  "linux: resources: cpu_quota: the number does not fit 64 bits" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_arena_ struct arena a;
		ProtobufCMessage *m;

		arena_init(&a);
		_err_ struct err *e = parse(&a, &runtime__v1__pod_sandbox_config__descriptor, rows[i].text, &m);

		CHECK(e);
		CHECK_STR(err_text(e), rows[i].want);
	}
}

TEST(parse_takes_both_names_numbers_as_text_and_enums_by_number)
{
	_arena_ struct arena a;
	ProtobufCMessage *m = NULL;

	arena_init(&a);
	CHECK_OK(parse(&a, &runtime__v1__pod_sandbox_config__descriptor,
		       "{\"log_directory\":\"/l\",\"portMappings\":[{\"protocol\":1,\"container_port\":\"80\"},{\"protocol\":\"SCTP\"}],"
		       "\"linux\":{\"resources\":{\"cpu_quota\":\"-1\",\"cpuPeriod\":100000},"
		       "\"security_context\":{\"supplemental_groups\":[1,\"2\"],\"run_as_user\":{\"value\":1000},"
		       "\"namespace_options\":{\"network\":\"NODE\"}},\"sysctls\":{\"a\":\"b\"}},\"windows\":null}",
		       &m));
	Runtime__V1__PodSandboxConfig *c = PACK_AS(PodSandboxConfig, m);

	CHECK_STR(c->log_directory, "/l");
	CHECK(c->n_port_mappings == 2 && c->port_mappings[0]->protocol == RUNTIME__V1__PROTOCOL__UDP);
	CHECK_INT(c->port_mappings[0]->container_port, 80);
	CHECK_INT(c->linux->resources->cpu_quota, -1);
	CHECK_INT(c->linux->resources->cpu_period, 100000);
	CHECK_INT(c->linux->security_context->supplemental_groups[1], 2);
	CHECK_INT(c->linux->security_context->run_as_user->value, 1000);
	CHECK(!c->windows && c->linux->n_sysctls == 1);
}

TEST_MAIN
