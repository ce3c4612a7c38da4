module vsmmu.io/bench/go-xml

go 1.21
