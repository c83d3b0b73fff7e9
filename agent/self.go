package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A program is the file that this process runs, as it was when it began: an update may have replaced it since.
type program struct {
	path    string
	version string
	digest  func() string // computed when it is first asked for
}

func thisProgram() program {
	path, err := os.Executable()
	if err != nil {
		path = os.Args[0]
	}
	_, version, _ := strings.Cut(ipc.Here().Build, " ")
	image := path
	if runtime.GOOS == "linux" {
		image = "/proc/self/exe" // what runs, whatever has become of the path
	}
	f, err := os.Open(image)
	return program{path, version, sync.OnceValue(func() string {
		if err != nil {
			return ""
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return ""
		}
		return hex.EncodeToString(h.Sum(nil))
	})}
}
