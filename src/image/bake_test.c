/* bake as people call it: stores from archives in all forms, and the same bytes each time. */
#include "base/log.h"
#include "image/archive_testing.h"
#include "image/bake.h"

/* `crisp bake` with blanks between the words; its exit status. %: the test's directory. */
static int bake(const char *line)
{
	_strv_ struct strv words = { 0 };
	char *save = NULL;
	_free_ char *copy = base_strdup(line);

	strv_push(&words, "bake");
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		char *percent = strchr(w, '%');

		if (percent)
			strv_push_take(&words, base_printf("%.*s%s%s", (int)(percent - w), w, dir, percent + 1));
		else
			strv_push(&words, w);
	}
	optind = 0;
	return bake_main((int)words.len, words.items);
}

static bool same_tree(const char *a, const char *b)
{
	return shell("for d in %s %s; do (cd $d && find . -printf '%%M %%s %%T@ %%p\\n' | grep -v ^d | LC_ALL=C sort && "
		     "find . -type f | LC_ALL=C sort | xargs sha256sum) >$d.list; done; cmp %s.list %s.list", a, b, a, b) == 0;
}

TEST(bake_gives_the_same_bytes_whatever_the_form_and_the_umask)
{
	char id[72], manifest[72];

	make_layout("l", "registry.test/app:1", "one", id, manifest);
	CHECK_INT(shell("tar -C l -cf l.tar . && gzip -kf l.tar && zstd -qkf l.tar"), 0);
	CHECK_INT(bake("-o %/a oci:%/l"), 0);
	umask(077);
	CHECK_INT(bake("-o %/b oci:%/l.tar"), 0);
	umask(0);
	CHECK_INT(bake("-o %/c oci-archive:%/l.tar.gz"), 0);
	CHECK_INT(bake("-o %/d %/l.tar.zst:registry.test/app:1"), 0);
	CHECK(same_tree("a", "b") && same_tree("a", "c") && same_tree("a", "d"));
	CHECK_INT(shell("test -f a/images/%s/record && grep -qx 'registry.test/app:1' a/names/* && "
			"grep -qx 'registry.test/app@%s' a/names/* && test $(ls a/layers | wc -l) = 2 && test $(ls a | wc -l) = 3",
			id + 7, manifest), 0);
}

TEST(bake_makes_one_image_that_fsck_erofs_likes_and_the_same_twice)
{
	char id[72], manifest[72];

	make_layout("l", "registry.test/app:1", "one", id, manifest);
	CHECK_INT(bake("-o %/1.erofs oci:%/l"), 0);
	CHECK_INT(bake("-o %/2.erofs oci:%/l"), 0);
	CHECK_INT(shell("cmp 1.erofs 2.erofs"), 0);
	if (shell("command -v fsck.erofs") == 0) {
		CHECK_INT(bake("-o %/e oci:%/l"), 0);
		CHECK_INT(shell("fsck.erofs --extract=x 1.erofs && diff -r x e"), 0);
	}
}

TEST(bake_keys_a_docker_archives_layers_by_their_own_bytes_and_the_image_by_its_configuration)
{
	char id[72], manifest[72];

	make_layout("l", "registry.test/app:1", "one", id, manifest);
	CHECK_INT(shell("tar -C l.docker -cf d.tar . && zstd -qkf d.tar && sha256sum 0.tar 1.tar | cut -c1-64 | sort >want"), 0);
	CHECK_INT(bake("-o %/da docker-archive:%/d.tar"), 0);
	CHECK_INT(bake("-o %/db docker-archive:%/d.tar.zst:registry.test/app:1"), 0);
	CHECK(same_tree("da", "db"));
	CHECK_INT(shell("ls da/layers | cmp - want && test -f da/images/%s/record && ! grep -q @ da/names/*", id + 7), 0);
	/* both forms of it are one image, with one set of layers */
	CHECK_INT(bake("-o %/both docker-archive:%/d.tar oci:%/l"), 0);
	CHECK_INT(bake("-o %/htob oci:%/l docker-archive:%/d.tar"), 0);
	CHECK(same_tree("both", "htob"));
	CHECK_INT(shell("test $(ls both/images | wc -l) = 1 && test $(ls both/layers | wc -l) = 2"), 0);
}

TEST(bake_takes_a_docker_archive_with_compressed_layers_and_links)
{
	char id[72], manifest[72];

	make_layout("l", "registry.test/app:1", "one", id, manifest);
	CHECK_INT(shell("rm -rf g && mkdir g g/sub && cp 0.tar.gz g/0.tar.gz && cp 1.tar.gz g/sub/1.tar.gz && ln -s ../sub/./1.tar.gz g/sub/link && "
			"cp config g/c.json && echo '[{\"Config\":\"c.json\",\"RepoTags\":null,\"Layers\":[\"0.tar.gz\",\"sub/link\"]}]' "
			">g/manifest.json && tar -C g -czf g.tgz ."), 0);
	CHECK_INT(bake("-o %/g1 registry.test/other:2=docker-archive:%/g.tgz"), 0);
	CHECK_INT(shell("test -f g1/images/%s/record && grep -qx registry.test/other:2 g1/names/* && "
			"sha256sum <0.tar.gz | cut -c1-64 | xargs -I{} test -f g1/layers/{}", id + 7), 0);
}

TEST(bake_refuses_in_words_and_leaves_nothing)
{
	char id[72], manifest[72];

	make_layout("l", "1", "one", id, manifest);
	make_layout("l2", "1", "two", id, manifest);
	CHECK_INT(shell("cp -r l bad && : >bad/index.json && bzip2 -kf 0.tar; mkdir -p full && : >full/x && mkdir -p none"), 0);
	CHECK_INT(bake("-o %/r oci:%/bad"), 1);
	CHECK_INT(bake("-o %/r oci:%/missing"), 1);
	CHECK_INT(bake("-o %/r oci:%/none"), 1);
	CHECK_INT(bake("-o %/r %/0.tar.bz2"), 1);
	CHECK_INT(bake("-o %/r %/0.tar"), 1);
	CHECK_INT(bake("-o %/r oci:%/l:2"), 1);
	CHECK_INT(bake("-o %/full oci:%/l"), 1);
	CHECK_INT(bake("-o %/r --platform linux/riscv64 oci:%/l"), 1);
	CHECK_INT(bake("-o %/r --platform linux oci:%/l"), 1);
	CHECK_INT(bake("-o %/r x.test/a:1=oci:%/l x.test/a:1=oci:%/l2"), 1);
	CHECK_INT(bake("-o %/r"), 2);
	CHECK_INT(shell("! ls -d r* full.*"), 0);
	CHECK_INT(bake("-o %/r x.test/a:1=oci:%/l:1 x.test/a:2=oci:%/l2:1"), 0);
}

TEST(bake_checks_what_an_archive_says)
{
	char id[72], manifest[72];

	make_layout("l", "x.test/a:1", "one", id, manifest);
	CHECK_INT(shell("cp -r l f && printf x >>f/blobs/sha256/%s", id + 7), 0);
	CHECK_INT(bake("-o %/f1 oci:%/f"), 1);
	CHECK_INT(shell("rm -rf f && cp -r l f && for b in f/blobs/sha256/*; do "
			"[ $(stat -c %%s $b) != $(stat -c %%s 1.tar.gz) ] || { cp $b t1 && printf x | dd of=t1 bs=1 seek=100 conv=notrunc && cp t1 $b; }; done"), 0);
	CHECK_INT(bake("-o %/f1 oci:%/f"), 1);
	/* a docker archive's layer that is not what the configuration says */
	CHECK_INT(shell("f=$(sha256sum <1.tar | cut -c1-64) && printf x | dd of=l.docker/blobs/sha256/$f bs=1 seek=600 conv=notrunc && tar -C l.docker -cf f.tar ."), 0);
	CHECK_INT(bake("-o %/f1 docker-archive:%/f.tar"), 1);
	CHECK_INT(shell("! ls -d f1*"), 0);
}

/* CVE-2023-25153: containerd read an archive's files whole, whatever their size. */
TEST(cve_2023_25153_archives_are_bounded)
{
	CHECK_INT(shell("rm -rf h && mkdir h && truncate -s 300M h/index.json && tar -C h -cf h.tar index.json && gzip -1 h.tar && "
			"rm h/index.json && cd h && seq 70000 | xargs touch && tar -cf ../many.tar . && cd .. && rm -rf h"), 0);
	CHECK_INT(bake("-o %/h1 %/h.tar.gz"), 1);
	CHECK_INT(bake("-o %/h1 %/many.tar"), 1);
	CHECK_INT(shell("! ls -d h1*; rm -f h.tar.gz many.tar"), 0);
}

ARCHIVE_TEST_MAIN
