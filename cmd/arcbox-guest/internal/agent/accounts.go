//go:build linux

package agent

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// An account is who a program runs as. os/user does not tell shells.
type account struct {
	name, home, shell string
	uid, gid          uint32
	groups            []uint32
}

// maxAccounts bounds /etc/passwd and /etc/group, in bytes.
const maxAccounts = 4 << 20

// accountFor is the account of what docker calls a user: "", "name", "uid", and any of them with
// ":group" or ":gid". A uid need not be anybody's.
func accountFor(user string) (account, error) {
	passwd, err := readAccounts("/etc/passwd")
	if err != nil {
		return account{}, err
	}
	groups, err := readAccounts("/etc/group")
	if err != nil {
		return account{}, err
	}
	return findAccount(user, passwd, groups)
}

// readAccounts reads one of the two files; one that is not there is empty.
func readAccounts(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return text[:min(len(text), maxAccounts)], nil
}

// findAccount is accountFor with the files' texts.
func findAccount(user string, passwd, group []byte) (account, error) {
	name, wanted, hasGroup := strings.Cut(user, ":")
	if name == "" {
		name = "0"
	}
	a, known := account{home: "/", shell: "/bin/sh"}, false
	eachLine(passwd, 7, func(f []string) bool {
		if f[0] != name && f[2] != name {
			return true
		}
		uid, err1 := parseID(f[2])
		gid, err2 := parseID(f[3])
		if err1 == nil && err2 == nil {
			a, known = account{name: f[0], home: f[5], shell: f[6], uid: uid, gid: gid}, true
		}
		return !known
	})
	if !known {
		uid, err := parseID(name)
		if err != nil {
			return account{}, ipc.Errorf(ipc.BadRequest, "cannot run as %.64q: there is no such user", name)
		}
		a.uid = uid
	}
	if a.shell == "" {
		a.shell = "/bin/sh"
	}
	if hasGroup {
		gid, err := findGroup(wanted, group)
		a.gid = gid
		return a, err
	}
	a.groups = memberships(a.name, group)
	return a, nil
}

// findGroup is the id of a group by name or number.
func findGroup(wanted string, group []byte) (gid uint32, err error) {
	gid, err = parseID(wanted)
	known := err == nil
	eachLine(group, 3, func(f []string) bool {
		if f[0] == wanted {
			if n, err := parseID(f[2]); err == nil {
				gid, known = n, true
			}
		}
		return f[0] != wanted
	})
	if !known {
		return 0, ipc.Errorf(ipc.BadRequest, "cannot run in the group %.64q: there is no such group", wanted)
	}
	return gid, nil
}

// memberships are the groups that name a user.
func memberships(user string, group []byte) (gids []uint32) {
	if user == "" {
		return nil
	}
	eachLine(group, 4, func(f []string) bool {
		gid, err := parseID(f[2])
		if err == nil && slices.Contains(strings.Split(f[3], ","), user) {
			gids = append(gids, gid)
		}
		return len(gids) < 1024
	})
	return gids
}

// parseID reads a uid or gid. The highest means "no change" to the kernel.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// eachLine gives the lines that have so many fields or more to f, until that is false.
func eachLine(text []byte, fields int, f func([]string) bool) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if parts := strings.Split(lines.Text(), ":"); len(parts) >= fields && !f(parts) {
			return
		}
	}
}

// credential is what the kernel is told. A process that is not root's can only be itself.
func (a account) credential() *syscall.Credential {
	if os.Geteuid() != 0 && int(a.uid) == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
}
