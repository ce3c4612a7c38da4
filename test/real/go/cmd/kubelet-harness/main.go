// Command kubelet-harness runs the real parts of kubelet that a device plugin or a DRA driver meets: the device
// manager, the topology manager, the plugin watcher, the PodResources server and (with an API server) the DRA
// manager. There is no container runtime: a test admits pods and reads what their containers would be given.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cm/resourceupdates"

	"vsmmu.io/test/real/internal/jsonlines"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kubelet-harness:", err)
		os.Exit(1)
	}
}

func run() error {
	klog.InitFlags(nil)
	dir := flag.String("dir", "", "kubelet's root directory, absolute")
	server := flag.String("api-server", "", "URL of an API server; without it there is no DRA manager")
	ca := flag.String("ca", "", "file with the API server's CA")
	token := flag.String("token", "", "bearer token for the API server")
	nodeName := flag.String("node", "node-1", "name of this node")
	flag.Parse()
	if *dir == "" {
		return fmt.Errorf("--dir is missing")
	}

	var client kubernetes.Interface
	if *server != "" {
		var err error
		client, err = kubernetes.NewForConfig(&rest.Config{Host: *server, BearerToken: *token, TLSClientConfig: rest.TLSClientConfig{CAFile: *ca}, QPS: 100, Burst: 100})
		if err != nil {
			return err
		}
	}

	out := jsonlines.NewWriter(os.Stdout)
	n := &node{dir: *dir, name: *nodeName, client: client, pods: newPods(), updated: func(update resourceupdates.Update) {
		out.Event("resources-updated", map[string]any{"podUIDs": update.PodUIDs})
	}}
	defer n.stop()
	return jsonlines.Serve(context.Background(), os.Stdin, out, n.operations())
}
