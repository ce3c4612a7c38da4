// Command cdi-check reads CDI specifications with the library that containerd and CRI-O resolve devices with, which
// refuses unknown fields, wrong names and a version too low for what is used, and prints what a container would be
// given for each device.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"tags.cncf.io/container-device-interface/pkg/cdi"
)

type edits struct {
	Environment []string `json:"environment"`
	Nodes       []string `json:"nodes"`
}

func main() {
	devices, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "cdi-check:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(devices)
}

func read(dir string) (map[string]edits, error) {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dir), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, err
	}
	for path, faults := range cache.GetErrors() {
		return nil, fmt.Errorf("%s: %v", path, faults)
	}
	devices := map[string]edits{}
	for _, name := range cache.ListDevices() {
		device := cache.GetDevice(name)
		found := edits{Environment: device.ContainerEdits.Env, Nodes: []string{}}
		for _, node := range device.ContainerEdits.DeviceNodes {
			found.Nodes = append(found.Nodes, node.Path)
		}
		devices[name] = found
	}
	return devices, nil
}
