// A minimal admission webhook with Go's standard library alone, as the floor that vsmmu's webhook is measured beside:
// it decodes the review into typed fields, looks for a device of ours, and answers with the same JSON patch.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type device struct {
	DeviceName string `json:"deviceName"`
}

type review struct {
	Request struct {
		UID    string `json:"uid"`
		Object struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
			Spec struct {
				Domain struct {
					Devices struct {
						GPUs        []device `json:"gpus"`
						HostDevices []device `json:"hostDevices"`
					} `json:"devices"`
				} `json:"domain"`
			} `json:"spec"`
		} `json:"object"`
	} `json:"request"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	PatchType string `json:"patchType,omitempty"`
	Patch     []byte `json:"patch,omitempty"`
}

const sidecars = `[{"image":"vsmmu:bench","imagePullPolicy":"IfNotPresent","args":["hook"]}]`

func asks(devices []device) bool {
	for _, d := range devices {
		if strings.HasPrefix(d.DeviceName, "vsmmu.io/") {
			return true
		}
	}
	return false
}

func mutate(w http.ResponseWriter, r *http.Request) {
	var in review
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 7<<20)).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := response{UID: in.Request.UID, Allowed: true}
	devices := in.Request.Object.Spec.Domain.Devices
	if asks(devices.GPUs) || asks(devices.HostDevices) {
		patch := operation{"add", "/metadata/annotations/hooks.kubevirt.io~1hookSidecars", sidecars}
		if in.Request.Object.Metadata.Annotations == nil {
			patch = operation{"add", "/metadata/annotations", map[string]string{"hooks.kubevirt.io/hookSidecars": sidecars}}
		}
		out.PatchType = "JSONPatch"
		out.Patch, _ = json.Marshal([]operation{patch})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": out,
	})
}

// Arguments: certificate file, key file. Prints its address.
func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("https://%s\n", listener.Addr())
	http.HandleFunc("/mutate", mutate)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	panic(server.ServeTLS(listener, os.Args[1], os.Args[2]))
}
