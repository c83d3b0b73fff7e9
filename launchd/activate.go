package launchd

import (
	"fmt"
	"net"
	"os"
)

// Files gives the agent the sockets called name that the manager opened for it, which
// listen already. Each name can be taken once. Errors: ErrNotManaged when no manager has
// started this process, and it should open its sockets itself; anything else is a
// mistake, such as a name that the definition does not have.
func Files(name string) ([]*os.File, error) {
	fds, err := activate(name)
	if err != nil {
		return nil, fmt.Errorf("cannot take the socket %s: %w", name, err)
	}
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(fd, name)
	}
	return files, nil
}

// Listeners are what Files gives, to accept connections from.
func Listeners(name string) ([]net.Listener, error) {
	files, err := Files(name)
	if err != nil {
		return nil, err
	}
	return listeners(files)
}

// listeners takes over the files: they are closed here, whatever happens.
func listeners(files []*os.File) (all []net.Listener, err error) {
	for _, f := range files {
		l, e := net.FileListener(f) // a duplicate, closed on exec
		f.Close()
		if e != nil {
			err = fmt.Errorf("cannot listen on a socket from the service manager: %w", e)
			continue
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the manager goes on listening
		}
		all = append(all, l)
	}
	if err != nil {
		for _, l := range all {
			l.Close()
		}
		return nil, err
	}
	return all, nil
}
