module vsmmu.io/bench/go-webhook

go 1.21
