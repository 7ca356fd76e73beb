package survival

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

const (
	store    = "/var/lib/crisp"
	networks = "/var/lib/cni/networks"
)

// checker looks over a node that has come back, and gathers what is wrong.
type checker struct {
	ctx      context.Context
	cri      *node.CRI
	plan     Plan
	truth    Truth
	images   map[string]*runtimeapi.Image // by ID, in hexadecimal
	problems []string
	layers   int
	names    int // of files compared
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) failed(err error, what string) bool {
	if err != nil {
		c.problem("%s: %v", what, err)
	}
	return err != nil
}

// all of it. Before any load.
func (c *checker) all() {
	c.checkImages()
	c.checkLayers()
	c.checkNames()
	c.checkPods()
	c.checkRest()
	c.checkKernel()
}

// list is what is in a directory; none if it is not there.
func list(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// ownImages are those of the writable store: what is pinned is part of the OS image.
func ownImages(ctx context.Context, cri *node.CRI) ([]*runtimeapi.Image, error) {
	all, err := cri.Images.ListImages(ctx, nil)
	return slices.DeleteFunc(all, func(i *runtimeapi.Image) bool { return i.Pinned }), err
}

func (c *checker) checkImages() {
	c.images = map[string]*runtimeapi.Image{}
	reply, err := ownImages(c.ctx, c.cri)
	if c.failed(err, "ListImages") {
		return
	}
	for _, i := range reply {
		c.images[strings.TrimPrefix(i.Id, "sha256:")] = i
	}
	for _, id := range list(store + "/images") {
		if c.images[id] == nil {
			c.problem("images/%s is on disk and not listed", id)
		}
	}
	for id := range c.images {
		c.checkImage(id)
	}
	listed := map[string]bool{}
	for _, i := range c.images {
		for _, name := range i.RepoTags {
			listed[name] = true
		}
	}
	for reference := range c.plan.Facts.Images {
		if !listed[reference] {
			c.problem("%s was pulled, and is not listed", reference)
		}
	}
}

// checkImage compares an image's documents and its list of layers with one of those that the registry has of its ID.
func (c *checker) checkImage(id string) {
	dir := filepath.Join(store, "images", id)
	digest := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		c.failed(err, "image "+id[:12])
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:])
	}
	if got := digest("config"); got != id {
		c.problem("image %.12s: its configuration has the digest %s", id, got)
	}
	manifest := digest("manifest")
	record, err := os.ReadFile(filepath.Join(dir, "record"))
	c.failed(err, "image "+id[:12])
	var layers []string
	for _, line := range strings.Split(string(record), "\n") {
		if d, ok := strings.CutPrefix(line, "layer sha256:"); ok {
			layers = append(layers, d)
		}
	}
	for _, i := range c.truth.Images {
		if i.ID == id && i.Manifest == manifest && fmt.Sprint(i.Layers) == fmt.Sprint(layers) {
			return
		}
	}
	c.problem("image %.12s, manifest %s, layers %v: no such image is in the registry", id, manifest, layers)
}

// usedLayers are those of the records on disk.
func usedLayers() map[string]bool {
	used := map[string]bool{}
	records, _ := filepath.Glob(store + "/images/*/record")
	for _, file := range records {
		text, _ := os.ReadFile(file)
		for _, line := range strings.Split(string(text), "\n") {
			if d, ok := strings.CutPrefix(line, "layer sha256:"); ok {
				used[d] = true
			}
		}
	}
	return used
}

func (c *checker) checkLayers() {
	used := usedLayers()
	for _, name := range list(store + "/layers") {
		if !used[name] {
			c.problem("layer %s belongs to no image", name)
		}
		truth, ok := c.truth.Layers[name]
		if !ok {
			c.problem("layers/%s: the registry has no such layer", name)
			continue
		}
		n, err := compareLayer(filepath.Join(store, "layers", name), truth)
		if err != nil {
			c.problem("layer %.12s: %v", name, err)
		}
		c.layers++
		c.names += n
	}
}

func (c *checker) checkNames() {
	for _, name := range list(store + "/names") {
		text, _ := os.ReadFile(filepath.Join(store, "names", name))
		words := strings.Split(string(text), "\n")
		if len(words) < 3 || c.images[strings.TrimPrefix(words[1], "sha256:")] == nil {
			c.problem("names/%s: %q", name, text)
		}
	}
}

func (c *checker) checkPods() {
	pods, err := c.cri.ListPodSandbox(c.ctx, nil)
	c.failed(err, "ListPodSandbox")
	containers, err := c.cri.ListContainers(c.ctx, nil)
	c.failed(err, "ListContainers")
	ids := map[string]bool{}
	for _, p := range pods {
		ids[p.Id] = true
		if p.State != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			c.problem("pod %.12s is %v after a power cut", p.Id, p.State)
		}
	}
	exits := map[string]int32{}
	for _, k := range containers {
		ids[k.Id] = true
		reply, err := c.cri.ContainerStatus(c.ctx, k.Id, false)
		if c.failed(err, "ContainerStatus") {
			continue
		}
		if reply.Status.State != runtimeapi.ContainerState_CONTAINER_EXITED {
			c.problem("container %.12s is %v after a power cut", k.Id, reply.Status.State)
		}
		exits[k.Id] = reply.Status.ExitCode
	}
	for id, code := range c.plan.Facts.Ended {
		if got, ok := exits[id]; !ok {
			c.problem("container %.12s had ended with code %d, and is not listed: it would be run again", id, code)
		} else if int(got) != code {
			c.problem("container %.12s had ended with code %d, and is said to have ended with %d", id, code, got)
		}
	}
	for _, dir := range []string{"pods", "containers"} {
		for _, id := range list(filepath.Join(store, dir)) {
			if !ids[id] {
				c.problem("%s/%s is on disk and not listed", dir, id)
			}
		}
	}
}

// checkRest is about what must not be there: with no pod running, nothing of pods.
func (c *checker) checkRest() {
	for _, name := range list(store + "/quarantine") {
		c.problem("in quarantine: %s", name)
	}
	_ = filepath.WalkDir(store, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".tmp-") {
			c.problem("a temporary file is left: %s", path)
		}
		return nil
	})
	for _, name := range list(store + "/cni") {
		c.problem("network record %s is left", name)
	}
	addresses, _ := filepath.Glob(networks + "/*/[0-9a-f]*[.:]*")
	for _, file := range addresses {
		c.problem("address %s is taken", strings.TrimPrefix(file, networks))
	}
	for _, name := range list("/run/netns") {
		c.problem("network namespace %s is left", name)
	}
	for _, helper := range node.Helpers() {
		c.problem("process %d of a pod is left: %v", helper.PID, helper.Args)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], "/run/crisp/") {
			c.problem("a mount is left: %s", fields[4])
		}
	}
	for _, dir := range []string{"/sys/fs/cgroup/crisp", cgroupParent} {
		for _, e := range list(dir) {
			if info, err := os.Stat(filepath.Join(dir, e)); err == nil && info.IsDir() {
				c.problem("a cgroup is left: %s/%s", dir, e)
			}
		}
	}
}

// checkKernel: the file system itself must find nothing wrong.
func (c *checker) checkKernel() {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if c.failed(err, "kernel's log") {
		return
	}
	defer f.Close()
	buffer := make([]byte, 8<<10)
	for {
		n, err := unix.Read(int(f.Fd()), buffer)
		if err != nil || n <= 0 {
			return
		}
		line := string(buffer[:n])
		if strings.Contains(line, "EXT4-fs error") || strings.Contains(line, "EXT4-fs warning") {
			c.problem("the kernel: %s", strings.TrimSpace(line))
		}
	}
}

// until asks again until the answer is true or the time over.
func until(limit time.Duration, ask func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if ask() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
