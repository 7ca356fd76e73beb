package nodetest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

var background = context.Background()

// groups are run in this order: what leaves most behind comes last.
var groups = [][]Case{runtimeCases, imageCases, podCases, containerCases, limitCases, securityCases, mountCases,
	logCases, execCases, streamCases, statsCases, registryCases, hostileCases, recoveryCases, leakCases}

var runtimeCases = []Case{
	{Group: "runtime", Name: "version", Run: func(t *T) {
		v, err := t.Version(t, "v1")
		t.OK(err, "Version")
		t.Check(v.Version != "" && v.RuntimeName == node.Runtime() && v.RuntimeVersion != "" && v.RuntimeApiVersion == "v1",
			"version is %v", v)
	}},
	{Group: "runtime", Name: "status", Run: func(t *T) {
		s, err := t.Status(t, true)
		t.OK(err, "Status")
		for _, want := range []string{runtimeapi.RuntimeReady, runtimeapi.NetworkReady} {
			found := false
			for _, c := range s.Status.Conditions {
				if c.Type == want {
					found = true
					t.Check(c.Status, "%s is false: %s %s", want, c.Reason, c.Message)
				}
			}
			t.Check(found, "no condition %s", want)
		}
		t.Check(len(s.Info) > 0, "verbose status has no info")
	}},
	{Group: "runtime", Name: "status-handlers-and-features", Only: "crisp", Run: func(t *T) {
		s, err := t.Status(t, false)
		t.OK(err, "Status")
		t.Check(len(s.RuntimeHandlers) > 0 && s.RuntimeHandlers[0].Name == "", "the first handler is not the default: %v", s.RuntimeHandlers)
		t.Check(s.Features != nil && s.Features.SupplementalGroupsPolicy, "features: %v", s.Features)
		t.Check(len(s.Info) == 0, "info without verbose")
	}},
	{Group: "runtime", Name: "config-cgroup-driver", Only: "crisp", Run: func(t *T) {
		c, err := t.RuntimeConfig(t)
		t.OK(err, "RuntimeConfig")
		t.Check(c.Linux != nil && c.Linux.CgroupDriver == runtimeapi.CgroupDriver_CGROUPFS, "RuntimeConfig is %v", c)
	}},
	{Group: "runtime", Name: "update-runtime-config", Run: func(t *T) {
		t.OK(t.UpdateRuntimeConfig(t, &runtimeapi.RuntimeConfig{NetworkConfig: &runtimeapi.NetworkConfig{PodCidr: "10.99.0.0/24"}}),
			"UpdateRuntimeConfig")
	}},
	{Group: "runtime", Name: "unimplemented-says-so", Only: "crisp", Run: func(t *T) {
		err := t.CheckpointContainer(t, &runtimeapi.CheckpointContainerRequest{ContainerId: "x"})
		t.Check(status.Code(err) == codes.Unimplemented, "CheckpointContainer: %v", err)
	}},
	{Group: "runtime", Name: "unknown-method-and-service", Run: func(t *T) {
		conn, err := grpc.NewClient(node.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		t.OK(err, "dial")
		defer conn.Close()
		for _, method := range []string{"/runtime.v1.RuntimeService/NoSuchMethod", "/no.such.Service/Method"} {
			err := conn.Invoke(t, method, &emptypb.Empty{}, &emptypb.Empty{})
			t.Check(status.Code(err) == codes.Unimplemented, "%s: %v", method, err)
		}
	}},
	{Group: "runtime", Name: "many-calls-at-once", Run: func(t *T) {
		errs := make(chan error, 64)
		for range 64 {
			go func() {
				_, err := t.ListContainers(t, nil)
				errs <- err
			}()
		}
		for range 64 {
			t.OK(<-errs, "ListContainers")
		}
	}},
	{Group: "runtime", Name: "message-that-is-no-message", Run: func(t *T) {
		conn, err := grpc.NewClient(node.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
		t.OK(err, "dial")
		defer conn.Close()
		bad := []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 'x'}
		err = conn.Invoke(t, "/runtime.v1.RuntimeService/RunPodSandbox", &bad, &bad)
		t.Check(err != nil, "a broken message was taken")
		_, err = t.Version(t, "v1")
		t.OK(err, "Version after it")
	}},
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (rawCodec) Name() string                       { return "proto" }

var imageCases = []Case{
	{Group: "image", Name: "pull-gzip", Run: func(t *T) { t.pullAndCheck(debian) }},
	{Group: "image", Name: "pull-zstd", Run: func(t *T) { t.pullAndCheck(debianZstd); t.pullAndCheck(toyboxZstd) }},
	{Group: "image", Name: "pull-index-of-two-architectures", Run: func(t *T) { t.pullAndCheck(multi) }},
	{Group: "image", Name: "pull-by-digest", Run: func(t *T) {
		image := t.pullAndCheck(toybox)
		t.Check(len(image.RepoDigests) > 0, "no digest of %v", image)
		id, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: image.RepoDigests[0]}, auth(), nil)
		t.OK(err, "pull %s", image.RepoDigests[0])
		t.Check(id == image.Id, "%s is %s, but %s by tag", image.RepoDigests[0], id, image.Id)
	}},
	{Group: "image", Name: "pull-wrong-digest", Run: func(t *T) {
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: node.Registry + "/toybox@sha256:" + strings.Repeat("ab", 32)}, auth(), nil)
		t.Check(err != nil, "an image that is not there was pulled")
	}},
	{Group: "image", Name: "pull-without-own-architecture", Run: func(t *T) {
		id, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: otherArch}, auth(), nil)
		if err == nil {
			_ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: id})
		}
		t.Check(err != nil && (node.Runtime() != "crisp" || strings.Contains(err.Error(), runtime.GOARCH)),
			"want an error that names what is missing: %v", err)
	}},
	{Group: "image", Name: "pull-absent-tag", Run: func(t *T) {
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: node.Registry + "/toybox:no-such"}, auth(), nil)
		t.Check(status.Code(err) == codes.NotFound && strings.Contains(err.Error(), "no-such"), "want NotFound with the name: %v", err)
	}},
	{Group: "image", Name: "pull-wrong-password", Run: func(t *T) {
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: debian}, &runtimeapi.AuthConfig{Username: node.User, Password: "wrong-secret"}, nil)
		t.Check(err != nil, "pulled with a wrong password")
		t.Check(!strings.Contains(err.Error(), "wrong-secret"), "the password is in the error: %v", err)
		t.Check(!strings.Contains(node.Log(node.Runtime(), 200), "wrong-secret"), "the password is in the log")
	}},
	{Group: "image", Name: "pull-with-the-nodes-own-account", Run: func(t *T) {
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: toybox}, nil, nil)
		t.OK(err, "pull without credentials in the call")
	}},
	{Group: "image", Name: "pull-bad-references", Run: func(t *T) {
		for _, bad := range []string{"", "UPPER/case", "registry.test:5000/toybox:", "registry.test:5000/../etc", "a b", "x@sha256:123",
			"registry.test:5000/" + strings.Repeat("a", 5000)} {
			_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: bad}, nil, nil)
			t.Check(err != nil, "%.60q was pulled", bad)
		}
	}},
	{Group: "image", Name: "pull-same-at-once", Run: func(t *T) {
		_ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: debian})
		type answer struct {
			id  string
			err error
		}
		answers := make(chan answer, 6)
		for range 6 {
			go func() {
				id, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: debian}, auth(), nil)
				answers <- answer{id, err}
			}()
		}
		first := <-answers
		t.OK(first.err, "pull")
		for range 5 {
			next := <-answers
			t.OK(next.err, "pull")
			t.Check(next.id == first.id, "two ids of one image: %s, %s", first.id, next.id)
		}
	}},
	{Group: "image", Name: "absent-image-is-no-error", Run: func(t *T) {
		reply, err := t.Images.ImageStatus(t, &runtimeapi.ImageSpec{Image: node.Registry + "/nothing:1"}, false)
		t.OK(err, "ImageStatus")
		t.Check(reply.Image == nil, "ImageStatus of an absent image: %v", reply.Image)
	}},
	{Group: "image", Name: "user-of-the-configuration", Run: func(t *T) {
		image := t.pullAndCheck(configured)
		t.Check(image.Username == "user" && image.Uid == nil, "user %q, uid %v", image.Username, image.Uid)
	}},
	{Group: "image", Name: "list-and-filter", Run: func(t *T) {
		image := t.pullAndCheck(debian)
		all, err := t.Images.ListImages(t, nil)
		t.OK(err, "ListImages")
		found := false
		for _, i := range all {
			found = found || i.Id == image.Id
			t.Check(i.Id != "" && i.Size > 0, "listed: %v", i)
		}
		t.Check(found, "%s is not in the list of %d", image.Id, len(all))
		some, err := t.Images.ListImages(t, &runtimeapi.ImageFilter{Image: &runtimeapi.ImageSpec{Image: debian}})
		t.OK(err, "ListImages with a filter")
		t.Check(len(some) == 1 && some[0].Id == image.Id, "filtered: %v", some)
	}},
	{Group: "image", Name: "remove-by-tag-and-again", Run: func(t *T) {
		t.pullAndCheck(toyboxZstd)
		for range 2 {
			t.OK(t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: toyboxZstd}), "RemoveImage")
		}
		reply, err := t.Images.ImageStatus(t, &runtimeapi.ImageSpec{Image: toyboxZstd}, false)
		t.OK(err, "ImageStatus")
		t.Check(reply.Image == nil, "still there: %v", reply.Image)
	}},
	{Group: "image", Name: "remove-gives-the-room-back", Run: func(t *T) {
		_ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: debianZstd})
		_ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: debian})
		before := diskUsed()
		t.Pull(debian)
		pulled := diskUsed()
		t.Check(pulled > before+10<<20, "the pull used %d bytes only", pulled-before)
		t.OK(t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: debian}), "RemoveImage")
		t.Until(90*time.Second, "room was not given back", func() string {
			if after := diskUsed(); after > before+4<<20 {
				return fmt.Sprintf("%d bytes before, %d with the image, %d after", before, pulled, after)
			}
			return ""
		})
	}},
	{Group: "image", Name: "file-system-info", Run: func(t *T) {
		t.pullAndCheck(toybox)
		info, err := t.Images.ImageFsInfo(t)
		t.OK(err, "ImageFsInfo")
		t.Check(len(info.ImageFilesystems) > 0, "no image file system")
		if node.Runtime() == "crisp" {
			t.Check(len(info.ContainerFilesystems) > 0, "no container file system")
		}
		for _, fs := range append(info.ImageFilesystems, info.ContainerFilesystems...) {
			_, err := os.Stat(fs.FsId.GetMountpoint())
			t.OK(err, "mount point")
			t.Check(fs.UsedBytes != nil && fs.Timestamp > 0, "file system %v", fs)
		}
	}},
}

func diskUsed() int64 {
	used, _ := statfsUsed("/var")
	return used
}

// pullAndCheck pulls and holds the reply against the contract of identifiers.
func (t *T) pullAndCheck(name string) *runtimeapi.Image {
	id := t.Pull(name)
	reply, err := t.Images.ImageStatus(t, &runtimeapi.ImageSpec{Image: name}, false)
	t.OK(err, "ImageStatus of %s", name)
	image := reply.Image
	t.Check(image != nil && image.Id == id && image.Size > 0, "%s: pulled as %s, status %v", name, id, image)
	tagged := false
	for _, tag := range image.RepoTags {
		tagged = tagged || tag == name
	}
	t.Check(tagged, "%s is not among the tags %v", name, image.RepoTags)
	for _, digest := range image.RepoDigests {
		t.Check(strings.Contains(digest, "@sha256:"), "digest %s", digest)
	}
	byID, err := t.Images.ImageStatus(t, &runtimeapi.ImageSpec{Image: id}, false)
	t.OK(err, "ImageStatus by id")
	t.Check(byID.Image != nil && byID.Image.Id == id, "by id: %v", byID.Image)
	return image
}
