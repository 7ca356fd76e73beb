package kubeadm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The volumes' files on the node, of the tests' own driver (csi/).
const csiData = "/var/lib/csi"

// csiVolumes: a driver in a privileged DaemonSet, whose mounts come to the node by Bidirectional propagation; a volume with a file
// system and one without, made on demand; both keep what was written when their pod, and when the driver's, is replaced.
func csiVolumes(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "csi.yaml"); err != nil {
		return err
	}
	if err := c.podsReady(ctx, "labelSelector=app=csi", 1); err != nil {
		return fmt.Errorf("the driver: %w", err)
	}
	if err := c.applied(ctx, "csi-pod.yaml", "volumes"); err != nil {
		return err
	}
	// the device belongs to nobody but root; 16 MiB are what was asked for
	if err := prints(ctx, "volumes", "grep -c '^/dev/loop[0-9]* /data ext4 rw' /proc/mounts; test -b /dev/volume && echo device; "+
		"dd if=/dev/volume bs=1048576 2>/dev/null | wc -c; echo kept > /data/file; "+
		"echo raw | dd of=/dev/volume bs=512 seek=9 conv=notrunc 2>/dev/null; sync", "1 device 16777216"); err != nil {
		return err
	}
	if err := c.replaced(ctx, "labelSelector=app=csi"); err != nil {
		return fmt.Errorf("the driver, once more: %w", err)
	}
	if err := prints(ctx, "volumes", "cat /data/file; echo more >> /data/file", "kept"); err != nil {
		return fmt.Errorf("without its driver's pod: %w", err)
	}
	if err := c.gone(ctx, "pods", "volumes"); err != nil {
		return err
	}
	if err := c.applied(ctx, "csi-pod.yaml", "volumes"); err != nil {
		return fmt.Errorf("the second pod: %w", err)
	}
	if err := prints(ctx, "volumes", "cat /data/file; dd if=/dev/volume bs=512 skip=9 count=1 2>/dev/null | head -c 3",
		"kept more raw"); err != nil {
		return err
	}
	return csiRemoved(ctx, c)
}

// replaced deletes the pods of a query and waits for others in their place.
func (c *cluster) replaced(ctx context.Context, query string) error {
	path := collection("v1", namespace, "pods")
	before, err := until(ctx, c.api, path, query, func(pods objects[corev1.Pod]) string { return "" })
	if err != nil {
		return err
	}
	for name := range before {
		if err := c.gone(ctx, "pods", name); err != nil {
			return err
		}
	}
	return c.podsReady(ctx, query, len(before))
}

// gone deletes an object of the checks' namespace and waits until it is not there any more.
func (c *cluster) gone(ctx context.Context, plural, name string) error {
	path := collection("v1", namespace, plural)
	if err := c.remove(ctx, path+"/"+name); err != nil {
		return err
	}
	_, err := kubectl(ctx, "wait", "--for=delete", plural+"/"+name, "--timeout=5m")
	return err
}

// csiRemoved: with the claims go the volumes, their files, mounts and loop devices.
func csiRemoved(ctx context.Context, c *cluster) error {
	if err := c.gone(ctx, "pods", "volumes"); err != nil {
		return err
	}
	for _, claim := range []string{"files", "raw"} {
		if err := c.gone(ctx, "persistentvolumeclaims", claim); err != nil {
			return err
		}
	}
	return volumesGone(ctx)
}

// volumesGone asks for what is left: a volume's object goes after its file.
func volumesGone(ctx context.Context) error {
	out, err := kubectl(ctx, "get", "persistentvolumes", "-o", "json")
	if err != nil {
		return err
	}
	var list corev1.PersistentVolumeList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return err
	}
	for _, volume := range list.Items {
		if volume.Spec.CSI != nil {
			if _, err := kubectl(ctx, "wait", "--for=delete", "persistentvolume/"+volume.Name, "--timeout=5m"); err != nil {
				return err
			}
		}
	}
	if files, _ := filepath.Glob(csiData + "/*"); len(files) > 0 {
		return fmt.Errorf("files of volumes are left: %v", files)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "kubernetes.io~csi") || strings.Contains(line, "/csi.crisp.dev/") {
			return fmt.Errorf("a mount is left: %s", line)
		}
	}
	return nil
}
