// The floor for vsmmu's device plugin: the least a plugin written in Go has to do. It reads the folder of devices once,
// advertises them as one resource, answers Allocate with two device nodes, and registers once.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	devices []*api.Device
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		one := &api.ContainerAllocateResponse{}
		for _, id := range container.DevicesIds {
			for _, path := range []string{"/dev/vfio/vfio", "/dev/vfio/" + id} {
				one.Devices = append(one.Devices, &api.DeviceSpec{HostPath: path, ContainerPath: path, Permissions: "mrw"})
			}
		}
		answer.ContainerResponses = append(answer.ContainerResponses, one)
	}
	return answer, nil
}

// main runs until it is killed: go-plugin KUBELET_DIR DEVICES_DIR
func main() {
	dir := filepath.Join(os.Args[1], "device-plugins")
	entries, err := os.ReadDir(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	p := &plugin{}
	for _, entry := range entries {
		p.devices = append(p.devices, &api.Device{ID: entry.Name(), Health: "Healthy"})
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "floor.sock"))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go func() {
		connection, err := grpc.NewClient("unix:"+filepath.Join(dir, "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		defer connection.Close()
		request := &api.RegisterRequest{Version: "v1beta1", Endpoint: "floor.sock", ResourceName: "floor.example/device"}
		if _, err := api.NewRegistrationClient(connection).Register(context.Background(), request); err != nil {
			log.Fatal(err)
		}
	}()
	log.Fatal(server.Serve(listener))
}
