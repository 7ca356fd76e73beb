#include "base/test.h"
#include "base/buf.h"
#include "image/config.h"
#include "image/manifest.h"

#define OCI_IMAGE  "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX  "application/vnd.oci.image.index.v1+json"
#define DOCKER_IMAGE "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define CONFIG "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":7023,\"digest\":\"" D "f\"}"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"size\":32654,\"digest\":\"" D "1\"}"
#define V2 "\"schemaVersion\":2"

static struct arena arena;

static struct err *parse(const char *json, const char *type, struct manifest *m)
{
	arena_done(&arena);
	arena_init(&arena);
	return manifest_parse(&arena, json, strlen(json), type, m);
}

TEST(manifest_of_an_image)
{
	struct manifest m;

	CHECK_OK(parse("{" V2 ",\"mediaType\":\"" OCI_IMAGE "\"," CONFIG ",\"layers\":["
		       LAYER("application/vnd.oci.image.layer.v1.tar+gzip") ","
		       LAYER("application/vnd.oci.image.layer.v1.tar+zstd") ","
		       LAYER("application/vnd.oci.image.layer.v1.tar") ","
		       LAYER("application/vnd.docker.image.rootfs.diff.tar.gzip") "],"
		       "\"annotations\":{\"a\":\"b\"},\"unknown\":[1,{}]}", OCI_IMAGE, &m));
	CHECK(!m.is_index);
	CHECK_STR(m.media_type, OCI_IMAGE);
	CHECK_STR(m.config.digest, D "f");
	CHECK_INT(m.config.size, 7023);
	CHECK_INT(m.n_layers, 4);
	CHECK_INT(m.layers[0].kind, LAYER_GZIP);
	CHECK_INT(m.layers[1].kind, LAYER_ZSTD);
	CHECK_INT(m.layers[2].kind, LAYER_TAR);
	CHECK_INT(m.layers[3].kind, LAYER_GZIP);
	CHECK_STR(m.layers[3].digest, D "1");
	CHECK_INT(m.layers[3].size, 32654);
}

TEST(manifest_type_may_come_from_header_or_members)
{
	struct manifest m;

	CHECK_OK(parse("{" V2 "," CONFIG ",\"layers\":[]}", DOCKER_IMAGE "; charset=utf-8", &m));
	CHECK_STR(m.media_type, DOCKER_IMAGE);
	CHECK_OK(parse("{" V2 "," CONFIG ",\"layers\":[]}", "APPLICATION/vnd.oci.image.manifest.v1+JSON", &m));
	CHECK_STR(m.media_type, OCI_IMAGE);
	CHECK_OK(parse("{" V2 "," CONFIG ",\"layers\":[]}", "text/plain", &m));
	CHECK_STR(m.media_type, OCI_IMAGE);
	CHECK_OK(parse("{" V2 ",\"manifests\":[]}", NULL, &m));
	CHECK(m.is_index);
	CHECK_OK(parse("{" V2 ",\"mediaType\":\"" DOCKER_LIST "\",\"manifests\":[]}", NULL, &m));
	CHECK_STR(m.media_type, DOCKER_LIST);
}

struct refusal {
	const char *json, *type;
	enum err_kind kind;
	const char *says;
};

static const struct refusal refusals[] = {
	{ "", NULL, ERR_INVALID, "not JSON" },
	{ "[]", NULL, ERR_INVALID, "not a JSON object" },
	{ "{}", NULL, ERR_INVALID, "schemaVersion" },
	{ "{" V2 "}", NULL, ERR_INVALID, "\"config\"" },
	/* CVE-2021-41190 */
	{ "{" V2 "," CONFIG ",\"layers\":[],\"manifests\":[]}", NULL, ERR_INVALID, "both" },
	{ "{" V2 "," CONFIG ",\"manifests\":[]}", NULL, ERR_INVALID, "both" },
	{ "{" V2 ",\"mediaType\":\"" OCI_INDEX "\"," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "members of another" },
	{ "{" V2 ",\"mediaType\":\"" OCI_IMAGE "\",\"manifests\":[]}", NULL, ERR_INVALID, "members of another" },
	{ "{" V2 ",\"manifests\":[]}", OCI_IMAGE, ERR_INVALID, "members of another" },
	{ "{" V2 ",\"mediaType\":\"" OCI_IMAGE "\"," CONFIG ",\"layers\":[]}", DOCKER_IMAGE, ERR_INVALID, "registry says" },
	{ "{" V2 ",\"mediaType\":\"text/plain\"," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "text/plain" },
	{ "{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, ERR_UNIMPLEMENTED, "schema 1" },
	{ "{\"schemaVersion\":1}", "application/vnd.docker.distribution.manifest.v1+prettyjws", ERR_UNIMPLEMENTED, "schema 1" },
	{ "{\"schemaVersion\":3," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "schemaVersion" },
	{ "{\"schemaVersion\":-2," CONFIG ",\"layers\":[]}", NULL, ERR_INVALID, "schemaVersion" },
	{ "{" V2 ",\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"size\":1,\"digest\":\"" D "f\"},\"layers\":[]}",
	  NULL, ERR_INVALID, "artifact of type \"application/vnd.cncf.helm.config.v1+json\"" },
	{ "{" V2 ",\"artifactType\":\"application/vnd.example.sbom\",\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\","
	  "\"size\":2,\"digest\":\"" D "f\"},\"layers\":[]}", NULL, ERR_INVALID, "artifact of type \"application/vnd.example.sbom\"" },
	{ "{" V2 ",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":4194305,\"digest\":\"" D "f\"},\"layers\":[]}",
	  NULL, ERR_EXHAUSTED, "limit" },
	{ "{" V2 ",\"config\":[],\"layers\":[]}", NULL, ERR_INVALID, "config" },
	{ "{" V2 "," CONFIG ",\"layers\":{}}", NULL, ERR_INVALID, "layers" },
	{ "{" V2 "," CONFIG ",\"layers\":[1]}", NULL, ERR_INVALID, "layer 0" },
	{ "{" V2 "," CONFIG ",\"layers\":[" LAYER("text/plain") "]}", NULL, ERR_INVALID, "text/plain" },
	{ "{" V2 "," CONFIG ",\"layers\":[" LAYER("application/vnd.oci.image.layer.v1.tar+gzip+encrypted") "]}", NULL,
	  ERR_UNIMPLEMENTED, "encrypted" },
	{ "{" V2 "," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"size\":-1,\"digest\":\"" D "f\"}]}",
	  NULL, ERR_INVALID, "size" },
	{ "{" V2 "," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"size\":1.5,\"digest\":\"" D "f\"}]}",
	  NULL, ERR_INVALID, "size" },
	{ "{" V2 "," CONFIG ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"size\":1,\"digest\":\"sha256:../../x\"}]}",
	  NULL, ERR_INVALID, "digest" },
	{ "{" V2 "," CONFIG ",\"layers\":[{\"mediaType\":\"a\\u0000b\",\"size\":1,\"digest\":\"" D "f\"}]}", NULL, ERR_INVALID, "NUL" },
	{ "{" V2 ",\"manifests\":[{\"mediaType\":\"" OCI_IMAGE "\",\"size\":4194305,\"digest\":\"" D "f\"}]}", NULL, ERR_EXHAUSTED, "limit" },
};

TEST(bad_manifests_are_refused_in_words)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct manifest m;
		struct err *e = parse(refusals[i].json, refusals[i].type, &m);

		if (!e || !strstr(err_text(e), refusals[i].says))
			fprintf(stderr, "case %zu: %s\n", i, e ? err_text(e) : "accepted");
		CHECK(e && strstr(err_text(e), refusals[i].says));
		CHECK_ERR(e, refusals[i].kind);
	}
}

TEST(manifest_counts_are_bounded)
{
	_buf_ struct buf b = BUF_INIT;
	struct manifest m;

	buf_puts(&b, "{" V2 "," CONFIG ",\"layers\":[");
	for (int i = 0; i < IMAGE_LAYERS_MAX; i++)
		buf_printf(&b, "%s%s", i ? "," : "", LAYER("application/vnd.oci.image.layer.v1.tar"));
	_free_ char *fits = base_printf("%s]}", b.data);
	_free_ char *over = base_printf("%s,1]}", b.data);

	CHECK_OK(parse(fits, NULL, &m));
	CHECK_INT(m.n_layers, IMAGE_LAYERS_MAX);
	CHECK_ERR(parse(over, NULL, &m), ERR_EXHAUSTED);

	_buf_ struct buf index = BUF_INIT;

	buf_puts(&index, "{" V2 ",\"manifests\":[0");
	for (int i = 0; i < MANIFEST_ENTRIES_MAX; i++)
		buf_puts(&index, ",0");
	buf_puts(&index, "]}");
	CHECK_ERR(parse(index.data, NULL, &m), ERR_EXHAUSTED);

	_free_ char *big = base_alloc(MANIFEST_MAX + 2);

	memset(big, ' ', MANIFEST_MAX + 1);
	CHECK_ERR(parse(big, NULL, &m), ERR_EXHAUSTED);
}

#define ENTRY(n, os, arch, variant) \
	"{\"mediaType\":\"" OCI_IMAGE "\",\"size\":1,\"digest\":\"" D #n "\",\"platform\":{\"os\":\"" os \
	"\",\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}}"
#define INDEX(entries) "{" V2 ",\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[" entries "]}"

struct choice {
	const char *index;
	struct platform p;
	char want;       /* last digit of the digest; 0: none */
};

static const struct choice choices[] = {
	{ INDEX(ENTRY(1, "linux", "arm64", "v8") "," ENTRY(2, "linux", "amd64", "")), { "linux", "amd64", "v1" }, '2' },
	{ INDEX(ENTRY(1, "linux", "arm64", "v8") "," ENTRY(2, "linux", "amd64", "")), { "linux", "arm64", "v8" }, '1' },
	{ INDEX(ENTRY(1, "linux", "arm64", "")), { "linux", "arm64", "v8" }, '1' },
	{ INDEX(ENTRY(1, "linux", "aarch64", "")), { "linux", "arm64", "v8" }, '1' },
	{ INDEX(ENTRY(1, "linux", "arm64", "v9")), { "linux", "arm64", "v8" }, 0 },
	{ INDEX(ENTRY(1, "linux", "arm", "v5") "," ENTRY(2, "linux", "arm", "v6") "," ENTRY(3, "linux", "arm", "v7")),
	  { "linux", "arm", "v7" }, '3' },
	{ INDEX(ENTRY(1, "linux", "arm", "v5") "," ENTRY(2, "linux", "arm", "v6") "," ENTRY(3, "linux", "arm", "v8")),
	  { "linux", "arm", "v7" }, '2' },
	{ INDEX(ENTRY(1, "linux", "arm", "v7") "," ENTRY(2, "linux", "arm", "v6")), { "linux", "arm", "v6" }, '2' },
	{ INDEX(ENTRY(1, "linux", "amd64", "v3") "," ENTRY(2, "linux", "amd64", "v2")), { "linux", "amd64", "v1" }, 0 },
	{ INDEX(ENTRY(1, "linux", "amd64", "v3") "," ENTRY(2, "linux", "amd64", "")), { "linux", "amd64", "v1" }, '2' },
	{ INDEX(ENTRY(1, "linux", "amd64", "") "," ENTRY(2, "linux", "amd64", "")), { "linux", "amd64", "v1" }, '1' },
	{ INDEX(ENTRY(1, "windows", "amd64", "")), { "linux", "amd64", "v1" }, 0 },
	{ INDEX(ENTRY(1, "unknown", "unknown", "") "," ENTRY(2, "linux", "amd64", "")), { "linux", "amd64", "v1" }, '2' },
	{ INDEX(ENTRY(1, "", "", "")), { "linux", "amd64", "v1" }, '1' },
	{ INDEX(ENTRY(1, "", "", "") "," ENTRY(2, "linux", "arm64", "")), { "linux", "amd64", "v1" }, 0 },
	{ INDEX("{\"mediaType\":\"application/x\",\"size\":1,\"digest\":\"" D "1\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}"),
	  { "linux", "amd64", "v1" }, 0 },
	{ INDEX(""), { "linux", "amd64", "v1" }, 0 },
};

TEST(the_platform_that_fits_best_is_chosen)
{
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		struct manifest m;
		const struct manifest_entry *got = NULL;

		CHECK_OK(parse(choices[i].index, NULL, &m));
		struct err *e = manifest_choose(&m, &choices[i].p, &got);

		if (!choices[i].want) {
			CHECK_ERR(e, ERR_NOT_FOUND);
			continue;
		}
		CHECK_OK(e);
		CHECK_INT(got->d.digest[70], choices[i].want);
	}
}

TEST(a_missing_platform_lists_what_is_there)
{
	struct manifest m;
	const struct manifest_entry *got;

	CHECK_OK(parse(INDEX(ENTRY(1, "linux", "arm", "v7") "," ENTRY(2, "windows", "amd64", "") ","
			     ENTRY(3, "unknown", "unknown", "")), NULL, &m));
	_err_ struct err *e = manifest_choose(&m, &(struct platform){ "linux", "riscv64", "" }, &got);

	CHECK_STR(err_text(e), "the image is not made for linux/riscv64, only for: linux/arm/v7, windows/amd64");
}

TEST(the_host_has_a_platform)
{
	CHECK_STR(platform_host.os, "linux");
	CHECK(*platform_host.architecture && *platform_host.variant);
}

int main(int argc, char **argv)
{
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	arena_done(&arena);
	return status;
}
