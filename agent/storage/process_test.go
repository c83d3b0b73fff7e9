package storage

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

// The tests' other processes are this program again; childEnv says what they do.
const childEnv = "STORAGE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch path := os.Getenv(childEnv + "_PATH"); os.Getenv(childEnv) {
	case "hold":
		hold(path)
	case "pass":
		pass(path)
	case "make":
		makeForEver(path)
	}
	os.Exit(m.Run())
}

func waitForEver() { time.Sleep(time.Hour) }

// hold opens the image, says so, and waits to be killed.
func hold(path string) {
	img, err := Open(path, false)
	fmt.Println(errors.Is(err, file.ErrLocked), err == nil)
	waitForEver()
	runtime.KeepAlive(img)
}

// pass opens the image, and hands it to a process that knows nothing of locks.
func pass(path string) {
	img, err := Open(path, false)
	if err != nil {
		panic(err)
	}
	cmd := exec.Command("sleep", "600")
	cmd.ExtraFiles = []*os.File{img.Descriptor()}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fmt.Println(cmd.Process.Pid)
	waitForEver()
	runtime.KeepAlive(img)
}

// makeForEver makes images and removes them.
func makeForEver(path string) {
	for fmt.Println("begin"); ; _ = os.Remove(path) {
		img, err := Ensure(Spec{Path: path, Size: DefaultSize / 2})
		if err != nil {
			panic(err)
		}
		_ = img.Close()
	}
}

// child starts this program to do act, and returns its first line.
func child(t *testing.T, act, path string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+act, childEnv+"_PATH="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return cmd, line
}

// kill is kill -9, and waits until it has happened. A second one does nothing.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestTwoProcessesNeverHoldOneImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	closed(t, Spec{Path: path, Size: MinSize})
	first, said := child(t, "hold", path)
	if said != "false true\n" {
		t.Fatalf("the first process said %q", said)
	}
	if _, said := child(t, "hold", path); said != "true false\n" {
		t.Errorf("the second process said %q, want that the image is locked", said)
	}
	for _, readOnly := range []bool{false, true} {
		if _, err := Open(path, readOnly); !errors.Is(err, file.ErrLocked) {
			t.Errorf("opening it here (read only %v): %v, want %v", readOnly, err, file.ErrLocked)
		}
	}
	kill(first)
	img, err := Open(path, false)
	if err != nil {
		t.Fatalf("after kill -9 of its holder: %v", err)
	}
	_ = img.Close()
}

// The agent opens images, arcbox-vm is handed them and outlives it.
func TestLockLivesWithTheDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	closed(t, Spec{Path: path, Size: MinSize})
	opener, said := child(t, "pass", path)
	var pid int
	if _, err := fmt.Sscan(said, &pid); err != nil {
		t.Fatalf("the opener said %q", said)
	}
	holder, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Kill()
	kill(opener)
	if _, err := Open(path, false); !errors.Is(err, file.ErrLocked) {
		t.Errorf("with the opener dead and the descriptor alive: %v, want %v", err, file.ErrLocked)
	}
	if err := holder.Kill(); err != nil {
		t.Fatal(err)
	}
	// Nobody here can wait for somebody else's child.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		img, err := Open(path, false)
		if err == nil {
			_ = img.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("with both dead: %v", err)
		}
	}
}

func TestKilledMakerLeavesNothingOrAWholeImage(t *testing.T) {
	rounds := 10
	if os.Getenv("ARCBOX_SOAK") != "" {
		rounds = 1000
	}
	for n := range rounds {
		dir := t.TempDir()
		path := filepath.Join(dir, "i")
		maker, _ := child(t, "make", path)
		time.Sleep(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		kill(maker)
		st, err := os.Stat(path)
		if err == nil && st.Size() != DefaultSize/2 {
			t.Errorf("round %d: the image has %d bytes", n, st.Size())
		}
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		closed(t, Spec{Path: filepath.Join(dir, "other"), Size: MinSize, Reserve: -1})
		if left, err := leftovers(dir); err != nil || len(left) != 0 {
			t.Errorf("round %d: the next maker left %v, %v", n, left, err)
		}
		closed(t, Spec{Path: path, Size: DefaultSize / 2, Reserve: -1})
		if err := os.RemoveAll(dir); err != nil { // of a thousand rounds
			t.Fatal(err)
		}
	}
}
