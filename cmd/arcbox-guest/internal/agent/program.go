//go:build linux

package agent

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// searchPath is where programs are looked for when nobody says otherwise.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A program is what is about to run.
type program struct {
	path string
	argv []string
	env  []string
	dir  string
	as   account
}

// newProgram checks an ExecReq and finds its program.
func newProgram(req *guestapi.ExecReq) (*program, error) {
	if err := checkBounds(req); err != nil {
		return nil, err
	}
	as, err := accountFor(req.User)
	if err != nil {
		return nil, err
	}
	p := &program{argv: req.Argv, dir: req.Dir, as: as}
	if p.dir == "" {
		p.dir = as.home
	}
	if info, err := os.Stat(p.dir); err != nil || !info.IsDir() {
		if req.Dir != "" {
			return nil, ipc.Errorf(ipc.BadRequest, "cannot run in %.200q: it is no directory", p.dir)
		}
		p.dir = "/"
	}
	search := p.setEnv(req)
	if len(p.argv) == 0 {
		p.path, p.argv = as.shell, []string{"-" + filepath.Base(as.shell)}
		return p, nil
	}
	p.path, err = p.find(p.argv[0], search)
	return p, err
}

// checkBounds holds a request to what it may have.
func checkBounds(req *guestapi.ExecReq) error {
	size := 0
	for _, arg := range req.Argv {
		size += len(arg) + 1
		if strings.IndexByte(arg, 0) >= 0 {
			return ipc.Errorf(ipc.BadRequest, "cannot run a program with a NUL byte in an argument")
		}
	}
	for name, value := range req.Env {
		size += len(name) + len(value) + 2
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return ipc.Errorf(ipc.BadRequest, "cannot set the variable %.64q", name)
		}
	}
	switch {
	case len(req.Argv) > guestapi.MaxArgs || len(req.Env) > guestapi.MaxArgs || size > guestapi.MaxArgSize:
		return ipc.Errorf(ipc.BadRequest, "cannot run a program with %d arguments and %d variables of %d bytes", len(req.Argv), len(req.Env), size)
	case len(req.ID) > 64:
		return ipc.Errorf(ipc.BadRequest, "cannot keep an id of %d bytes", len(req.ID))
	case len(req.Argv) > 0 && req.Argv[0] == "":
		return ipc.Errorf(guestapi.NotFound, "cannot run a program without a name")
	case strings.IndexByte(req.Dir, 0) >= 0:
		return ipc.Errorf(ipc.BadRequest, "cannot run in a directory with a NUL byte in its name")
	}
	return nil
}

// setEnv makes the environment: a login's, then the request's. It returns PATH.
func (p *program) setEnv(req *guestapi.ExecReq) string {
	vars := map[string]string{"PATH": searchPath, "HOME": p.as.home, "SHELL": p.as.shell}
	if p.as.name != "" {
		vars["USER"], vars["LOGNAME"] = p.as.name, p.as.name
	}
	if t := req.Terminal; t != nil {
		vars["TERM"] = "xterm"
		if t.Term != "" && len(t.Term) < 64 && strings.IndexByte(t.Term, 0) < 0 {
			vars["TERM"] = t.Term
		}
	}
	maps.Copy(vars, req.Env)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		p.env = append(p.env, name+"="+vars[name])
	}
	return vars["PATH"]
}

// find is the path of a program as execvp finds it.
func (p *program) find(name, search string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil // the kernel says what is wrong with it, seen from dir
	}
	denied := false
	for _, dir := range filepath.SplitList(search) {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
		denied = denied || err == nil
	}
	if denied {
		return "", ipc.Errorf(guestapi.NotExecutable, "cannot run %.200s: permission denied", name)
	}
	return "", ipc.Errorf(guestapi.NotFound, "cannot run %.200s: no such program in %.200s", name, search)
}

// refusal is why a program did not start, as a shell tells it apart.
func (p *program) refusal(err error) error {
	code := guestapi.NotExecutable
	var errno syscall.Errno
	switch errors.As(err, &errno); errno {
	case syscall.ENOENT, syscall.ENOTDIR:
		code = guestapi.NotFound
	case syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE:
		code = ipc.Busy
	case syscall.E2BIG:
		code = ipc.BadRequest
	}
	return ipc.Errorf(code, "cannot run %.200s: %v", p.path, errno)
}
