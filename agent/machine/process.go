// Package machine supervises the processes that hold VMs.
package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A Process is one running arcbox-vm and the connection to it.
type Process struct {
	*ipc.Conn
	cmd *exec.Cmd
}

// VMProgram is the path of arcbox-vm: it stands beside the running program.
func VMProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find arcbox-vm: %w", err)
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	path := filepath.Join(filepath.Dir(self), "arcbox-vm")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot find arcbox-vm: %w; it belongs beside %s", err, self)
	}
	return path, nil
}

// StartProcess runs the arcbox-vm at path, which inherits nothing but stderr
// and its end of the connection. Its process group is its own, so that a
// Ctrl-C at the terminal reaches only the caller, who decides what it means.
func StartProcess(path string, stderr *os.File) (*Process, error) {
	sock, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(path)
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{theirs} // becomes vmapi.ConnFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		sock.Close()
		return nil, fmt.Errorf("cannot start arcbox-vm: %w", err)
	}
	return &Process{Conn: ipc.NewConn(sock, nil), cmd: cmd}, nil
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Close ends the connection, upon which arcbox-vm stops its guest and exits,
// and waits for it. Errors: how the process ended, unless it was exit 0.
func (p *Process) Close() error {
	p.Conn.Close()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("arcbox-vm (pid %d) ended badly: %w", p.Pid(), err)
	}
	return err
}
