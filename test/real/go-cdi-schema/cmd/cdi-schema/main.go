// Command cdi-schema validates the CDI specifications of a folder by the JSON schema that the CDI project publishes with
// its library, and prints the names of the files.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"tags.cncf.io/container-device-interface/schema"
)

func main() {
	files, err := validate(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "cdi-schema:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(files)
}

func validate(dir string) ([]string, error) {
	builtin := schema.BuiltinSchema()
	// The library falls back to a schema that lets everything through.
	if builtin.ValidateData([]byte(`{"cdiVersion":"0.5.0","kind":"a.b/c","devices":[{"name":"d"}]}`)) == nil {
		return nil, fmt.Errorf("the library could not load its schema")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := builtin.ValidateData(data); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return files, nil
}
