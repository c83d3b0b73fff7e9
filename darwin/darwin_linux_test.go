package darwin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cc makes the SDK and gives its compiler. env changes what it is made from.
func cc(t *testing.T, env ...string) string {
	t.Helper()
	if _, err := exec.LookPath("clang"); err != nil {
		t.Fatal("clang is missing; run make deps")
	}
	cmd := exec.Command("./mksdk")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mksdk: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// compile builds a program of one C file and gives what the compiler says.
func compile(t *testing.T, cc, source string, flags ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.c")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-Wall", "-Werror=unguarded-availability-new", "-o", filepath.Join(dir, "main"), file}, flags...)
	out, err := exec.Command(cc, args...).CombinedOutput()
	return string(out), err
}

// What is wrong about a C file must end the build; the first one is right.
func TestTheCompilerSeesMistakes(t *testing.T) {
	const include = "#include <Hypervisor/Hypervisor.h>\n"
	tests := []struct{ name, source, says string }{
		{"nothing", include + "int main(void) { return hv_vm_destroy(); }", ""},
		{"a wrong constant", include + "_Static_assert(HV_REG_PC == 30, \"PC\"); int main(void) { return 0; }", "PC"},
		{"a wrong prototype", include + "int main(void) { return hv_vm_unmap(0); }", "too few arguments"},
		{"a function that no header has", include + "int hv_vm_fly(void); int main(void) { return hv_vm_fly(); }", "undefined symbol: _hv_vm_fly"},
		{"an API newer than what we build for", include + "int main(void) { return hv_gic_reset(); }", "only available on macOS 15.0"},
	}
	cc := cc(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := compile(t, cc, tt.source, "-framework", "Hypervisor")
			if (err != nil) != (tt.says != "") || !strings.Contains(out, tt.says) {
				t.Errorf("error %v, want one that says %q:\n%s", err, tt.says, out)
			}
		})
	}
}

// A symbol that older systems lack must not keep a program from starting there.
func TestNewSymbolsAreWeak(t *testing.T) {
	const source = `#include <Hypervisor/Hypervisor.h>
#pragma clang diagnostic ignored "-Wunguarded-availability-new"
int main(void) { return &hv_gic_reset ? hv_gic_reset() : hv_vm_destroy(); }`
	dir := t.TempDir()
	main := filepath.Join(dir, "main.c")
	if err := os.WriteFile(main, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc(t), "-o", filepath.Join(dir, "main"), main, "-framework", "Hypervisor").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("llvm-nm", "-m", filepath.Join(dir, "main")).CombinedOutput()
	if err != nil {
		t.Fatalf("llvm-nm: %v: %s; run make deps", err, out)
	}
	for symbol, weak := range map[string]bool{"_hv_gic_reset": true, "_hv_vm_destroy": false} {
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, symbol+" ") && strings.Contains(line, "weak") != weak {
				t.Errorf("%s is weak: %v, want %v: %s", symbol, !weak, weak, line)
			}
		}
		if !strings.Contains(string(out), symbol+" ") {
			t.Errorf("%s is not imported:\n%s", symbol, out)
		}
	}
}

// A wrong is one place of a header that is not as it should be, as ours may be, or Apple's may become.
type wrong struct{ name, old, new, says string }

// seeWrongs wants a source that is right with the header to be refused with each wrong in it.
func seeWrongs(t *testing.T, header, source string, wrongs []wrong) {
	right, err := os.ReadFile(filepath.Join("sdk/apple", header))
	if err != nil {
		t.Fatal(err)
	}
	cc := cc(t)
	for _, w := range append([]wrong{{name: "nothing"}}, wrongs...) {
		t.Run(w.name, func(t *testing.T) {
			dir := t.TempDir()
			text := strings.Replace(string(right), w.old, w.new, 1)
			if (text == string(right)) != (w.old == "") {
				t.Fatalf("the header has no %q", w.old)
			}
			if err := os.Mkdir(filepath.Join(dir, filepath.Dir(header)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, header), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(cc, "-x", "c", "-Wall", "-Werror=unguarded-availability-new", "-Werror=implicit-function-declaration",
				"-I", dir, "-c", "-o", filepath.Join(dir, "object.o"), source).CombinedOutput()
			if (err != nil) != (w.says != "") || !strings.Contains(string(out), w.says) {
				t.Errorf("error %v, want one that says %q:\n%s", err, w.says, out)
			}
		})
	}
}

// TestWrongHeadersAreSeen: what hvf assumes of Apple's header must hold in it.
func TestWrongHeadersAreSeen(t *testing.T) {
	seeWrongs(t, "Hypervisor/Hypervisor.h", "../hv/hvf/hvf.c", []wrong{
		{"a register's number", "HV_REG_PC = 31", "HV_REG_PC = 32", "HV_REG_PC is not 31"},
		{"a status", "0xfae94002", "0xfae94009", "HV_BUSY"},
		{"the order of reasons", "HV_EXIT_REASON_CANCELED,\n  HV_EXIT_REASON_EXCEPTION", "HV_EXIT_REASON_EXCEPTION,\n  HV_EXIT_REASON_CANCELED", "HV_EXIT_REASON"},
		{"a system register", "HV_SYS_REG_CNTV_CVAL_EL0 = 0xdf1a", "HV_SYS_REG_CNTV_CVAL_EL0 = 0xdf1b", "HV_SYS_REG_CNTV_CVAL_EL0"},
		{"a size", "OS_ENUM(hv_sys_reg, uint16_t", "OS_ENUM(hv_sys_reg, uint32_t", "hv_sys_reg_t has not 2 bytes"},
		{"a field's place", "  hv_exception_syndrome_t syndrome;\n  hv_exception_address_t virtual_address;",
			"  hv_exception_address_t virtual_address;\n  hv_exception_syndrome_t syndrome;", "exception.syndrome is not at 8"},
		{"an argument's type", "hv_vcpus_exit(hv_vcpu_t *vcpus, uint32_t", "hv_vcpus_exit(hv_vcpu_t *vcpus, uint64_t", "hv_vcpus_exit has another prototype"},
		{"a function that is gone", "hv_return_t hv_vm_protect(", "hv_return_t hv_vm_protect2(", "hv_vm_protect"},
		{"a function that is newer than we say", "hv_return_t hv_vm_destroy(void);", "hv_return_t hv_vm_destroy(void) API_AVAILABLE(macos(26.0));", "only available on macOS 26.0"},
	})
}

// TestWrongXPCIsSeen is the same of mach.
func TestWrongXPCIsSeen(t *testing.T) {
	seeWrongs(t, "xpc/xpc.h", "../ipc/mach/asserts.h", []wrong{
		{"an object's type", "typedef void *xpc_object_t", "typedef const void *xpc_object_t", "xpc_object_t is not void *"},
		{"a flag", "LISTENER (1 << 0)", "LISTENER (1 << 1)", "LISTENER is not 1"},
		{"an argument's type", "xpc_dictionary_set_uint64(xpc_object_t dictionary, const char *key, uint64_t", "xpc_dictionary_set_uint64(xpc_object_t dictionary, const char *key, int64_t",
			"xpc_dictionary_set_uint64 has another prototype"},
		{"a result's type", "int xpc_fd_dup", "void xpc_fd_dup", "xpc_fd_dup has another prototype"},
		{"a block's argument", "(^xpc_handler_t)(xpc_object_t object)", "(^xpc_handler_t)(xpc_connection_t object)", "xpc_handler_t is another type"},
		{"a function that is gone", "xpc_connection_send_barrier(", "xpc_connection_send_barrier2(", "xpc_connection_send_barrier"},
	})
}

// Another SDK must be another path: Go's build cache knows a compiler by its path.
func TestAnotherSDKIsAnotherCompiler(t *testing.T) {
	sources := filepath.Join(t.TempDir(), "sdk")
	if err := os.CopyFS(sources, os.DirFS("sdk")); err != nil {
		t.Fatal(err)
	}
	header := filepath.Join(sources, "apple/Hypervisor/Hypervisor.h")
	text, err := os.ReadFile(header)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(header, append(text, "enum { CHANGED = 7 };\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	first := cc(t)
	cache := t.TempDir()
	other := cc(t, "XDG_CACHE_HOME="+cache, "DARWIN_SDK_SOURCES="+sources)
	if filepath.Base(filepath.Dir(first)) == filepath.Base(filepath.Dir(other)) {
		t.Errorf("two SDKs are both %s", first)
	}
	if again := cc(t); again != first {
		t.Errorf("the same SDK is %s and %s", first, again)
	}
	out, err := compile(t, other, "#include <Hypervisor/Hypervisor.h>\nint main(void) { return CHANGED; }")
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
