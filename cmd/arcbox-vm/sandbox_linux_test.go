package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// confinedVar has the test binary confine itself and report what it can still open.
const confinedVar = "ARCBOX_TEST_CONFINED"

// tryToOpen reports on standard output, which is open already.
func tryToOpen() int {
	kept, err := os.Open("/proc/self/statm")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("sandbox:", confine())
	done := make(chan struct{})
	go func() { // on any thread
		defer close(done)
		for _, path := range []string{"/etc/passwd", "/", "/dev/null", "/proc/self/mem", os.Args[0]} {
			if f, err := os.Open(path); err == nil {
				fmt.Println("opened", path)
				f.Close()
			}
		}
		if f, err := os.Create("/tmp/arcbox-must-not-be"); err == nil {
			fmt.Println("created", f.Name())
		}
		if err := exec.Command(os.Args[0]).Run(); err == nil {
			fmt.Println("ran", os.Args[0])
		}
		if c, err := net.Dial("tcp", os.Getenv(confinedVar)); err == nil {
			fmt.Println("connected to", c.RemoteAddr())
		}
	}()
	<-done
	if _, err := kept.ReadAt(make([]byte, 16), 0); err != nil {
		fmt.Println("what was open cannot be read:", err)
	}
	status, _ := os.ReadFile("/proc/self/status")
	if len(status) > 0 {
		fmt.Println("opened /proc/self/status")
	}
	return 0
}

func TestAConfinedProcessOpensNothing(t *testing.T) {
	if os.Getenv(confinedVar) != "" {
		os.Exit(tryToOpen())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), confinedVar+"="+l.Addr().String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := strings.TrimSpace(string(out))
	if strings.HasPrefix(said, "sandbox: none: this kernel") && os.Getenv("CI") == "" {
		t.Skip(said)
	}
	if !strings.HasPrefix(said, "sandbox: landlock ") || strings.Contains(said, "\n") {
		t.Errorf("a confined process says:\n%s", said)
	}
}
