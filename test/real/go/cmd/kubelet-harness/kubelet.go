package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	cadvisorapi "github.com/google/cadvisor/info/v1"
	"google.golang.org/grpc"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"k8s.io/kubernetes/pkg/kubelet/cm/containermap"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/dra"
	"k8s.io/kubernetes/pkg/kubelet/cm/resourceupdates"
	"k8s.io/kubernetes/pkg/kubelet/cm/topologymanager"
	"k8s.io/kubernetes/pkg/kubelet/pluginmanager"
)

// startOptions are what a test may choose about the node.
type startOptions struct {
	// NUMA node ids of the machine.
	NUMA []int `json:"numa"`
	// Topology manager policy: none (default), best-effort, restricted, single-numa-node.
	Policy string `json:"policy"`
	// Topology manager scope: container (default) or pod.
	Scope         string            `json:"scope"`
	PolicyOptions map[string]string `json:"policyOptions"`
	// Containers that a container runtime still runs: kubelet doesn't admit these again after its restart.
	Running []runningContainer `json:"running"`
	// Pods that the API server still has for this node, where the process that knew them is gone.
	Pods []v1.Pod `json:"pods"`
}

type runningContainer struct {
	PodUID    string `json:"podUID"`
	Container string `json:"container"`
}

// kubelet is one life of a kubelet: its managers, wired as in kubelet's container manager.
type kubelet struct {
	devices      *devicemanager.ManagerImpl
	topology     topologymanager.Manager
	claims       *dra.Manager // nil without an API server
	podResources *grpc.Server
	cancel       context.CancelFunc
}

// startKubelet starts everything that vsmmu's agent meets in a kubelet whose root directory is dir.
func startKubelet(dir string, options startOptions, active *pods, client kubernetes.Interface, nodeName string, updated func(resourceupdates.Update)) (*kubelet, error) {
	ctx, cancel := context.WithCancel(context.Background())
	k := &kubelet{cancel: cancel}
	if err := k.start(ctx, dir, options, active, client, nodeName, updated); err != nil {
		k.stop()
		return nil, err
	}
	return k, nil
}

func (k *kubelet) start(ctx context.Context, dir string, options startOptions, active *pods, client kubernetes.Interface, nodeName string, updated func(resourceupdates.Update)) error {
	logger := klog.FromContext(ctx)
	if err := k.startDevices(logger, dir, options, active); err != nil {
		return err
	}
	go forward(ctx, k.devices.Updates(), updated)

	registry := filepath.Join(dir, "plugins_registry")
	if err := os.MkdirAll(registry, 0o750); err != nil {
		return err
	}
	plugins := pluginmanager.NewPluginManager(registry, record.NewFakeRecorder(1000))
	plugins.AddHandler(registerapi.DevicePlugin, k.devices.GetWatcherHandler())
	if client != nil {
		if err := k.startClaims(ctx, dir, active, client, nodeName); err != nil {
			return err
		}
		plugins.AddHandler(registerapi.DRAPlugin, k.claims.GetWatcherHandler())
		go forward(ctx, k.claims.Updates(), updated)
	}
	go plugins.Run(ctx, ready{}, ctx.Done())

	server, err := servePodResources(ctx, dir, active, nodeResources{devices: k.devices, claims: k.claims})
	k.podResources = server
	return err
}

func (k *kubelet) startDevices(logger klog.Logger, dir string, options startOptions, active *pods) error {
	machine := machineNodes(options.NUMA)
	topology, err := topologymanager.NewManager(machine, orDefault(options.Policy, topologymanager.PolicyNone), orDefault(options.Scope, "container"), options.PolicyOptions)
	if err != nil {
		return fmt.Errorf("topology manager: %w", err)
	}
	socket := filepath.Join(dir, "device-plugins", "kubelet.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o750); err != nil {
		return err
	}
	devices, err := newManagerImpl(logger, socket, machine, topology)
	if err != nil {
		return fmt.Errorf("device manager: %w", err)
	}
	topology.AddHintProvider(logger, devices)
	containers, running := runningContainers(options.Running)
	if err := devices.Start(logger, active.GetActivePods, ready{}, containers, running); err != nil {
		return fmt.Errorf("start device manager: %w", err)
	}
	k.devices, k.topology = devices, topology
	return nil
}

func (k *kubelet) startClaims(ctx context.Context, dir string, active *pods, client kubernetes.Interface, nodeName string) error {
	claims, err := dra.NewManager(klog.FromContext(ctx), client, dir)
	if err != nil {
		return fmt.Errorf("DRA manager: %w", err)
	}
	getNode := func(ctx context.Context) (*v1.Node, error) {
		return client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	}
	if err := claims.Start(ctx, active.GetActivePods, getNode, ready{}); err != nil {
		return fmt.Errorf("start DRA manager: %w", err)
	}
	k.claims = claims
	return nil
}

func (k *kubelet) stop() {
	k.cancel()
	if k.podResources != nil {
		k.podResources.Stop()
	}
	if k.devices != nil {
		_ = k.devices.Stop(klog.Background())
	}
}

func machineNodes(ids []int) []cadvisorapi.Node {
	if len(ids) == 0 {
		ids = []int{0}
	}
	nodes := make([]cadvisorapi.Node, 0, len(ids))
	for i, id := range ids {
		// The usual distances of a firmware table: 10 to itself, 20 to the others.
		distances := make([]uint64, len(ids))
		for j := range distances {
			distances[j] = 20
		}
		distances[i] = 10
		nodes = append(nodes, cadvisorapi.Node{Id: id, Distances: distances})
	}
	return nodes
}

func runningContainers(running []runningContainer) (containermap.ContainerMap, sets.Set[string]) {
	containers, ids := containermap.NewContainerMap(), sets.New[string]()
	for _, container := range running {
		id := container.PodUID + "/" + container.Container
		containers.Add(container.PodUID, container.Container, id)
		ids.Insert(id)
	}
	return containers, ids
}

func forward(ctx context.Context, updates <-chan resourceupdates.Update, updated func(resourceupdates.Update)) {
	for {
		select {
		case <-ctx.Done():
			return
		case update := <-updates:
			updated(update)
		}
	}
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
