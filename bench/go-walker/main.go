// A minimal sysfs walker, the peer of vsmmu's survey in bench/scan.mjs: one goroutine reads the same facts of every PCI
// function and walks its extended capabilities. It has no evidence, no reasons and no limits.
//
//	walker ROOT ROUNDS
//
// prints {"ms": [...], "functions": N}.
package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	extendedStart = 0x100
	extendedATS   = 0x0f
	extendedPRI   = 0x13
	extendedPASID = 0x1b
)

type function struct {
	Address, Root, Modalias, Driver, Smmu, Group, Numa, Reset, Vfio, Physfn string
	ATS, PRI, Sriov, Node                                                   bool
	PASID                                                                   uint8
	Mates                                                                   int
}

func link(path string) string {
	target, _ := os.Readlink(path)
	return target
}

func text(path string) string {
	content, _ := os.ReadFile(path)
	return strings.TrimSpace(string(content))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (f *function) capabilities(config []byte) {
	for at := extendedStart; at != 0 && at+8 <= len(config); {
		header := binary.LittleEndian.Uint32(config[at:])
		switch header & 0xffff {
		case extendedATS:
			f.ATS = true
		case extendedPRI:
			f.PRI = true
		case extendedPASID:
			f.PASID = config[at+5] & 0x1f
		}
		next := int(header>>20) & 0xffc
		if next <= at {
			return
		}
		at = next
	}
}

func walk(root string) []function {
	devices := filepath.Join(root, "/sys/bus/pci/devices")
	entries, _ := os.ReadDir(devices)
	functions := make([]function, 0, len(entries))
	groups := map[string]int{}
	for _, entry := range entries {
		at := filepath.Join(devices, entry.Name())
		f := function{
			Address:  entry.Name(),
			Root:     link(at),
			Modalias: text(at + "/modalias"),
			Driver:   filepath.Base(link(at + "/driver")),
			Smmu:     filepath.Base(link(at + "/iommu")),
			Group:    filepath.Base(link(at + "/iommu_group")),
			Numa:     text(at + "/numa_node"),
			Reset:    text(at + "/reset_method"),
			Physfn:   link(at + "/physfn"),
			Sriov:    exists(at + "/sriov_totalvfs"),
		}
		if names, err := os.ReadDir(at + "/vfio-dev"); err == nil && len(names) > 0 {
			f.Vfio = names[0].Name()
			f.Node = exists(filepath.Join(root, "/dev/vfio/devices", f.Vfio))
			members, _ := os.ReadDir(filepath.Join(root, "/sys/kernel/iommu_groups", f.Group, "devices"))
			f.Mates = len(members) - 1
		}
		config, _ := os.ReadFile(at + "/config")
		f.capabilities(config)
		groups[f.Group]++
		functions = append(functions, f)
	}
	return functions
}

func main() {
	rounds, _ := strconv.Atoi(os.Args[2])
	result := struct {
		Ms        []float64 `json:"ms"`
		Functions int       `json:"functions"`
	}{}
	for i := 0; i < rounds; i++ {
		begun := time.Now()
		result.Functions = len(walk(os.Args[1]))
		result.Ms = append(result.Ms, float64(time.Since(begun).Microseconds())/1000)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}
