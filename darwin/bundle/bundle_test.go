package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"howett.net/plist"
)

// tiny is a program for a Mac, as small as Go makes one.
var tiny []byte

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil { // where Info.plist and the entitlements are
		panic(err)
	}
	dir, err := os.MkdirTemp("", "bundle-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		panic(err)
	}
	cmd := exec.Command("go", "build", "-ldflags=-w -s", "-o", filepath.Join(dir, "tiny"), filepath.Join(dir, "main.go"))
	cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build a program for a Mac: %v\n%s", err, out)
		os.Exit(1)
	}
	if tiny, err = os.ReadFile(filepath.Join(dir, "tiny")); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// made is a bundle of tiny programs.
func made(t *testing.T) string {
	t.Helper()
	return madeOf(t, tiny)
}

// madeOf has another program for arcbox-vm.
func madeOf(t *testing.T, vm []byte) string {
	t.Helper()
	dir := t.TempDir()
	o := &options{out: filepath.Join(dir, "ArcBox.app"), programs: filepath.Join(dir, "programs"), assets: filepath.Join(dir, "boot"), version: "1.2.3", build: "45", identity: "-"}
	for _, p := range programs {
		put(t, filepath.Join(o.programs, p.name), tiny)
	}
	put(t, filepath.Join(o.programs, "arcbox-vm"), vm)
	put(t, filepath.Join(o.programs, guest), []byte("an ELF"))
	put(t, filepath.Join(o.assets, "assets/one/Image"), []byte("a kernel"))
	if err := assemble(o, adHoc{}); err != nil {
		t.Fatal(err)
	}
	return o.out
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := write(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestABundleIsSealed(t *testing.T) {
	app := made(t)
	if err := verify(app); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(app, "Contents/Info.plist"))
	if err != nil {
		t.Fatal(err)
	}
	var info map[string]any
	if _, err := plist.Unmarshal(data, &info); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"CFBundleExecutable": mainProgram, "CFBundleIdentifier": bundleID, "CFBundleShortVersionString": "1.2.3", "CFBundleVersion": "45", "LSUIElement": true} {
		if info[key] != want {
			t.Errorf("%s is %v, not %v", key, info[key], want)
		}
	}
	agent, err := os.ReadFile(filepath.Join(app, "Contents/Library/LaunchAgents", agentLabel+".plist"))
	if err != nil || !bytes.Contains(agent, []byte("<string>Contents/MacOS/arcboxd</string>")) {
		t.Errorf("the agent's definition is %s, %v", agent, err)
	}
	if _, err := os.Stat(filepath.Join(app, "Contents/Resources/boot/assets/one/Image")); err != nil {
		t.Error(err)
	}
}

// The hypervisor is for one program, which has nothing else.
func TestEntitlements(t *testing.T) {
	app := made(t)
	for _, p := range programs {
		data, err := os.ReadFile(filepath.Join(app, "Contents/MacOS", p.name))
		if err != nil {
			t.Fatal(err)
		}
		s, err := readSignature(data)
		if err != nil {
			t.Fatal(err)
		}
		has, err := s.entitlements()
		if err != nil {
			t.Fatal(err)
		}
		want := "map[]"
		if p.name == "arcbox-vm" {
			want = "map[com.apple.security.hypervisor:true]"
		}
		if fmt.Sprint(has) != want || s.flags&flagAdHoc == 0 {
			t.Errorf("%s has %v and flags %#x", p.name, has, s.flags)
		}
	}
}

// What macOS 12 and later reads of entitlements, byte for byte.
func TestEntitlementsInDER(t *testing.T) {
	der, err := derEntitlements([]byte(`<plist version="1.0"><dict><key>b</key><true/><key>a</key><true/></dict></plist>`))
	want := []byte{
		0x70, 0x15, 0x02, 0x01, 0x01, 0xb0, 0x10,
		0x30, 0x06, 0x0c, 0x01, 'a', 0x01, 0x01, 0xff,
		0x30, 0x06, 0x0c, 0x01, 'b', 0x01, 0x01, 0xff,
	}
	if err != nil || !bytes.Equal(der, want) {
		t.Errorf("got % x, %v; want % x", der, err, want)
	}
	if _, err := derEntitlements([]byte("not a plist <")); err == nil {
		t.Error("it read nonsense")
	}
}

// Whatever is changed after it was signed is found, wherever it is.
func TestWhatWasChangedIsFound(t *testing.T) {
	flip := func(at int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if at < 0 {
				at += len(data)
			}
			data[at] ^= 1
			put(t, path, data)
		}
	}
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, file string
		change     func(*testing.T, string)
		want       string
	}{
		{"a page of a program", "MacOS/arcbox", flip(20000), "page 4"},
		{"a page of the main program", "MacOS/arcboxd", flip(40), "page 0"},
		{"the versions", "Info.plist", flip(-20), "part 1"},
		{"the seal", sealPath, flip(-20), "part 3"},
		{"what is no program", "Resources/" + guest, flip(0), "another one than was sealed"},
		{"a boot asset", "Resources/boot/assets/one/Image", flip(0), "another one than was sealed"},
		{"the agent's definition", "Library/LaunchAgents/" + agentLabel + ".plist", flip(-20), "another one than was sealed"},
		{"a file that is gone", "Resources/" + guest, remove, "missing"},
		{"a file too many", "Resources/more", func(t *testing.T, path string) { put(t, path, nil) }, "not sealed"},
		{"a program without a signature", "MacOS/arcbox-vm", func(t *testing.T, path string) { put(t, path, unsigned(t)) }, "not signed"},
		{"entitlements where none shall be", "MacOS/arcbox", func(t *testing.T, path string) {
			if err := adHocSign(path, program{"arcbox", "com.arcboxlabs.arcbox", "entitlements.plist"}, nil, nil); err != nil {
				t.Fatal(err)
			}
		}, "entitlements are"},
		{"another's name", "MacOS/arcbox", func(t *testing.T, path string) {
			if err := adHocSign(path, program{"arcbox", "com.example", ""}, nil, nil); err != nil {
				t.Fatal(err)
			}
		}, "signed as com.example"},
		{"a program signed anew", "MacOS/arcbox-net", func(t *testing.T, path string) {
			put(t, path, append([]byte(nil), tiny...))
			if err := adHocSign(path, program{"arcbox-net", "com.arcboxlabs.arcbox-net", ""}, nil, nil); err != nil {
				t.Fatal(err)
			}
			flip(20001)(t, path)
			if err := adHocSign(path, program{"arcbox-net", "com.arcboxlabs.arcbox-net", ""}, nil, nil); err != nil {
				t.Fatal(err)
			}
		}, "another one than was sealed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := made(t)
			tt.change(t, filepath.Join(app, "Contents", tt.file))
			if err := verify(app); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("verify says %v, want %q", err, tt.want)
			}
		})
	}
}

// changed is tiny with a word of one of its load commands replaced, which is at off in the command.
func changed(t *testing.T, command uint32, off int, word uint32) []byte {
	t.Helper()
	data := bytes.Clone(tiny)
	n := binary.LittleEndian.Uint32(data[16:])
	for at := 32; n > 0; n-- {
		if binary.LittleEndian.Uint32(data[at:]) == command {
			binary.LittleEndian.PutUint32(data[at+off:], word)
			return data
		}
		at += int(binary.LittleEndian.Uint32(data[at+4:]))
	}
	t.Fatalf("Go's linker has not written the command %#x", command)
	return nil
}

// unsigned has another command in place of the one that leads to the signature.
func unsigned(t *testing.T) []byte {
	t.Helper()
	return changed(t, lcCodeSignature, 0, 0x26)
}

// What Apple's compiler built for its own system only is found before somebody with an older one finds it.
func TestProgramsAreForTheOldestSystem(t *testing.T) {
	app := madeOf(t, changed(t, lcBuildVersion, 12, 26<<16))
	if err := verify(app); err == nil || !strings.Contains(err.Error(), "arcbox-vm: macOS 14.0 does not start it: it is for 26.0") {
		t.Errorf("verify says %v", err)
	}
}

// A notarized bundle has a ticket stapled to it, which came after the seal.
func TestATicketIsNoChange(t *testing.T) {
	app := made(t)
	put(t, filepath.Join(app, "Contents/CodeResources"), []byte("a ticket"))
	if err := verify(app); err != nil {
		t.Error(err)
	}
}

// Homebrew unpacks what was packed, enters what stands alone in it, and finds the app there.
func TestTheFormulaFindsTheApp(t *testing.T) {
	app, out := made(t), t.TempDir()
	if said, err := exec.Command("darwin/homebrew/pack", app, "1.2.3", "https://example.com/a.tar.gz", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	formula, err := os.ReadFile(filepath.Join(out, "arcbox.rb"))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(filepath.Join(out, "ArcBox-1.2.3.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`url "https://example.com/a.tar.gz"`, `version "1.2.3"`, fmt.Sprintf("sha256 \"%x\"", sha256.Sum256(packed))} {
		if !strings.Contains(string(formula), want) {
			t.Errorf("the formula has no %s:\n%s", want, formula)
		}
	}
	dir := t.TempDir()
	if said, err := exec.Command("tar", "-C", dir, "-xzf", filepath.Join(out, "ArcBox-1.2.3.tar.gz")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 || !all[0].IsDir() {
		t.Fatalf("the archive has %v, %v", all, err)
	}
	if err := verify(filepath.Join(dir, all[0].Name(), "ArcBox.app")); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		o    options
		want string
	}{
		{"a version of two numbers", options{version: "1.2"}, "three numbers"},
		{"programs that are not there", options{version: "1.2.3", programs: dir}, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.out = filepath.Join(dir, "A.app")
			put(t, filepath.Join(tt.o.out, "kept"), nil)
			if err := assemble(&tt.o, adHoc{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(tt.o.out, "kept")); err != nil {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
	if err := run(&options{identity: "somebody"}, false); err == nil || !strings.Contains(err.Error(), "on a Mac") {
		t.Errorf("an identity on Linux: %v", err)
	}
}

func FuzzReadSignature(f *testing.F) {
	f.Add(tiny)
	f.Add(tiny[:len(tiny)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := readSignature(data); err == nil {
			_ = s.check(nil)
			_, _ = s.entitlements()
		}
	})
}
