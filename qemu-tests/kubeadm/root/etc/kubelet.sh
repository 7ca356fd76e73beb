#!/bin/busybox sh
# The kubelet as kubeadm's packages start it (their 10-kubeadm.conf): with the flags and files that kubeadm writes.
KUBELET_KUBEADM_ARGS=
[ ! -e /var/lib/kubelet/kubeadm-flags.env ] || . /var/lib/kubelet/kubeadm-flags.env
# as the control plane's programs (kubeadm.yaml)
export GOGC=400 GODEBUG=tlsmlkem=0
# shellcheck disable=SC2086 # a list of words
exec /usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \
	--config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
