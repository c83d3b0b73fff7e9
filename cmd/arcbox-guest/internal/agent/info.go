//go:build linux

package agent

import (
	"context"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// info serves guestapi.Info.
func (a *Agent) info(context.Context, *guestapi.InfoReq) (*guestapi.InfoResp, error) {
	var un unix.Utsname
	if err := unix.Uname(&un); err != nil {
		return nil, err
	}
	resp := &guestapi.InfoResp{
		Hostname: unix.ByteSliceToString(un.Nodename[:]), Kernel: unix.ByteSliceToString(un.Release[:]),
		OS: prettyName(readText("/etc/os-release")), CPUs: runtime.NumCPU(), Memory: memory().Total,
		Uptime: clock.Uptime().Milliseconds(), Addresses: addresses(), Data: mountAt(a.Data), Problems: a.Problems,
	}
	if Emulating() {
		resp.Emulates = []string{"x86-64"}
	}
	return resp, nil
}

// Emulating tells whether x86-64 programs run here.
func Emulating() bool {
	return strings.HasPrefix(readText("/proc/sys/fs/binfmt_misc/"+EmulationName), "enabled")
}

// EmulationName is what the kernel calls the way to run x86-64 programs.
const EmulationName = "arcbox-x86-64"

// prettyName is the name in an os-release.
func prettyName(text string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			if s, err := strconv.Unquote(value); err == nil {
				return s
			}
			return value
		}
	}
	return ""
}

// addresses are those by which others reach the guest.
func addresses() (list []string) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, addr := range all {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			list = append(list, ip.IP.String())
		}
	}
	return list
}

// mountAt is the file system mounted at a directory, nil for none.
func mountAt(dir string) *guestapi.Mount {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || dir == "" {
		return nil
	}
	var m *guestapi.Mount
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == dir { // the last is on top
			m = &guestapi.Mount{Device: f[0], Path: f[1], Type: f[2]}
		}
	}
	var fs unix.Statfs_t
	if m == nil || unix.Statfs(dir, &fs) != nil {
		return nil
	}
	m.Size, m.Free = fs.Blocks*uint64(fs.Bsize), fs.Bavail*uint64(fs.Bsize)
	return m
}
