package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// registrar answers the kubelet, which watches the directory for sockets.
type registrar struct {
	registerapi.UnsafeRegistrationServer
	info *registerapi.PluginInfo
	done chan error
}

func register(ctx context.Context, o *options) error {
	conn, err := connect(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	driver, err := csi.NewIdentityClient(conn).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{})
	if err != nil {
		return fmt.Errorf("the driver: %w", err)
	}
	r := &registrar{done: make(chan error, 1), info: &registerapi.PluginInfo{Type: registerapi.CSIPlugin, Name: driver.Name,
		Endpoint: o.kubeletsPath, SupportedVersions: []string{"1.0.0"}}}
	socket := filepath.Join(o.registration, driver.Name+"-reg.sock")
	listener, err := listen(socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	registerapi.RegisterRegistrationServer(server, r)
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	go func() {
		if err := <-r.done; err != nil {
			fmt.Fprintln(os.Stderr, "csi registrar: the kubelet:", err)
			os.Exit(1)
		}
	}()
	return server.Serve(listener)
}

// listen on a socket that a process before this one may have left.
func listen(socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", socket)
}

func (r *registrar) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	fmt.Println("the kubelet asks")
	return r.info, nil
}

func (r *registrar) NotifyRegistrationStatus(_ context.Context, status *registerapi.RegistrationStatus) (*registerapi.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		r.done <- errors.New(status.Error)
		return &registerapi.RegistrationStatusResponse{}, nil
	}
	fmt.Println("registered")
	return &registerapi.RegistrationStatusResponse{}, nil
}
