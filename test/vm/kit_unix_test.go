package vm_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func dialUnix(path string) (*net.UnixConn, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
}

// strangerVar has the test binary connect to a socket as another user and report.
const strangerVar = "ARCBOX_TEST_STRANGER"

func init() {
	path := os.Getenv(strangerVar)
	if path == "" {
		return
	}
	if err := knock(path); err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// knock connects and waits to be turned away.
func knock(path string) error {
	c, err := dialUnix(path)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second)) // less than an unadopted connection is given
	if said, err := io.ReadAll(c); err == nil && bytes.Contains(said, []byte(`"type":"refused"`)) {
		return errors.New("turned away")
	}
	return nil
}

// asNobody connects to a socket as a user without rights. An error means he was not let in.
func asNobody(t *testing.T, path string) error {
	t.Helper()
	dir, err := os.MkdirTemp("", "arcbox-stranger-") // where he can run a program
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(dir, "stranger")
	if err := errors.Join(os.WriteFile(self, b, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{strangerVar + "=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if string(out) != "turned away" {
		t.Errorf("a stranger says %q", out)
	}
	return err
}
