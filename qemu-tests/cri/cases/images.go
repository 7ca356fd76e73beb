package cases

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/registry"
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
	name, _, _ := cutLast(ref, ":")
	return name + "@" + image.Digest()
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

// slowRegistry serves an image whose blobs come byte by byte until they are let go.
func slowRegistry(t *suite.T) (s *registry.Server, ref string, release func()) {
	gate := make(chan struct{})
	s = startRegistry(t)
	s.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
		if q.Kind != "blob" || r.Method == http.MethodHead {
			return false
		}
		select {
		case <-gate:
		case <-r.Context().Done():
			return true
		}
		return false
	}
	ref = s.Put("critests/slow", "1", oci.New(oci.Options{Config: suite.BaseConfig()}, suite.BaseTree(), t.Padding(100000)))
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	var once sync.Once
	release = func() { once.Do(func() { close(gate) }) }
	t.Cleanup(func(*suite.T) { release() })
	return s, ref, release
}

// startRegistry is one of the case's own, trusted.
func startRegistry(t *suite.T) *registry.Server {
	s, err := registry.Start(t.CA, registry.Cert{})
	t.Must(err, "registry")
	remove, err := t.Trust(s.Addr, t.CA.PEM, t.HostsTOML(s.Addr, "https", true))
	t.Must(err, "registry settings")
	t.Cleanup(func(*suite.T) { s.Close(); remove() })
	return s
}

func imageTenCallers(t *suite.T) {
	s, ref, release := slowRegistry(t)
	const callers = 10
	errs, ids := make(chan error, callers), make(chan string, callers)
	for i := 0; i < callers; i++ {
		go func() {
			id, err := pull(t, ref)
			errs <- err
			ids <- id
		}()
	}
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	time.Sleep(time.Second)
	release()
	seen := map[string]bool{}
	for i := 0; i < callers; i++ {
		if err := <-errs; err != nil {
			t.Errorf("one of the callers: %v", err)
		}
		seen[<-ids] = true
	}
	suite.Equal(t, "different answers", len(seen), 1)
	blobs := map[string]int{}
	for _, q := range s.Requests() {
		if q.Kind == "blob" && q.Method == http.MethodGet {
			blobs[q.Ref]++
		}
	}
	for ref, n := range blobs {
		if n > 1 {
			t.Errorf("blob %.20s was fetched %d times", ref, n)
		}
	}
}

func imageCancelled(t *suite.T) {
	s, ref, _ := slowRegistry(t)
	ctx, cancel := context.WithCancel(t.Ctx)
	done := make(chan error, 1)
	go func() {
		_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(ref)})
		done <- err
	}()
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	cancel()
	if code := status.Code(<-done); code != codes.Canceled {
		t.Errorf("the call ended with %s", code)
	}
	if !t.Until(30*time.Second, func() bool { return s.Open() == 0 }) {
		t.Errorf("%d connections to the registry are still open: the pull goes on", s.Open())
	}
	if imageStatus(t, ref) != nil {
		t.Errorf("the image is there")
	}
}

func imageOneLeaves(t *suite.T) {
	s, ref, release := slowRegistry(t)
	ctx, cancel := context.WithCancel(t.Ctx)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(ref)})
		first <- err
	}()
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	go func() {
		_, err := pull(t, ref)
		second <- err
	}()
	time.Sleep(time.Second)
	cancel()
	<-first
	time.Sleep(500 * time.Millisecond)
	release()
	t.Must(<-second, "the pull of the one who stayed")
}

func imageBadRefs(t *suite.T) {
	for _, ref := range []string{"upper/CASE:1", "a b", "host:port/name", "name:tag:tag", "name@sha256:short", "../../etc/passwd",
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

func registryAuth(t *suite.T) *runtimeapi.AuthConfig {
	return &runtimeapi.AuthConfig{Username: t.Registry.User, Password: t.Registry.Password, ServerAddress: t.Registry.Host}
}

// pullFrom pulls from the machine's own registry, whose images are real tools' work.
func pullFrom(t *suite.T, name string) string {
	ref := t.Image(name)
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref), Auth: registryAuth(t)})
	if status.Code(err) == codes.Unavailable || err != nil && strings.Contains(err.Error(), "connection refused") {
		t.Skipf("no registry at %s: %v", t.Registry.Host, err)
	}
	t.Must(err, "PullImage %s", ref)
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	return ref
}

func registryToybox(t *suite.T) {
	ref := pullFrom(t, t.Registry.Toybox)
	c := t.RunPod().RunToEnd(suite.Image(ref), command("/bin/sh", "-c", "echo hello from $0; id -u", "toybox"))
	suite.Equal(t, "output", c.Stdout(), "hello from toybox\n0\n")
}

func registryNoAuth(t *suite.T) {
	if _, err := os.Stat("/etc/crisp/auth.json"); err == nil || !t.Crisp() {
		t.Skipf("the node has credentials of its own")
	}
	_, err := pull(t, t.Image(t.Registry.Toybox))
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication")
}

func registryWrongAuth(t *suite.T) {
	s := startRegistry(t)
	s.User, s.Password = "who", "right-password"
	ref := s.Put("critests/private", "1", oci.New(oci.Options{}, t.Padding(10)))
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref),
		Auth: &runtimeapi.AuthConfig{Username: "who", Password: "wrong-password"}})
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication|denied")
	if err != nil && strings.Contains(err.Error(), "wrong-password") {
		t.Errorf("the password is in the error's text")
	}
	_, err = pull(t, ref)
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication|denied")
	_, err = t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref),
		Auth: &runtimeapi.AuthConfig{Username: "who", Password: "right-password"}})
	t.Must(err, "PullImage with the right password")
	removeImage(t, ref)
}

// tree of a directory in a new container of an image.
func treeOf(t *suite.T, ref, dir string) map[string]payload.Node {
	self := t.Dir("program")
	program, err := os.ReadFile("/proc/self/exe")
	t.Must(err, "own binary")
	t.Must(os.WriteFile(self+"/critests", program, 0o755), "program")
	c := t.RunPod().RunToEnd(suite.Image(ref), suite.Mounts(&runtimeapi.Mount{HostPath: self, ContainerPath: "/.critests", Readonly: true}),
		command("/.critests/critests", "payload", "tree", dir), env("PATH", "/"))
	c.WantExit(0)
	return suite.Decode[map[string]payload.Node](t, c.Stdout())
}

// What umoci wrote: whiteouts, an opaque directory, hard links, a capability; the zstd one is the same.
func registryLayers(t *suite.T) {
	gz := treeOf(t, pullFrom(t, t.Registry.Layered), "/opt")
	for name, want := range map[string]bool{"opaque/upper": true, "opaque/lower": false, "gone": true, "gone/file": false,
		"replaced/file": true, "link-a": true, "link-b": false, "ping-cap": true, "fifo": true, "sparse": true, "näme with blanks": true} {
		if _, ok := gz[name]; ok != want {
			t.Errorf("/opt/%s is there: %v, wanted %v", name, ok, want)
		}
	}
	if gz["ping-cap"].Xattrs["security.capability"] == "" {
		t.Errorf("ping-cap has lost its capability: %+v", gz["ping-cap"])
	}
	suite.Equal(t, "mode of the setuid program", fmt.Sprintf("%#o", gz["id-setuid"].Mode&0o7777), "04755")
	if t.Crisp() {
		suite.Equal(t, "user attribute", gz["link-a"].Xattrs["user.crisp"], "68656c6c6f")
	}
	zstd := treeOf(t, pullFrom(t, t.Registry.Zstd), "/opt")
	suite.Equal(t, "files of the zstd one", len(zstd), len(gz))
	for name, a := range gz {
		b := zstd[name]
		if a.Mode != b.Mode || a.Size != b.Size || a.Sum != b.Sum || a.Target != b.Target || a.Mtime != b.Mtime {
			t.Errorf("/opt/%s differs: %+v %+v", name, a, b)
		}
	}
}

func registryMulti(t *suite.T) {
	ref := pullFrom(t, t.Registry.Multi)
	c := t.RunPod().RunToEnd(suite.Image(ref), command("/bin/cat", "/etc/architecture"))
	suite.Equal(t, "architecture", strings.TrimSpace(c.Stdout()), runtime.GOARCH)
}

// Not an index but a manifest: its configuration says another architecture, or an index of others: words either way.
func registryOther(t *suite.T) {
	ref := t.Image(t.Registry.OtherOnly)
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref), Auth: registryAuth(t)})
	if err == nil {
		removeImage(t, ref)
		if t.Crisp() {
			t.Errorf("an image of another architecture was taken")
		}
		return
	}
	t.WantError(err, codes.OK, "arm64|amd64|platform|architecture")
}
