package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	v1 "k8s.io/api/core/v1"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"
	apisgrpc "k8s.io/kubernetes/pkg/kubelet/apis/grpc"
	"k8s.io/kubernetes/pkg/kubelet/apis/podresources"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/dra"
)

// nodeResources answers kubelet's PodResources server from the two managers, as kubelet's container manager does.
// CPUs and memory are not managed here.
type nodeResources struct {
	devices *devicemanager.ManagerImpl
	claims  *dra.Manager
}

func (n nodeResources) UpdateAllocatedDevices() {
	n.devices.UpdateAllocatedDevices()
}

func (n nodeResources) GetDevices(podUID, containerName string) []*api.ContainerDevices {
	return containerDevices(n.devices.GetDevices(podUID, containerName))
}

func (n nodeResources) GetAllocatableDevices() []*api.ContainerDevices {
	return containerDevices(n.devices.GetAllocatableDevices())
}

func containerDevices(instances devicemanager.ResourceDeviceInstances) []*api.ContainerDevices {
	var devices []*api.ContainerDevices
	for resource, byID := range instances {
		for id, device := range byID {
			entry := &api.ContainerDevices{ResourceName: resource, DeviceIds: []string{id}}
			for _, node := range device.GetTopology().GetNodes() {
				if entry.Topology == nil {
					entry.Topology = &api.TopologyInfo{}
				}
				entry.Topology.Nodes = append(entry.Topology.Nodes, &api.NUMANode{ID: node.GetID()})
			}
			devices = append(devices, entry)
		}
	}
	return devices
}

func (n nodeResources) GetDynamicResources(pod *v1.Pod, container *v1.Container) []*api.DynamicResource {
	if n.claims == nil {
		return nil
	}
	claims, err := n.claims.GetContainerClaimInfos(pod, container)
	if err != nil {
		return nil
	}
	var resources []*api.DynamicResource
	for _, claim := range claims {
		resource := &api.DynamicResource{ClaimName: claim.ClaimName, ClaimNamespace: claim.Namespace}
		for driver, state := range claim.DriverState {
			for _, device := range state.Devices {
				entry := &api.ClaimResource{DriverName: driver, PoolName: device.PoolName, DeviceName: device.DeviceName}
				for _, id := range device.CDIDeviceIDs {
					entry.CdiDevices = append(entry.CdiDevices, &api.CDIDevice{Name: id})
				}
				resource.ClaimResources = append(resource.ClaimResources, entry)
			}
		}
		resources = append(resources, resource)
	}
	return resources
}

func (nodeResources) GetCPUs(string, string) []int64                  { return nil }
func (nodeResources) GetAllocatableCPUs() []int64                     { return nil }
func (nodeResources) GetMemory(string, string) []*api.ContainerMemory { return nil }
func (nodeResources) GetAllocatableMemory() []*api.ContainerMemory    { return nil }

// servePodResources listens on <dir>/pod-resources/kubelet.sock with kubelet's own rate limit.
func servePodResources(ctx context.Context, dir string, active *pods, resources nodeResources) (*grpc.Server, error) {
	path := filepath.Join(dir, "pod-resources", "kubelet.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for PodResources: %w", err)
	}
	server := grpc.NewServer(apisgrpc.WithRateLimiter(ctx, "podresources", podresources.DefaultQPS, podresources.DefaultBurstTokens))
	api.RegisterPodResourcesListerServer(server, podresources.NewV1PodResourcesServer(ctx, providers(active, resources)))
	go func() { _ = server.Serve(listener) }()
	return server, nil
}

func providers(active *pods, resources nodeResources) podresources.PodResourcesProviders {
	return podresources.PodResourcesProviders{
		Pods: active, Devices: resources, Cpus: resources, Memory: resources, DynamicResources: resources,
	}
}
