/* cadvisor.h: what the kubelet's cAdvisor asks of CRI-O, answered in CRI-O's way (cadvisor, container/crio/client.go).
 *
 * cAdvisor knows the containers of containerd and CRI-O only: those of others it finds by their cgroups, without a name,
 * image or network. Where the configuration has `cadvisor_listen`, containers' cgroups are called crio-ID (cgroups.h), each
 * pod with a network of its own has an empty one, crio-PODID.scope, for its counters, and these pages say whose they are:
 *   GET /info             cgroup and storage driver
 *   GET /containers/ID    name, image, labels, process; of a pod as of CRI-O's pause container, POD
 */
#ifndef CRISP_CADVISOR_H
#define CRISP_CADVISOR_H

#include "cri/pages.h"

extern const struct pages cadvisor_pages;

#endif
