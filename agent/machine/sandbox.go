package machine

import (
	_ "embed"
	"os"
	"path/filepath"
)

// sandboxEnv is the variable that, as "off", has arcbox-vm run without its profile, for a Mac on which it does not work.
const sandboxEnv = "ARCBOX_VM_SANDBOX"

// vmProfile is the sandbox of arcbox-vm on macOS.
//
//go:embed arcbox-vm.sb
var vmProfile string

// sandboxExec is macOS's program that starts another one within a profile. Apple calls it deprecated and uses it.
const sandboxExec = "/usr/bin/sandbox-exec"

// sandboxed is the command line that starts the program at path within a profile, as one and the same process. Without a profile,
// or when the user has turned it off, it is the program's own. The system looks behind links before it asks the profile: so do we.
func sandboxed(path, profile string) []string {
	if profile == "" || os.Getenv(sandboxEnv) == "off" {
		return []string{path}
	}
	if real, err := filepath.EvalSymlinks(path); err == nil { // else starting it says why
		path = real
	}
	return []string{sandboxExec, "-p", profile, "-D", "PROGRAM=" + path, path}
}
