// Package machine supervises the processes that hold VMs and play their networks.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A Process is one running arcbox-vm or arcbox-net and the connection to it, as its owner. Any
// goroutine may use it. It ends with Close, or with Detach for one that is to
// live on.
type Process struct {
	*ipc.Conn
	program
	pid     int
	watched *os.File      // of a process that was adopted: readable when it is gone
	exited  chan struct{} // closed when the process is gone
	err     error         // how it ended, once exited; only a parent is told
}

// A program is what a Process runs: its name, and how it is asked to end.
type program struct {
	name string
	quit func(ctx context.Context, conn *ipc.Conn) error
}

var (
	vmProgram = program{"arcbox-vm", func(ctx context.Context, conn *ipc.Conn) error {
		_, err := ipc.Call(ctx, conn, vmapi.Quit, &vmapi.QuitReq{})
		return err
	}}
	netProgram = program{"arcbox-net", func(ctx context.Context, conn *ipc.Conn) error {
		_, err := ipc.Call(ctx, conn, netapi.Quit, &netapi.QuitReq{})
		return err
	}}
)

// VMProgram is the path of arcbox-vm, which belongs to the running program.
func VMProgram() (string, error) { return home.Beside(vmProgram.name) }

// NetProgram is the path of arcbox-net, likewise.
func NetProgram() (string, error) { return home.Beside(netProgram.name) }

// StartProcess runs the arcbox-vm at path, which inherits nothing but stderr
// and its end of the connection. Its process group is its own, so that a
// Ctrl-C at the terminal reaches only the caller, who decides what it means.
func StartProcess(path string, stderr *os.File) (*Process, error) {
	return vmProgram.start(path, stderr)
}

// StartNetwork is StartProcess for arcbox-net.
func StartNetwork(path string, stderr *os.File) (*Process, error) {
	return netProgram.start(path, stderr)
}

// start runs the program at path.
func (prog program) start(path string, stderr *os.File) (*Process, error) {
	sock, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	argv := sandboxed(path, prog.profile())
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{theirs} // becomes owned.ConnFD of ipc
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		sock.Close()
		return nil, fmt.Errorf("cannot start %s: %w", prog.name, err)
	}
	p := &Process{Conn: ipc.NewConn(sock, nil), program: prog, pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		p.err = p.verdict(cmd.Wait())
	}()
	return p, nil
}

// verdict says how a child ended, nil for exit 0.
func (p *Process) verdict(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s (pid %d) ended badly: %w", p.name, p.pid, err)
}

// Rendezvous listens at path, for ConfigureReq.Rendezvous: the process goes on listening when
// this process is gone. A socket that nobody listens on any more is replaced; the
// directory must be the user's alone. The caller closes the file once it is sent.
func Rendezvous(path string) (*os.File, error) {
	l, err := unixsock.Listen(path)
	if errors.Is(err, unixsock.ErrInUse) {
		return nil, fmt.Errorf("%w: a process is there already; adopt it", err)
	}
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

// Adopt becomes the owner of the VM that listens at path. Errors: ErrNoProcess when nobody
// does, and what is at path may be removed then; ctx's.
func Adopt(ctx context.Context, path string) (*Process, *vmapi.AdoptResp, error) {
	var resp *vmapi.AdoptResp
	p, err := vmProgram.adopt(ctx, path, func(conn *ipc.Conn) (pid int, err error) {
		if resp, err = ipc.Call(ctx, conn, vmapi.Adopt, &vmapi.AdoptReq{}); err != nil {
			return 0, err
		}
		return resp.PID, nil
	})
	return p, resp, err
}

// adopt becomes the owner of the process that listens at path. ask says which it is.
func (prog program) adopt(ctx context.Context, path string, ask func(*ipc.Conn) (pid int, err error)) (*Process, error) {
	conn, err := unixsock.Dial(ctx, path, nil)
	switch {
	case errors.Is(err, unixsock.ErrNobody):
		return nil, fmt.Errorf("cannot adopt %s at %s: %w", prog.name, path, ErrNoProcess)
	case err != nil:
		return nil, fmt.Errorf("cannot adopt %s: %w", prog.name, err)
	}
	p := &Process{Conn: conn, program: prog, exited: make(chan struct{})}
	if p.pid, err = ask(conn); err == nil {
		err = p.watch()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot adopt %s at %s: %w", prog.name, path, err)
	}
	return p, nil
}

// watch has exited closed when a process that is not our child is gone, or leaves it
// open for ever after Detach.
func (p *Process) watch() error {
	fd, err := openExit(p.pid)
	if errors.Is(err, syscall.ESRCH) {
		close(p.exited)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot watch process %d: %w", p.pid, err)
	}
	p.watched = os.NewFile(uintptr(fd), "exit")
	raw, err := p.watched.SyscallConn()
	if err != nil {
		p.watched.Close()
		return fmt.Errorf("cannot watch process %d: %w", p.pid, err)
	}
	go func() {
		if raw.Read(func(fd uintptr) bool { return exited(int(fd)) }) == nil {
			close(p.exited)
		}
		p.watched.Close()
	}()
	return nil
}

// ErrNoProcess: the process that held the VM, or played its network, is gone.
var ErrNoProcess = errors.New("there is no such process any more")

// Pid is the process's id.
func (p *Process) Pid() int { return p.pid }

// Exited is closed when the process is gone, and with it every lock that it held.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitError is how the process ended, nil for exit 0, for a process that was adopted, and
// before Exited.
func (p *Process) ExitError() error {
	select {
	case <-p.exited:
		return p.err
	default:
		return nil
	}
}

// Kill ends the process as a crash would, and waits for it. What the guest's
// flushes were answered OK for is on the disk.
func (p *Process) Kill() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot kill %s (pid %d): %w", p.name, p.pid, err)
	}
	if p.Conn != nil {
		p.Conn.Close()
	}
	<-p.exited
	return nil
}

// quitTime is how long a process may take to end after Quit: flushing its disks to
// the medium takes longest.
const quitTime = 30 * time.Second

// Close has the process end its work, arcbox-vm its guest, and exit, and waits for it; one that does not is
// killed. Errors: how the process ended, unless it was exit 0.
func (p *Process) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), quitTime)
	defer cancel()
	_ = p.quit(ctx, p.Conn) // the wait tells
	p.Conn.Close()
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s (pid %d) did not end within %v and was killed", p.name, p.pid, quitTime), p.Kill())
	}
}

// Detach gives the machine up without ending it, if it has a rendezvous. Only a child
// is waited for then, and Exited tells only of that.
func (p *Process) Detach() {
	p.Conn.Close()
	if p.watched != nil {
		p.watched.Close()
	}
}
