// The JSON schema of CDI, from the last releases of its library that carry it; ../go resolves devices with the newest.
// The schema describes every version of the specification up to that of the library.
module vsmmu.io/test/real/cdi-schema

go 1.26.0

require tags.cncf.io/container-device-interface v0.8.0

require (
	github.com/xeipuuv/gojsonpointer v0.0.0-20180127040702-4e3ac2762d5f // indirect
	github.com/xeipuuv/gojsonreference v0.0.0-20180127040603-bd5ef7bd5415 // indirect
	github.com/xeipuuv/gojsonschema v1.2.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
	sigs.k8s.io/yaml v1.3.0 // indirect
)
