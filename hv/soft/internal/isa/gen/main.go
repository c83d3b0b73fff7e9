// Gen writes the operation constants of package isa and the executor of
// package exec from isa/table. It runs in hv/soft/internal/isa.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa/table"
)

// files are what is generated, by path from hv/soft/internal/isa.
var files = map[string]func([]table.Group) ([]byte, error){
	"ops_gen.go":                opsFile,
	"../exec/run_gen_unsafe.go": runFile,
}

func main() {
	log.SetFlags(0)
	for name, text := range files {
		b, err := text(table.All())
		if err != nil {
			log.Fatal(fmt.Errorf("cannot generate %s: %w", name, err))
		}
		if err := os.WriteFile(filepath.FromSlash(name), b, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
