package boot

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// childEnv makes the test binary install and remove assets until it is killed.
// Its value is a directory that has them in a and b and the stores in home and
// shared.
const childEnv = "ARCBOX_TEST_INSTALLER"

// installForEver is the child of TestKilledInstallerLeavesACompleteStore.
func installForEver(dir string) {
	l := OpenLibrary(filepath.Join(dir, "home"), filepath.Join(dir, "shared"))
	ctx := context.Background()
	for i := 0; ; i++ {
		for _, name := range []string{"a", "b"} {
			src, err := NewDirectory(filepath.Join(dir, name))
			if err != nil {
				panic(err)
			}
			var f Fetch
			a, _, err := f.From(ctx, l, src)
			if err != nil {
				panic(err)
			}
			if err := l.MarkBooted(ctx, a.ID); err != nil {
				panic(err)
			}
			if i%2 == 1 {
				if err := l.Remove(ctx, a.ID); err != nil {
					panic(err)
				}
			}
		}
	}
}

// TestKilledInstallerLeavesACompleteStore kills a process that installs and
// removes at random moments. Whatever is listed afterwards is complete, the
// state can be read, and the next fetch leaves nothing behind.
func TestKilledInstallerLeavesACompleteStore(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	dir := t.TempDir()
	for name, mark := range map[string]byte{"a": 'a', "b": 'b'} {
		if err := os.Rename(publish(t, FlavourDebian, "6.1.0", mark).directory(t), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	l := OpenLibrary(filepath.Join(dir, "home"), filepath.Join(dir, "shared"))
	for round := range rounds {
		killAfter(t, dir, 20*time.Millisecond+rand.N(80*time.Millisecond))
		list(t, l)
		if _, err := l.Home.state(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	for _, name := range []string{"a", "b"} {
		src, err := NewDirectory(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		fetch(t, l, src)
	}
	if ids := list(t, l); len(ids) != 2 {
		t.Errorf("assets %v, want two", ids)
	}
	for _, name := range leftovers(t, l.Home) {
		if filepath.Dir(name) == tmpDir {
			t.Errorf("left behind: %s", name)
		}
	}
}

// killAfter runs the installer for a while and ends it with SIGKILL.
func killAfter(t *testing.T, dir string, d time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("the installer ended by itself: %v", err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() > 0 {
		t.Errorf("the installer failed before it was killed: %v", err)
	}
}
