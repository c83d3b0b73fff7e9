package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
	"github.com/arcboxlabs/arcbox-go/launchd"
)

// programPath is where macOS has programs that run as root for an application: nobody else may write there. The application's own
// directory is its user's.
const programPath = "/Library/PrivilegedHelperTools/" + helper.Label

// logPath is what it prints.
const logPath = "/var/log/" + helper.Label + ".log"

// An installation is the program as a daemon.
type installation struct {
	manager launchd.Manager
	program string // where it is, or goes
}

// daemon is how launchd is to run it.
func (in installation) daemon(uid int) launchd.Agent {
	return launchd.Agent{
		Program: in.program, Args: []string{"serve", "--user", strconv.Itoa(uid)},
		Sockets:     []launchd.Socket{{Name: helper.ServiceSocket, Path: helper.Socket, Owner: uid}},
		Log:         logPath,
		Description: "ArcBox routes to containers",
	}
}

// install copies the program self to where root alone may write, and has launchd run it for a user.
func (in installation) install(ctx context.Context, self string, uid int) error {
	if err := copyProgram(self, in.program); err != nil {
		return fmt.Errorf("cannot install %s: %w", in.program, err)
	}
	if err := in.manager.Install(ctx, in.daemon(uid)); err != nil {
		return err
	}
	fmt.Printf("installed for user %d; arcbox config set machine.routes on makes use of it\n", uid)
	return nil
}

// remove undoes install.
func (in installation) remove(ctx context.Context) error {
	err := in.manager.Uninstall(ctx)
	if gone := os.Remove(in.program); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// status says how it is.
func (in installation) status(ctx context.Context) error {
	s, err := in.manager.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("arcbox-routed is %s\n", s.State)
	if s.Problem != "" {
		return errors.New(s.Problem)
	}
	return nil
}

// copyProgram puts a copy of the program in place at once.
func copyProgram(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	dst, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(dst.Name())
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Chmod(0o755), dst.Sync(), dst.Close()); err != nil {
		return err
	}
	return os.Rename(dst.Name(), to)
}
