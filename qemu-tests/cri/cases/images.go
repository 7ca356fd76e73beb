package cases

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/suite"
)

var imageCases = []suite.Case{
	{Name: "pull-status-list-remove", Run: imageLife},
	{Name: "one-id-everywhere", Run: imageOneID, CrispOnly: "a contract of CRI 0.36"},
	{Name: "pull-by-digest", Run: imageByDigest},
	{Name: "pull-by-tag-and-digest", Run: imageByBoth},
	{Name: "two-tags-are-one-image", Run: imageTwoTags},
	{Name: "tag-that-moves", Run: imageMoves},
	{Name: "pull-again", Run: imageAgain},
	{Name: "remove-twice", Run: imageRemoveTwice},
	{Name: "remove-while-used", Run: imageRemoveUsed},
	{Name: "status-of-what-is-not-there", Run: imageNotThere},
	{Name: "list-filter", Run: imageFilter},
	{Name: "user-of-the-image", Run: imageUser},
	{Name: "pinned", Run: imagePinned, CrispOnly: "containerd pins its pause image only"},
	{Name: "file-system-info", Run: imageFsInfo},
	{Name: "removed-gives-the-room-back", Run: imageRoom},
	{Name: "shared-layers-once", Run: imageShared, CrispOnly: "containerd keeps blobs too"},
	{Name: "same-layer-twice", Run: imageSameLayer},
	{Name: "ten-callers-one-pull", Run: imageTenCallers},
	{Name: "cancelled-pull-ends", Run: imageCancelled},
	{Name: "caller-leaves-others-stay", Run: imageOneLeaves},
	{Name: "bad-references", Run: imageBadRefs},
	{Name: "docker-schema-2", Run: imageDocker},
	{Name: "index-chooses-platform", Run: imageIndex},
	{Name: "layer-kinds", Run: imageLayerKinds},
	{Name: "no-layers", Run: imageNoLayers},
	{Name: "many-layers", Run: imageManyLayers},
	{Name: "registry-toybox", Run: registryToybox},
	{Name: "registry-without-credentials", Run: registryNoAuth},
	{Name: "registry-wrong-credentials", Run: registryWrongAuth},
	{Name: "registry-layers-and-zstd", Run: registryLayers},
	{Name: "registry-configuration", Run: registryConfig},
	{Name: "registry-multi-architecture", Run: registryMulti},
	{Name: "registry-other-architecture-only", Run: registryOther},
}

func spec(ref string) *runtimeapi.ImageSpec {
	return &runtimeapi.ImageSpec{Image: ref}
}

func pull(t *suite.T, ref string) (string, error) {
	r, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref)})
	return r.GetImageRef(), err
}

func imageStatus(t *suite.T, ref string) *runtimeapi.Image {
	r, err := t.Images.ImageStatus(t.Ctx, &runtimeapi.ImageStatusRequest{Image: spec(ref)})
	t.Must(err, "ImageStatus")
	return r.Image
}

// serve makes a small image available; nothing is pulled yet. What is pulled of it goes when the case ends.
func serve(t *suite.T, more ...oci.Layer) (ref string, image *oci.Image) {
	image = oci.New(oci.Options{Config: suite.BaseConfig()}, append([]oci.Layer{t.Program, suite.BaseTree(), t.Padding(4096)}, more...)...)
	ref = t.Local.Put(fmt.Sprintf("critests/image-%d", t.Next()), "1", image)
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	return ref, image
}

func digestRef(ref string, image *oci.Image) string {
	return cutTag(ref) + "@" + image.Digest()
}

func cutTag(ref string) string {
	name, _, _ := cutLast(ref, ":")
	return name
}

func cutLast(s, sep string) (string, string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func imageLife(t *suite.T) {
	ref, image := serve(t)
	if got := imageStatus(t, ref); got != nil {
		t.Fatalf("it is there before it is pulled: %v", got)
	}
	got, err := pull(t, ref)
	t.Must(err, "PullImage")
	if got == "" {
		t.Errorf("no reference in the answer")
	}
	s := imageStatus(t, ref)
	if s == nil {
		t.Fatalf("not there after the pull")
	}
	suite.Equal(t, "ID", s.Id, image.ID())
	suite.Equal(t, "tags", strings.Join(s.RepoTags, " "), ref)
	suite.Equal(t, "digests", strings.Join(s.RepoDigests, " "), digestRef(ref, image))
	if s.Size == 0 {
		t.Errorf("size 0: the kubelet refuses that")
	}
	for _, name := range []string{s.Id, got, digestRef(ref, image), strings.TrimPrefix(s.Id, "sha256:")} {
		if found := imageStatus(t, name); found == nil || found.Id != s.Id {
			t.Errorf("status by %s: %v", name, found)
		}
	}
	list, err := t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{})
	t.Must(err, "ListImages")
	n := 0
	for _, i := range list.Images {
		if i.Id == s.Id {
			n++
			suite.Equal(t, "listed size", i.Size, s.Size)
			suite.Equal(t, "listed tags", strings.Join(i.RepoTags, " "), ref)
		}
	}
	suite.Equal(t, "times it is listed", n, 1)
	removeImage(t, ref)
	if imageStatus(t, ref) != nil || imageStatus(t, s.Id) != nil {
		t.Errorf("still there after its removal")
	}
}

// CRI 0.36: Image.id, Container.image_id, ContainerStatus.image_id and PullImageResponse.image_ref are identical.
func imageOneID(t *suite.T) {
	ref, image := serve(t)
	got, err := pull(t, ref)
	t.Must(err, "PullImage")
	p := t.RunPod()
	c := p.Run(suite.Image(ref))
	list, err := t.CRI.ListContainers(t.Ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{Id: c.ID}})
	t.Must(err, "ListContainers")
	s := c.Status()
	for what, id := range map[string]string{"PullImageResponse.image_ref": got, "Image.id": imageStatus(t, ref).Id,
		"ContainerStatus.image_id": s.ImageId, "ContainerStatus.image_ref": s.ImageRef,
		"Container.image_id": list.Containers[0].ImageId, "Container.image_ref": list.Containers[0].ImageRef} {
		suite.Equal(t, what, id, image.ID())
	}
	suite.Equal(t, "image of the status", s.Image.Image, ref)
}

func imageByDigest(t *suite.T) {
	ref, image := serve(t)
	byDigest := digestRef(ref, image)
	t.Cleanup(func(t *suite.T) { removeImage(t, byDigest) })
	_, err := pull(t, byDigest)
	t.Must(err, "PullImage by digest")
	s := imageStatus(t, byDigest)
	suite.Equal(t, "ID", s.GetId(), image.ID())
	suite.Equal(t, "tags", strings.Join(s.GetRepoTags(), " "), "")
	suite.Equal(t, "digests", strings.Join(s.GetRepoDigests(), " "), byDigest)
	t.RunPod().RunToEnd(suite.Image(byDigest), suite.Payload("exit")).WantExit(0)
}

func imageByBoth(t *suite.T) {
	ref, image := serve(t)
	both := ref + "@" + image.Digest()
	t.Cleanup(func(t *suite.T) { removeImage(t, image.ID()) })
	_, err := pull(t, both)
	t.Must(err, "PullImage by tag and digest")
	suite.Equal(t, "ID", imageStatus(t, both).GetId(), image.ID())
}

func imageTwoTags(t *suite.T) {
	ref, image := serve(t)
	other := t.Local.Put("critests/other-name", "2", image)
	for _, r := range []string{ref, other} {
		_, err := pull(t, r)
		t.Must(err, "PullImage %s", r)
	}
	s := imageStatus(t, ref)
	if len(s.RepoTags) != 2 || len(s.RepoDigests) != 2 {
		t.Errorf("tags %v, digests %v", s.RepoTags, s.RepoDigests)
	}
	// api.proto: removal by one tag removes all
	removeImage(t, ref)
	for _, r := range []string{ref, other, s.Id} {
		if imageStatus(t, r) != nil {
			t.Errorf("%s is still there", r)
		}
	}
}

func imageMoves(t *suite.T) {
	ref, first := serve(t)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	second := oci.New(oci.Options{Config: suite.BaseConfig()}, t.Program, suite.BaseTree(), t.Padding(4096))
	name, tag, _ := cutLast(strings.TrimPrefix(ref, t.Local.Addr+"/"), ":")
	t.Local.Put(name, tag, second)
	t.Cleanup(func(t *suite.T) { removeImage(t, first.ID()); removeImage(t, second.ID()) })
	_, err = pull(t, ref)
	t.Must(err, "PullImage of the moved tag")
	suite.Equal(t, "the tag's image", imageStatus(t, ref).GetId(), second.ID())
	old := imageStatus(t, first.ID())
	if old == nil {
		t.Fatalf("the first image is gone: a container may be using it")
	}
	suite.Equal(t, "tags of the first image", len(old.RepoTags), 0)
}

// What is there is not fetched again: the second pull asks for the manifest, not for blobs.
func imageAgain(t *suite.T) {
	ref, _ := serve(t)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	blobs := t.Local.Seen("blob")
	_, err = pull(t, ref)
	t.Must(err, "PullImage again")
	suite.Equal(t, "blobs fetched by the second pull", t.Local.Seen("blob")-blobs, 0)
}

func imageRemoveTwice(t *suite.T) {
	ref, _ := serve(t)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	removeImage(t, ref)
	removeImage(t, ref)
	removeImage(t, "sha256:"+strings.Repeat("0", 64))
}

func imageRemoveUsed(t *suite.T) {
	ref, image := serve(t)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	p := t.RunPod()
	c := p.Run(suite.Image(ref))
	_, err = t.Images.RemoveImage(t.Ctx, &runtimeapi.RemoveImageRequest{Image: spec(ref)})
	t.Logf("RemoveImage of one that is used: %v", err)
	c.Exec("sum", "/critests")
	suite.Equal(t, "a file of the image", c.ReadText("/data/file"), "from the image\n")
	c.Stop(0)
	s := c.Status()
	suite.Equal(t, "state", s.State, runtimeapi.ContainerState_CONTAINER_EXITED)
	c.Remove()
	if !t.Crisp() {
		return
	}
	// what only this image had was kept for the container, and goes with it: nobody else will ask for it
	own := strings.TrimPrefix(image.Layers[len(image.Layers)-1].Digest, "sha256:")
	if _, err := os.Stat(t.Root + "/layers/" + own); err == nil {
		t.Errorf("layer %.12s of the removed image is still there after its last user", own)
	}
}

func imageNotThere(t *suite.T) {
	for _, ref := range []string{t.Local.Addr + "/no/such:1", "sha256:" + strings.Repeat("ab", 32), strings.Repeat("ab", 32)} {
		r, err := t.Images.ImageStatus(t.Ctx, &runtimeapi.ImageStatusRequest{Image: spec(ref), Verbose: true})
		t.Must(err, "ImageStatus of %s, which must be no error", ref)
		if r.Image != nil {
			t.Errorf("%s is there", ref)
		}
	}
	_, err := pull(t, t.Local.Addr+"/no/such:1")
	t.WantError(err, codes.NotFound, "no/such:1.*(not found|404|unknown)")
	_, err = pull(t, cutTag(t.Base)+"@sha256:"+strings.Repeat("ab", 32))
	t.WantError(err, codes.NotFound, "abab.*(not found|404|unknown)")
}

func imageFilter(t *suite.T) {
	ref, image := serve(t)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	for _, name := range []string{ref, digestRef(ref, image), image.ID()} {
		r, err := t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{Filter: &runtimeapi.ImageFilter{Image: spec(name)}})
		t.Must(err, "ListImages")
		if len(r.Images) != 1 || r.Images[0].Id != image.ID() {
			t.Errorf("filter by %s: %d images", name, len(r.Images))
		}
	}
	r, err := t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{
		Filter: &runtimeapi.ImageFilter{Image: spec(t.Local.Addr + "/no/such:1")}})
	t.Must(err, "ListImages")
	suite.Equal(t, "images of a name that is not there", len(r.Images), 0)
}

// The kubelet checks runAsNonRoot by these.
func imageUser(t *suite.T) {
	for user, want := range map[string]string{"1000": "1000 ", "1000:5": "1000 ", "user": "- user", "user:extra": "- user",
		"": "- ", "0": "0 "} {
		config := suite.BaseConfig()
		config.User = user
		s := imageStatus(t, pullNew(t, config))
		uid := "-"
		if s.Uid != nil {
			uid = fmt.Sprint(s.Uid.Value)
		}
		got := uid + " " + s.Username
		if user == "" && got == "0 " {
			continue // no user is root
		}
		suite.Equal(t, "USER "+user, got, want)
	}
}

func imagePinned(t *suite.T) {
	suite.Equal(t, "an ordinary image is pinned", imageStatus(t, t.Base).GetPinned(), false)
}

func imageFsInfo(t *suite.T) {
	r, err := t.Images.ImageFsInfo(t.Ctx, &runtimeapi.ImageFsInfoRequest{})
	t.Must(err, "ImageFsInfo")
	if len(r.ImageFilesystems) == 0 {
		t.Fatalf("no image file system")
	}
	if t.Crisp() && len(r.ContainerFilesystems) == 0 {
		t.Errorf("no container file system: the kubelet's eviction needs one")
	}
	for _, fs := range append(r.ImageFilesystems, r.ContainerFilesystems...) {
		if st, err := os.Stat(fs.GetFsId().GetMountpoint()); err != nil || !st.IsDir() {
			t.Errorf("mountpoint %q: %v", fs.GetFsId().GetMountpoint(), err)
		}
		if fs.UsedBytes == nil || fs.InodesUsed == nil || fs.Timestamp == 0 {
			t.Errorf("incomplete: %v", fs)
		}
	}
	before := r.ImageFilesystems[0].GetUsedBytes().GetValue()
	ref, _ := serve(t, t.Padding(6<<20))
	_, err = pull(t, ref)
	t.Must(err, "PullImage")
	grown := func() bool {
		r, err := t.Images.ImageFsInfo(t.Ctx, &runtimeapi.ImageFsInfoRequest{})
		t.Must(err, "ImageFsInfo")
		return r.ImageFilesystems[0].GetUsedBytes().GetValue() >= before+(6<<20)
	}
	if !t.Until(30*time.Second, grown) {
		t.Errorf("6 MiB were pulled, the use did not grow by that")
	}
}

// The kubelet's garbage collection counts on it.
func imageRoom(t *suite.T) {
	const size = 16 << 20
	before := free(t)
	ref, _ := serve(t, t.Padding(size))
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	if used := before - free(t); used < size*3/4 {
		t.Errorf("a pull of %d bytes took %d of the disk", size, used)
	}
	removeImage(t, ref)
	if !t.Until(90*time.Second, func() bool { return before-free(t) < size/4 }) {
		t.Errorf("%d bytes of %d are still taken", before-free(t), size)
	}
}

func imageShared(t *suite.T) {
	big := t.Padding(8 << 20)
	first, _ := serve(t, big)
	_, err := pull(t, first)
	t.Must(err, "PullImage")
	before := node.DiskUsed(t.Root)
	blobs := t.Local.Seen("blob")
	second, _ := serve(t, big)
	_, err = pull(t, second)
	t.Must(err, "PullImage")
	if grown := node.DiskUsed(t.Root) - before; grown > 1<<20 {
		t.Errorf("a second image of the same layers takes %d bytes", grown)
	}
	if n := t.Local.Seen("blob") - blobs; n > 2 {
		t.Errorf("%d blobs were fetched, wanted the configuration and one layer", n)
	}
	removeImage(t, first)
	c := t.RunPod().RunToEnd(suite.Image(second), suite.Payload("exit"))
	c.WantExit(0)
}

// Builders repeat the empty layer, and more; the kernel takes a lower directory once.
func imageSameLayer(t *suite.T) {
	first := oci.NewLayer(oci.File("twice", "first", 0o644), oci.File("kept", "yes", 0o644))
	second := oci.NewLayer(oci.File("twice", "second", 0o644), oci.File(".wh.kept", "", 0o644))
	ref := pullNew(t, suite.BaseConfig(), first, second, first)
	c := t.RunPod().RunToEnd(suite.Image(ref), suite.Payload("read", "/twice", "/kept"))
	c.WantExit(0)
	for _, words := range []string{"first", "yes"} {
		if !strings.Contains(c.Stdout(), words) {
			t.Errorf("%q has no %q", c.Stdout(), words)
		}
	}
}

func imageBadRefs(t *suite.T) {
	for _, ref := range []string{"", "host/name:", "upper/CASE:1", "a b", "host:port/name", "name:tag:tag", "name@sha256:short", "../../etc/passwd",
		"host/../name:1", "name@md5:d41d8cd98f00b204e9800998ecf8427e", "https://registry.test/x", strings.Repeat("a", 5000),
		"name:" + strings.Repeat("t", 129), "host/name:ta g", "host/na\nme", "-name", "host/name:.tag"} {
		_, err := pull(t, ref)
		if err == nil {
			t.Errorf("%.60q was pulled", ref)
			continue
		}
		t.WantError(err, codes.InvalidArgument, "reference|name|tag|digest|invalid")
		_, err = t.Images.ImageStatus(t.Ctx, &runtimeapi.ImageStatusRequest{Image: spec(ref)})
		t.Logf("status of %.40q: %v", ref, err)
	}
}

func imageDocker(t *suite.T) {
	layer := t.Padding(1000)
	layer.MediaType = "application/vnd.docker.image.rootfs.diff.tar"
	image := oci.New(oci.Options{Config: suite.BaseConfig()}, t.Program, suite.BaseTree(), layer)
	text := string(image.Manifest)
	for _, pair := range [][2]string{{"application/vnd.oci.image.manifest.v1+json", oci.DockerManifest},
		{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"},
		{"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
		{"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"}} {
		text = strings.ReplaceAll(text, `"`+pair[0]+`"`, `"`+pair[1]+`"`)
	}
	image.Manifest, image.MediaType = []byte(text), oci.DockerManifest
	ref := pullImage(t, image)
	suite.Equal(t, "ID", imageStatus(t, ref).GetId(), image.ID())
	t.RunPod().RunToEnd(suite.Image(ref), suite.Payload("exit")).WantExit(0)
}

func imageIndex(t *suite.T) {
	own := oci.New(oci.Options{Config: suite.BaseConfig()}, t.Program, suite.BaseTree(), t.Padding(100)) // not the base image: it is removed
	other := oci.New(oci.Options{Config: suite.BaseConfig(), Arch: "s390x"}, suite.BaseTree(), t.Padding(100))
	name := fmt.Sprintf("critests/index-%d", t.Next())
	t.Local.Put(name, "own", own)
	t.Local.Put(name, "other", other)
	arch := runtime.GOARCH
	index := oci.Index(oci.Platform{OS: "linux", Arch: "s390x", Image: other}, oci.Platform{OS: "windows", Arch: arch, Image: other},
		oci.Platform{OS: "linux", Arch: arch, Image: own})
	ref := t.Local.PutManifest(name, "1", "application/vnd.oci.image.index.v1+json", index)
	t.Cleanup(func(t *suite.T) { removeImage(t, ref); removeImage(t, own.ID()) })
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	s := imageStatus(t, ref)
	suite.Equal(t, "ID", s.GetId(), own.ID())
	want := t.Local.Addr + "/" + name + "@" + oci.Digest(index)
	found := false
	for _, d := range s.RepoDigests {
		found = found || d == want
	}
	if !found {
		t.Errorf("digests %v, wanted that of the index, %s", s.RepoDigests, want)
	}
	_, err = pull(t, want)
	t.Must(err, "PullImage by the index's digest")
	t.RunPod().RunToEnd(suite.Image(ref), suite.Payload("exit")).WantExit(0)
}

// The same tar in each way it may come; what the media type says is not always true.
func imageLayerKinds(t *suite.T) {
	tarBytes := oci.Tar(oci.File("one-file", "of a layer", 0o644))
	gz := oci.Gzip(tarBytes)
	half := len(tarBytes) / 2
	for name, l := range map[string]oci.Layer{
		"tar":                               oci.Plain(tarBytes),
		"gzip":                              oci.FromTar(tarBytes),
		"gzip of two members":               oci.FromBlob("application/vnd.oci.image.layer.v1.tar+gzip", append(oci.Gzip(tarBytes[:half]), oci.Gzip(tarBytes[half:])...), oci.Digest(tarBytes)),
		"gzip that is called tar":           oci.FromBlob("application/vnd.docker.image.rootfs.diff.tar.gzip", gz, oci.Digest(tarBytes)),
		"a layer that is not distributable": oci.FromBlob("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", gz, oci.Digest(tarBytes)),
	} {
		ref := pullNew(t, suite.BaseConfig(), l)
		got := t.RunPod().Run(suite.Image(ref)).Read("/one-file")["/one-file"]
		if got.Text != "of a layer" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FROM scratch with nothing: an image volume's or an artifact's form.
func imageNoLayers(t *suite.T) {
	image := oci.New(oci.Options{})
	ref := t.Local.Put("critests/empty", "1", image)
	_, err := pull(t, ref)
	if err != nil {
		t.Logf("an image without layers: %v", err)
		if t.Crisp() {
			t.WantError(err, codes.OK, "layer")
		}
		return
	}
	removeImage(t, ref)
}

func imageManyLayers(t *suite.T) {
	var layers []oci.Layer
	const count = 100
	for i := 0; i < count; i++ {
		layers = append(layers, oci.NewLayer(oci.File("number", fmt.Sprint(i), 0o644), oci.File(fmt.Sprintf("layer-%d", i), "x", 0o644)))
	}
	ref := pullNew(t, suite.BaseConfig(), layers...)
	c := t.RunPod().Run(suite.Image(ref))
	suite.Equal(t, "the file that all have", c.ReadText("/number"), fmt.Sprint(count-1))
	got := c.Errors("exists", "/layer-0", "/layer-50", "/layer-99")
	for path, e := range got {
		suite.Equal(t, path, e, "")
	}
}
