// Csi is the tests' own CSI driver: volumes are files of the node behind loop devices, with an ext4 on them or as they are. The same
// program is its sidecars, each a container of the DaemonSet's pod, as with any driver:
//
//	csi driver       the three services of the CSI, on a socket of the kubelet's plugin directory
//	csi registrar    tells the kubelet of it (what node-driver-registrar does)
//	csi provisioner  makes and deletes volumes as claims come and go (what external-provisioner does)
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const driverName = "csi.crisp.dev"

type options struct {
	socket       string // of the driver
	kubeletsPath string // the same as the kubelet sees it
	registration string // the kubelet's directory for sockets of registrars
	data         string // where the volumes' files are
	node         string
}

func main() {
	var o options
	roles := map[string]func(context.Context, *options) error{"driver": drive, "registrar": register, "provisioner": provision}
	flags := flag.NewFlagSet("csi", flag.ExitOnError)
	flags.StringVar(&o.socket, "socket", "/csi/csi.sock", "the driver's socket")
	flags.StringVar(&o.kubeletsPath, "kubelets-path", "/var/lib/kubelet/plugins/"+driverName+"/csi.sock", "that socket, for the kubelet")
	flags.StringVar(&o.registration, "registration", "/registration", "where the kubelet looks for registrars")
	flags.StringVar(&o.data, "data", "/data", "the volumes' files")
	flags.StringVar(&o.node, "node", os.Getenv("NODE_NAME"), "this node's name")
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "csi: driver, registrar or provisioner?")
		os.Exit(2)
	}
	if err := flags.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := roles[os.Args[1]](ctx, &o); err != nil {
		fmt.Fprintf(os.Stderr, "csi %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// connect to the driver; calls wait until it listens.
func connect(o *options) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+o.socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
}
