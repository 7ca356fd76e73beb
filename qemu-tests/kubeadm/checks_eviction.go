package kubeadm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

const (
	kubeletConfig = "/var/lib/kubelet/config.yaml"
	unusedImage   = node.Registry + "/debian:1"
	// parts of a thousand of the disk that are left: the node's limit is twenty
	leftFree = 5
)

// eviction: the disk runs full. The node says so, the image that nobody uses goes, the pod that filled the disk is evicted, and
// all is well again; of the baked images none is touched.
func eviction(ctx context.Context, c *cluster) error {
	before, err := c.images(ctx)
	if err != nil {
		return err
	}
	if err := c.pullUnused(ctx); err != nil {
		return err
	}
	if err := c.quickKubelet(ctx); err != nil {
		return err
	}
	if err := c.applied(ctx, "eviction.yaml", "hog"); err != nil {
		return err
	}
	if err := c.fillDisk(ctx); err != nil {
		return err
	}
	if err := c.diskPressure(ctx, corev1.ConditionTrue); err != nil {
		return fmt.Errorf("the disk is full: %w", err)
	}
	if _, err := c.pod(ctx, "hog", func(pod *corev1.Pod) string {
		if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted" {
			return ""
		}
		return "not evicted: " + podState(pod)
	}); err != nil {
		return err
	}
	if err := c.diskPressure(ctx, corev1.ConditionFalse); err != nil {
		return fmt.Errorf("the disk is free again: %w", err)
	}
	after, err := c.images(ctx)
	if err != nil {
		return err
	}
	if strings.Join(after, " ") != strings.Join(before, " ") {
		return fmt.Errorf("images before: %v; after: %v", before, after)
	}
	// pods are taken again, and who did nothing was left alone
	return c.applied(ctx, "eviction-after.yaml", "after")
}

// images by name, each with whether it is pinned.
func (c *cluster) images(ctx context.Context) ([]string, error) {
	list, err := c.cri.Images.ListImages(ctx, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range list {
		names = append(names, fmt.Sprintf("%v pinned=%v", i.RepoTags, i.Pinned))
	}
	sort.Strings(names)
	return names, nil
}

// pullUnused pulls an image that no pod has; the kubelet must be told of its bytes.
func (c *cluster) pullUnused(ctx context.Context) error {
	used := func() (uint64, error) {
		info, err := c.cri.Images.ImageFsInfo(ctx)
		if err != nil || len(info.ImageFilesystems) == 0 {
			return 0, fmt.Errorf("ImageFsInfo: %v %w", info, err)
		}
		return info.ImageFilesystems[0].UsedBytes.GetValue(), nil
	}
	before, err := used()
	if err != nil {
		return err
	}
	if _, err := c.cri.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: unusedImage},
		&runtimeapi.AuthConfig{Username: node.User, Password: node.Password}, nil); err != nil {
		return err
	}
	status, err := c.cri.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: unusedImage}, false)
	if err != nil || status.Image == nil {
		return fmt.Errorf("%s: %w", unusedImage, err)
	}
	after, err := used()
	if err != nil {
		return err
	}
	// what lies on the disk is compressed otherwise than the layers that were pulled
	if after < before+status.Image.Size/4 {
		return fmt.Errorf("ImageFsInfo had %d bytes, and %d after a pull of %d", before, after, status.Image.Size)
	}
	return nil
}

// quickKubelet has the kubelet take an image for garbage at once, and pressure for over when it is; minutes, usually.
func (c *cluster) quickKubelet(ctx context.Context) error {
	text, err := os.ReadFile(kubeletConfig)
	if err != nil {
		return err
	}
	var kept []string
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "imageMinimumGCAge:") && !strings.HasPrefix(line, "evictionPressureTransitionPeriod:") {
			kept = append(kept, line)
		}
	}
	kept = append(kept, "imageMinimumGCAge: 1s", "evictionPressureTransitionPeriod: 20s", "")
	if err := os.WriteFile(kubeletConfig, []byte(strings.Join(kept, "\n")), 0o644); err != nil {
		return err
	}
	since := time.Now().Add(-time.Second)
	if _, err := command(ctx, "", "rc-service", "kubelet", "restart"); err != nil {
		return err
	}
	_, err = until(ctx, c.api, "/api/v1/nodes", named("node"), func(nodes objects[corev1.Node]) string {
		if nodes["node"] == nil {
			return "there is none"
		}
		for _, condition := range nodes["node"].Status.Conditions {
			if condition.Type == corev1.NodeDiskPressure && condition.LastHeartbeatTime.After(since) {
				return nodeReady(nodes)
			}
		}
		return "the kubelet has not told of it again"
	})
	return err
}

// fillDisk makes the pod's volume so large that next to nothing is left. No block is written: they are only taken.
func (c *cluster) fillDisk(ctx context.Context) error {
	pod, err := c.pod(ctx, "hog", podReady)
	if err != nil {
		return err
	}
	dir := filepath.Join("/var/lib/kubelet/pods", string(pod.UID), "volumes/kubernetes.io~empty-dir/fill")
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	defer f.Close()
	size := (int64(fs.Bavail) - int64(fs.Blocks)*leftFree/1000) * fs.Bsize
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		return fmt.Errorf("%d bytes: %w", size, err)
	}
	return nil
}

func (c *cluster) diskPressure(ctx context.Context, want corev1.ConditionStatus) error {
	_, err := until(ctx, c.api, "/api/v1/nodes", named("node"), func(nodes objects[corev1.Node]) string {
		if nodes["node"] == nil {
			return "there is none"
		}
		for _, condition := range nodes["node"].Status.Conditions {
			if condition.Type == corev1.NodeDiskPressure && condition.Status == want {
				return ""
			}
		}
		return fmt.Sprintf("DiskPressure is not %s", want)
	})
	return err
}
