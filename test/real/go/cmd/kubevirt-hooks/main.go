// Command kubevirt-hooks is virt-launcher's side of what vsmmu gives it. KubeVirt's own hook manager collects the
// sidecars' sockets and calls them, its own DomainSpec reads what comes back, its own functions name and parse the
// environment in which a device plugin hands devices over, and its own reader takes the metadata of a DRA driver.
package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	v1 "kubevirt.io/api/core/v1"
	pluginv1alpha1 "kubevirt.io/api/plugin/v1alpha1"
	"kubevirt.io/client-go/log"
	"kubevirt.io/kubevirt/pkg/dra"
	"kubevirt.io/kubevirt/pkg/hooks"
	"kubevirt.io/kubevirt/pkg/util"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/device"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/plugins"

	"vsmmu.io/test/real/internal/jsonlines"
)

func main() {
	dir := flag.String("dir", hooks.HookSocketsSharedDirectory, "where virt-launcher sees the sidecars' folders")
	flag.Parse()
	// The manager logs to stderr through this.
	log.InitializeLogging("virt-launcher")

	manager := hooks.GetManager()
	useDirectory(manager, *dir)
	operations := map[string]jsonlines.Operation{
		"collect":   jsonlines.Op(func(_ context.Context, p collectParams) (any, error) { return collect(manager, p) }),
		"define":    jsonlines.Op(func(_ context.Context, p defineParams) (any, error) { return define(manager, p) }),
		"shutdown":  jsonlines.Op(func(context.Context, struct{}) (any, error) { return true, manager.Shutdown() }),
		"plugins":   jsonlines.Op(func(_ context.Context, p pluginParams) (any, error) { return applyPlugins(p) }),
		"addresses": jsonlines.Op(func(_ context.Context, p environmentParams) (any, error) { return addresses(p) }),
		"claimed":   jsonlines.Op(func(_ context.Context, p claimedParams) (any, error) { return claimed(p) }),
		"sidecars": jsonlines.Op(func(_ context.Context, vmi v1.VirtualMachineInstance) (any, error) {
			return hooks.UnmarshalHookSidecarList(&vmi)
		}),
	}
	if err := jsonlines.Serve(context.Background(), os.Stdin, jsonlines.NewWriter(os.Stdout), operations); err != nil {
		fmt.Fprintln(os.Stderr, "kubevirt-hooks:", err)
		os.Exit(1)
	}
}

// useDirectory points the manager at another folder; KubeVirt makes it a constant, and only its unit tests may choose.
func useDirectory(manager hooks.Manager, dir string) {
	field := reflect.ValueOf(manager).Elem().FieldByName("hookSocketSharedDirectory")
	reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().SetString(dir)
}

type pluginParams struct {
	Domain  string                    `json:"domain"`
	VMI     v1.VirtualMachineInstance `json:"vmi"`
	Plugins []pluginv1alpha1.Plugin   `json:"plugins"`
}

// applyPlugins is what virt-launcher does after its sidecars, as soon as the cluster has any Plugin: the domain goes
// through libvirt's Go types, which drop what they don't know, and through the plugins' hooks.
func applyPlugins(params pluginParams) (any, error) {
	var spec api.DomainSpec
	if err := xml.Unmarshal([]byte(params.Domain), &spec); err != nil {
		return nil, err
	}
	_, defined, err := plugins.ApplyDomainHooks(params.Plugins, &params.VMI, &spec, pluginv1alpha1.InvocationContextBoot)
	return map[string]any{"defined": defined}, err
}

type environmentParams struct {
	Resource    string            `json:"resource"`
	Environment map[string]string `json:"environment"`
}

// addresses reads a container's environment as virt-launcher's address pools do. Their package can't be built here: it
// wants libvirt's Go module, which the checksum database doesn't vouch for.
func addresses(params environmentParams) (any, error) {
	name := util.ResourceNameToEnvVar(v1.PCIResourcePrefix, params.Resource)
	value, ok := params.Environment[name]
	if !ok {
		return nil, fmt.Errorf("virt-launcher looks for %s", name)
	}
	found := strings.Split(strings.TrimSuffix(value, ","), ",")
	for _, address := range found {
		if _, err := device.NewPciAddressField(address); err != nil {
			return nil, err
		}
	}
	return found, nil
}

type claimedParams struct {
	// Root is the container's file system.
	Root    string                                   `json:"root"`
	Claims  []v1.VirtualMachineInstanceResourceClaim `json:"claims"`
	Claim   string                                   `json:"claim"`
	Request string                                   `json:"request"`
}

// claimed is how virt-launcher finds the device that a request of one of the VMI's claims got.
func claimed(params claimedParams) (any, error) {
	base := filepath.Join(params.Root, dra.DefaultMetadataBasePath)
	address, err := dra.GetPCIAddressForClaim(base, params.Claims, params.Claim, params.Request)
	if err != nil {
		return nil, err
	}
	_, err = device.NewPciAddressField(address)
	return address, err
}

type collectParams struct {
	Sidecars       uint `json:"sidecars"`
	TimeoutSeconds int  `json:"timeoutSeconds"`
}

func collect(manager hooks.Manager, params collectParams) (any, error) {
	start := time.Now()
	err := manager.Collect(params.Sidecars, time.Duration(params.TimeoutSeconds)*time.Second)
	return map[string]any{"milliseconds": time.Since(start).Milliseconds()}, err
}

type defineParams struct {
	Domain string                    `json:"domain"`
	VMI    v1.VirtualMachineInstance `json:"vmi"`
}

// define does what virt-launcher does when it defines a domain: the sidecars get its DomainSpec as XML, and the XML
// that they return goes to libvirt as it is and, lossily, into the DomainSpec that the next define starts from.
func define(manager hooks.Manager, params defineParams) (any, error) {
	var spec api.DomainSpec
	if err := xml.Unmarshal([]byte(params.Domain), &spec); err != nil {
		return nil, fmt.Errorf("the test's own domain: %w", err)
	}
	sent, err := xml.MarshalIndent(spec, "", "\t")
	if err != nil {
		return nil, err
	}
	start := time.Now()
	defined, err := manager.OnDefineDomain(&spec, &params.VMI)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	var readBack api.DomainSpec
	if err := xml.Unmarshal([]byte(defined), &readBack); err != nil {
		return nil, fmt.Errorf("KubeVirt can't read what the sidecar returned: %w", err)
	}
	next, err := xml.MarshalIndent(readBack, "", "\t")
	if err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(readBack)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"sent": string(sent), "defined": defined, "readBack": string(next), "spec": json.RawMessage(asJSON),
		"microseconds": took.Microseconds(),
	}, nil
}
