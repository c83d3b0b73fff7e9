package kit

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TaggedVM is the path of an arcbox-vm that was built with tags (separated by commas), which exists
// for tests only.
func TaggedVM(t *testing.T, tags string) string {
	t.Helper()
	path := filepath.Join(dir, "arcbox-vm-"+tags)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", path, "github.com/arcboxlabs/arcbox-go/cmd/arcbox-vm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build arcbox-vm with the tags %s: %v\n%s", tags, err, out)
	}
	return path
}
