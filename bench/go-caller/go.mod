module vsmmu.io/bench/go-caller

go 1.21
