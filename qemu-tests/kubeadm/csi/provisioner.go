package main

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisioner is told of claims by the library that external-provisioner is made with.
type provisioner struct {
	driver csi.ControllerClient
}

var _ controller.BlockProvisioner = (*provisioner)(nil)

func provision(ctx context.Context, o *options) error {
	conn, err := connect(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	p := &provisioner{csi.NewControllerClient(conn)}
	controller.NewProvisionController(ctx, client, driverName, p, controller.LeaderElection(false)).Run(ctx)
	return nil
}

func (p *provisioner) Provision(ctx context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	size := o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]
	reply, err := p.driver.CreateVolume(ctx, &csi.CreateVolumeRequest{Name: o.PVName,
		CapacityRange: &csi.CapacityRange{RequiredBytes: size.Value()}, Parameters: o.StorageClass.Parameters})
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	source := &corev1.CSIPersistentVolumeSource{Driver: driverName, VolumeHandle: reply.Volume.VolumeId}
	if o.PVC.Spec.VolumeMode == nil || *o.PVC.Spec.VolumeMode == corev1.PersistentVolumeFilesystem {
		source.FSType = "ext4"
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			VolumeMode:                    o.PVC.Spec.VolumeMode,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: source},
		},
	}, controller.ProvisioningFinished, nil
}

// SupportsBlock is what the library asks before it has a volume made without a file system.
func (p *provisioner) SupportsBlock(context.Context) bool { return true }

func (p *provisioner) Delete(ctx context.Context, volume *corev1.PersistentVolume) error {
	_, err := p.driver.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.Spec.CSI.VolumeHandle})
	return err
}
