package launchd

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// testAgent is an agent: it takes its socket and tells who connects its process id,
// that of a child that it leaves behind as the real one leaves VMs, and its HOME.
func testAgent() int {
	ls, err := Listeners("api")
	if err != nil || len(ls) != 1 {
		return fail(3, "agent: %d listeners, %v", len(ls), err)
	}
	if _, err := Listeners("api"); err == nil {
		return fail(4, "agent: took a socket twice")
	}
	if _, err := Listeners("other"); err == nil {
		return fail(5, "agent: took a socket that is not there")
	}
	child, err := startChild()
	if err != nil {
		return fail(6, "agent: %v", err)
	}
	fmt.Println("agent: up")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	for {
		c, err := ls[0].Accept()
		if err != nil {
			return fail(7, "agent: %v", err)
		}
		serveTest(c, child)
	}
}

func fail(code int, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return code
}

// serveTest answers with a line; a peer that sends "crash" gets a crash.
func serveTest(c net.Conn, child int) {
	defer c.Close()
	fmt.Fprintf(c, "%d %d %q\n", os.Getpid(), child, os.Getenv("AGENT_TEST"))
	if word, _ := io.ReadAll(c); string(word) == "crash" {
		os.Exit(9)
	}
}

func startChild() (pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asVar+"=child")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// testChild must not be taken for the one that sockets were passed to.
func testChild() int {
	if _, err := Listeners("api"); err == nil {
		return fail(8, "child: took its parent's sockets")
	}
	time.Sleep(10 * time.Minute) // its tests end the namespace that it lives in
	return 0
}
