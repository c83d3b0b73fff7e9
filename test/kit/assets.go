package kit

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Flavour is one kernel that this machine can boot.
type Flavour struct {
	Name    string // "arcbox" or "debian"
	Kernel  string // path of the Image
	Initrd  string // path of the asset's own initrd, or ""
	Root    string // path of the EROFS root
	X8664   string // path of the disk for x86-64 programs, or ""
	Cmdline string // the asset's command line
	Tuning  string // what of it is neither console nor root
	BuiltIn bool   // virtio is built into the kernel
}

// Assets are the newest of each flavour that `program assets list` shows, our
// own first.
func Assets(program string) ([]Flavour, error) {
	cmd := exec.Command(program, "assets", "list", "--json")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the boot assets: %w", err)
	}
	var all []struct {
		Flavour, Cmdline, Damage string
		Files                    []struct{ Name, Path string }
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("cannot read the list of boot assets: %w", err)
	}
	var found []Flavour
	for _, a := range slices.Backward(all) {
		known := func(f Flavour) bool { return f.Name == a.Flavour }
		if a.Damage != "" || slices.ContainsFunc(found, known) {
			continue
		}
		f := Flavour{Name: a.Flavour, Cmdline: a.Cmdline, Tuning: tuning(a.Cmdline), BuiltIn: a.Flavour == "arcbox"}
		for _, file := range a.Files {
			switch file.Name {
			case "Image":
				f.Kernel = file.Path
			case "initrd":
				f.Initrd = file.Path
			case "root.erofs":
				f.Root = file.Path
			case "x86-64.erofs":
				f.X8664 = file.Path
			}
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b Flavour) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// tuning leaves out of a command line what names consoles, root and init.
func tuning(cmdline string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(cmdline), func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		return slices.Contains([]string{"console", "root", "ro", "rootfstype", "init"}, name)
	}), " ")
}

// Flavours are those of this machine; a test that needs one fails without any.
func Flavours(t *testing.T) []Flavour {
	t.Helper()
	found, err := Assets(Program("arcbox"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("there are no boot assets; run make assets")
	}
	return found
}

// AFlavour is the first that suits, our own before Debian's. A test for which
// none does is skipped.
func AFlavour(t *testing.T, suits func(Flavour) bool) Flavour {
	t.Helper()
	for _, f := range Flavours(t) {
		if suits(f) {
			return f
		}
	}
	t.Skip("no kernel of this machine suits; make kernel compiles one that does")
	return Flavour{}
}

// Any suits every flavour.
func Any(Flavour) bool { return true }

// Suites is a directory where sources and built programs stay from one run to the next.
func Suites() string {
	if cache := os.Getenv("ARCBOX_ASSETS"); cache != "" {
		return filepath.Join(cache, "suites")
	}
	return "/var/cache/arcbox/suites"
}
