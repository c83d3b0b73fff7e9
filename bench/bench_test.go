package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blkImageForTest is as long as the benchmarks' image, and a hole.
func blkImageForTest(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(blkImage); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDriverDrivesBothDevices(t *testing.T) {
	path := blkImageForTest(t)
	devices := map[string]func(string) (*blkDriver, error){"ours": openDevice}
	if _, err := exec.LookPath("qemu-storage-daemon"); err == nil {
		for _, way := range daemonWays {
			devices[way] = func(path string) (*blkDriver, error) { return openDaemon(path, way) }
		}
	} else if os.Getenv("CI") != "" {
		t.Error(err)
	}
	for name, open := range devices {
		for _, w := range []work{{4 << 10, 1, true, 1}, {4 << 10, 32, true, 0}, {1 << 20, 4, false, 2}} {
			d, err := open(path)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			d.prepare(w)
			each, n, err := d.run(5 * time.Millisecond)
			if err != nil || n < w.depth || each <= 0 {
				t.Errorf("%s: load %+v: %d requests of %v s each, %v", name, w, n, each, err)
			}
			d.end()
		}
	}
}

func TestGuestPlaysItsRoles(t *testing.T) {
	const n = 1 << 20
	roles := map[role]func(c net.Conn) error{
		sinks: func(c net.Conn) error { _, err := c.Write(make([]byte, n)); return err },
		pours: func(c net.Conn) error { _, err := io.ReadFull(c, make([]byte, n)); return err },
		echoes: func(c net.Conn) error {
			if _, err := c.Write([]byte("echo")); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 4))
			return err
		},
	}
	for r, do := range roles {
		for _, fd := range []bool{false, true} {
			if _, err := withGuest(r, fd, do); err != nil {
				t.Errorf("role %d, as a descriptor %v: %v", r, fd, err)
			}
		}
		if _, err := withPair(r, do); err != nil {
			t.Errorf("role %d on a socket pair: %v", r, err)
		}
	}
}

func TestRatiosReadHigherIsBetter(t *testing.T) {
	tests := []struct {
		name  string
		more  bool
		ours  float64
		other []float64
		want  float64 // 0 for none
	}{
		{"half the time", false, 1, []float64{2, 2, 9}, 2},
		{"half the speed", true, 1, []float64{2}, 0.5},
		{"nobody to compare with", false, 1, nil, 0},
		{"none of a count", false, 0, []float64{0}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ratio := (&suite{more: tt.more}).beside(tt.ours, tt.other)
			if (ratio == nil) != (tt.want == 0) || (ratio != nil && *ratio != tt.want) {
				t.Errorf("%v beside %v: %s, want %v", tt.ours, tt.other, number(ratio), tt.want)
			}
		})
	}
}
