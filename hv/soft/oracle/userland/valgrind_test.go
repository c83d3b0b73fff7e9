package userland_test

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle/userland"
	"github.com/arcboxlabs/arcbox-go/test/valgrind"
)

func TestValgrindsTestsPrintWhatTheyShould(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs from a source package")
	}
	for _, p := range valgrind.Programs(t) {
		t.Run(p.Name, func(t *testing.T) {
			r, err := userland.Run(soft.New(), p.File, p.Name)
			if err != nil {
				t.Fatal(err)
			}
			p.Judge(t, r.Output)
		})
	}
}
