package main

import (
	"kubevirt.io/kubevirt/pkg/hooks"
	_ "kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
)

func main() { _ = hooks.GetManager() }
