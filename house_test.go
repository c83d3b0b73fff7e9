// Package arcbox_test checks the house itself: who may import whom, and where
// cgo and unsafe may live.
package arcbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/arcboxlabs/arcbox-go/"

// A room is one package as `go list -json` tells it, paths relative to the module.
type room struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
}

// rooms lists every package as it is built for one system.
func rooms(t *testing.T, goos, goarch string) []room {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,GoFiles,CgoFiles", "./...")
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []room
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var r room
		switch err := dec.Decode(&r); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		r.ImportPath = strings.TrimPrefix(r.ImportPath, module)
		all = append(all, r)
	}
}

// within says whether pkg is the room or one inside it.
func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

// A rule allows a set of rooms a set of our packages, or forbids some.
type rule struct {
	name   string
	who    func(pkg string) bool
	may    []string // when not nil: nothing of ours but these
	mayNot []string
}

func exactly(names ...string) func(string) bool {
	return func(pkg string) bool { return slices.Contains(names, pkg) }
}

func inside(rooms ...string) func(string) bool {
	return func(pkg string) bool {
		return slices.ContainsFunc(rooms, func(r string) bool { return within(pkg, r) })
	}
}

// devices are the virtio devices: every room of hv/virtio but the transport
// and the test kit.
func devices(pkg string) bool {
	return path.Dir(pkg) == "hv/virtio" && pkg != "hv/virtio/mmio" && pkg != "hv/virtio/virtiotest"
}

var rules = []rule{
	{"the ground floor imports nothing of ours",
		exactly("hv", "hv/mem", "hv/arm64", "ipc", "launchd", "boot/fdt", "boot/image", "agent/lifecycle", "agent/storage/file"), []string{}, nil},
	{"hv/irq knows the architecture only", exactly("hv/irq"), []string{"hv/arm64"}, nil},
	{"a device knows queues only", devices, []string{"hv/virtio"}, nil},
	{"an api package knows the message layer only", exactly("ipc/vmapi", "ipc/netapi", "ipc/agentapi", "ipc/guestapi", "ipc/routeapi"), []string{"ipc"}, nil},
	{"only arcbox-vm links an engine",
		func(pkg string) bool {
			return pkg != "cmd/arcbox-vm" && !within(pkg, "hv/soft") && !within(pkg, "hv/hvf") && !strings.HasSuffix(pkg, "/standin")
		}, nil, []string{"hv/soft", "hv/hvf"}},
	{"the agent and the assets never see a hypervisor", inside("agent", "boot"), nil, []string{"hv"}},
	{"what runs as root knows routes only", exactly("cmd/arcbox-routed"),
		[]string{"agent/route", "agent/route/helper", "agent/route/system", "ipc", "ipc/unixsock", "launchd"}, nil},
	{"a program is nobody's library", func(string) bool { return true }, nil, []string{"cmd"}},
}

// breach says which import of r breaks the rule, or "".
func (u *rule) breach(r room) string {
	if !u.who(r.ImportPath) {
		return ""
	}
	for _, imp := range r.Imports {
		imp, ours := strings.CutPrefix(imp, module)
		if !ours || within(imp, r.ImportPath+"/internal") {
			continue
		}
		// A program's own internal rooms are part of it.
		if strings.Contains(imp, "/internal/") && within(r.ImportPath, imp[:strings.Index(imp, "/internal/")]) {
			continue
		}
		if u.may != nil && !slices.Contains(u.may, imp) {
			return imp
		}
		if slices.ContainsFunc(u.mayNot, func(no string) bool { return within(imp, no) }) {
			return imp
		}
	}
	return ""
}

var systems = [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}}

func TestRoomsImportWhatTheyMay(t *testing.T) {
	for _, sys := range systems {
		for _, r := range rooms(t, sys[0], sys[1]) {
			for _, u := range rules {
				if imp := u.breach(r); imp != "" {
					t.Errorf("%s/%s: %s imports %s: %s", sys[0], sys[1], r.ImportPath, imp, u.name)
				}
			}
		}
	}
}

// Tools that make code are not part of any program.
func isGenerator(pkg string) bool { return path.Base(pkg) == "gen" }

func TestUnsafeAndCgoStayWhereTheyBelong(t *testing.T) {
	cgoRooms := inside("hv/hvf", "ipc/mach", "launchd", "agent/power", "agent/route/vmnet")
	for _, sys := range systems {
		for _, r := range rooms(t, sys[0], sys[1]) {
			if len(r.CgoFiles) > 0 && !cgoRooms(r.ImportPath) {
				t.Errorf("%s uses cgo", r.ImportPath)
			}
			if !slices.Contains(r.Imports, "unsafe") || cgoRooms(r.ImportPath) || isGenerator(r.ImportPath) {
				continue
			}
			for _, file := range r.GoFiles {
				if !strings.Contains(file, "_unsafe") && importsUnsafe(t, path.Join(r.ImportPath, file)) {
					t.Errorf("%s/%s imports unsafe; name it *_unsafe.go", r.ImportPath, file)
				}
			}
		}
	}
}

func importsUnsafe(t *testing.T, file string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"unsafe"` })
}

// The rules must be able to fail.
func TestABreachIsSeen(t *testing.T) {
	tests := []struct {
		name, pkg, imp string
		bad            bool
	}{
		{"a device that imports another", "hv/virtio/blk", "hv/virtio/console", true},
		{"a device that imports the queues", "hv/virtio/blk", "hv/virtio", false},
		{"the agent that imports the contract", "agent/machine", "hv", true},
		{"the CLI that links an engine", "cmd/arcbox", "hv/soft", true},
		{"arcbox-vm that links an engine", "cmd/arcbox-vm", "hv/soft", false},
		{"an engine that uses its own rooms", "hv/soft", "hv/soft/internal/isa", false},
		{"the contract that imports memory", "hv", "hv/mem", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := room{ImportPath: tt.pkg, Imports: []string{"fmt", module + tt.imp}}
			bad := slices.ContainsFunc(rules, func(u rule) bool { return u.breach(r) != "" })
			if bad != tt.bad {
				t.Errorf("%s imports %s: a breach is %v, want %v", tt.pkg, tt.imp, bad, tt.bad)
			}
		})
	}
}
