package main

import (
	"context"
	"errors"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"
	"k8s.io/kubernetes/pkg/kubelet/apis/podresources"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/resourceupdates"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"

	"vsmmu.io/test/real/internal/jsonlines"
)

// node outlives its kubelet: its directory, its pods.
type node struct {
	dir     string
	name    string
	client  kubernetes.Interface
	pods    *pods
	updated func(resourceupdates.Update)

	mutex   sync.Mutex
	current *kubelet
}

var errStopped = errors.New("the kubelet is not running")

func (n *node) kubelet() (*kubelet, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.current == nil {
		return nil, errStopped
	}
	return n.current, nil
}

func (n *node) start(options startOptions) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.current != nil {
		return errors.New("the kubelet is running already")
	}
	for i := range options.Pods {
		n.pods.add(&options.Pods[i])
	}
	k, err := startKubelet(n.dir, options, n.pods, n.client, n.name, n.updated)
	n.current = k
	return err
}

func (n *node) stop() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.current != nil {
		n.current.stop()
		n.current = nil
	}
}

type containerRef struct {
	UID       string `json:"uid"`
	Container string `json:"container"`
}

type podParams struct {
	Pod v1.Pod `json:"pod"`
}

func (n *node) operations() map[string]jsonlines.Operation {
	return map[string]jsonlines.Operation{
		"start": jsonlines.Op(func(_ context.Context, options startOptions) (any, error) { return true, n.start(options) }),
		"stop": jsonlines.Op(func(context.Context, struct{}) (any, error) {
			n.stop()
			return true, nil
		}),
		"capacity":    jsonlines.Op(n.capacity),
		"allocatable": jsonlines.Op(n.allocatable),
		"admit":       jsonlines.Op(n.admit),
		"remove":      jsonlines.Op(n.remove),
		"devices":     jsonlines.Op(n.devices),
		"options":     jsonlines.Op(n.options),
		"hints":       jsonlines.Op(n.hints),
		"disconnect":  jsonlines.Op(n.disconnect),
		"inUse":       jsonlines.Op(n.inUse),
		"status":      jsonlines.Op(n.status),
		"prepare":     jsonlines.Op(n.prepare),
		"unprepare":   jsonlines.Op(n.unprepare),
	}
}

// capacity is what kubelet would write into the node's status.
func (n *node) capacity(context.Context, struct{}) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	capacity, allocatable, removed := k.devices.GetCapacity()
	return map[string]any{"capacity": counts(capacity), "allocatable": counts(allocatable), "removed": removed}, nil
}

func counts(list v1.ResourceList) map[string]int64 {
	numbers := map[string]int64{}
	for name, quantity := range list {
		numbers[string(name)] = quantity.Value()
	}
	return numbers
}

// allocatable lists the healthy devices with their NUMA nodes.
func (n *node) allocatable(context.Context, struct{}) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	return deviceNodes(k.devices.GetAllocatableDevices()), nil
}

func deviceNodes(instances devicemanager.ResourceDeviceInstances) map[string]map[string][]int64 {
	all := map[string]map[string][]int64{}
	for resource, byID := range instances {
		all[resource] = map[string][]int64{}
		for id, device := range byID {
			nodes := []int64{}
			for _, numa := range device.GetTopology().GetNodes() {
				nodes = append(nodes, numa.GetID())
			}
			all[resource][id] = nodes
		}
	}
	return all
}

// admit asks the topology manager, which asks the device manager, which calls the plugin: kubelet's own path of a new pod.
func (n *node) admit(_ context.Context, params podParams) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	pod := params.Pod
	n.pods.add(&pod)
	result := k.topology.Admit(&lifecycle.PodAdmitAttributes{Pod: &pod})
	if !result.Admit {
		n.pods.remove(string(pod.UID))
	}
	return map[string]any{"admitted": result.Admit, "reason": result.Reason, "message": result.Message}, nil
}

func (n *node) remove(_ context.Context, ref containerRef) (any, error) {
	n.pods.remove(ref.UID)
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	k.devices.UpdateAllocatedDevices()
	return true, nil
}

func (n *node) devices(_ context.Context, ref containerRef) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	return deviceNodes(k.devices.GetDevices(ref.UID, ref.Container)), nil
}

// options is what the container runtime would be told when the container is created.
func (n *node) options(ctx context.Context, ref containerRef) (any, error) {
	k, pod, container, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	options, err := k.devices.GetDeviceRunContainerOptions(ctx, pod, container)
	if err != nil {
		return nil, err
	}
	if options == nil {
		options = &devicemanager.DeviceRunContainerOptions{}
	}
	if k.claims != nil && len(pod.Spec.ResourceClaims) > 0 {
		claims, err := k.claims.GetResources(pod, container)
		if err != nil {
			return nil, err
		}
		options.CDIDevices = append(options.CDIDevices, claims.CDIDevices...)
	}
	env, annotations, cdi, devices := map[string]string{}, map[string]string{}, []string{}, []map[string]string{}
	for _, variable := range options.Envs {
		env[variable.Name] = variable.Value
	}
	for _, annotation := range options.Annotations {
		annotations[annotation.Name] = annotation.Value
	}
	for _, device := range options.CDIDevices {
		cdi = append(cdi, device.Name)
	}
	for _, device := range options.Devices {
		devices = append(devices, map[string]string{"host": device.PathOnHost, "container": device.PathInContainer, "permissions": device.Permissions})
	}
	return map[string]any{"env": env, "annotations": annotations, "cdi": cdi, "devices": devices, "mounts": len(options.Mounts)}, nil
}

type resourceParams struct {
	Resource string `json:"resource"`
}

// disconnect ends kubelet's side of a plugin's streams while the plugin's socket stays, as a failed stream does.
func (n *node) disconnect(_ context.Context, params resourceParams) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	k.devices.GetWatcherHandler().DeRegisterPlugin(params.Resource, "")
	return true, nil
}

// inUse asks kubelet's PodResources server which devices each container has.
func (n *node) inUse(ctx context.Context, _ struct{}) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	list, err := podresources.NewV1PodResourcesServer(ctx, providers(n.pods, nodeResources{devices: k.devices, claims: k.claims})).List(ctx, &api.ListPodResourcesRequest{})
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for _, pod := range list.PodResources {
		for _, container := range pod.Containers {
			ids := []string{}
			for _, devices := range container.Devices {
				ids = append(ids, devices.DeviceIds...)
			}
			all[pod.Name+"/"+container.Name] = ids
		}
	}
	return all, nil
}

func (n *node) hints(_ context.Context, params podParams) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	type hint struct {
		NUMA      []int `json:"numa"`
		Preferred bool  `json:"preferred"`
	}
	all := map[string][]hint{}
	for resource, hints := range k.devices.GetTopologyHints(&params.Pod, &params.Pod.Spec.Containers[0]) {
		all[resource] = []hint{}
		for _, h := range hints {
			all[resource] = append(all[resource], hint{NUMA: h.NUMANodeAffinity.GetBits(), Preferred: h.Preferred})
		}
	}
	return all, nil
}

// status is the part of the pod's status in which kubelet publishes the health of its devices.
func (n *node) status(_ context.Context, ref containerRef) (any, error) {
	k, pod, container, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	status := v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: container.Name}}}
	k.devices.UpdateAllocatedResourcesStatus(pod, &status)
	if k.claims != nil {
		k.claims.UpdateAllocatedResourcesStatus(pod, &status)
	}
	return status.ContainerStatuses[0].AllocatedResourcesStatus, nil
}

func (n *node) prepare(ctx context.Context, params podParams) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	if k.claims == nil {
		return nil, errors.New("no DRA manager: started without an API server")
	}
	pod := params.Pod
	n.pods.add(&pod)
	return true, k.claims.PrepareResources(ctx, &pod)
}

func (n *node) unprepare(ctx context.Context, ref containerRef) (any, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, err
	}
	if k.claims == nil {
		return nil, errors.New("no DRA manager: started without an API server")
	}
	pod, err := n.pods.get(ref.UID)
	if err != nil {
		return nil, err
	}
	if err := k.claims.UnprepareResources(ctx, pod); err != nil {
		return nil, err
	}
	n.pods.remove(ref.UID)
	return true, nil
}

func (n *node) find(ref containerRef) (*kubelet, *v1.Pod, *v1.Container, error) {
	k, err := n.kubelet()
	if err != nil {
		return nil, nil, nil, err
	}
	pod, container, err := n.pods.container(ref.UID, ref.Container)
	return k, pod, container, err
}
