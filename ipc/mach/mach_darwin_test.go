//go:build cgo

package mach_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/ipctest"
	"github.com/arcboxlabs/arcbox-go/ipc/mach"
	"github.com/arcboxlabs/arcbox-go/launchd"
)

// asVar has the test binary be the program behind the services that nameVar says, for launchd to run; demandVar
// is what it demands of clients.
const (
	asVar     = "MACH_TEST_AS"
	nameVar   = "MACH_TEST_NAME"
	demandVar = "MACH_TEST_DEMAND"
)

// stranger is met by no test binary.
const stranger = `identifier "com.example.somebody-else"`

func TestMain(m *testing.M) {
	if os.Getenv(asVar) == "service" {
		fmt.Println(offer(os.Getenv(nameVar), os.Getenv(demandVar)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

type whoResp struct{ PID int }

var (
	who  = ipc.Method[struct{}, whoResp]{Name: "test.who"}
	quit = ipc.Method[struct{}, struct{}]{Name: "test.quit"}
)

// offer is the service until somebody ends it.
func offer(name, requirement string) error {
	mux := ipc.NewMux()
	ipc.Handle(mux, who, func(context.Context, *struct{}) (*whoResp, error) { return &whoResp{os.Getpid()}, nil })
	ipc.Handle(mux, quit, func(context.Context, *struct{}) (*struct{}, error) {
		os.Exit(0)
		return nil, nil
	})
	l, err := mach.Listen(name, requirement)
	if err != nil {
		return err
	}
	return (&ipc.Server{Mux: mux}).Serve(l)
}

// install has launchd know this test binary, in one of its roles, with names and a demand, until the test ends. It
// gives where the program's output goes.
func install(t *testing.T, as, demand string, args, names []string) (log string) {
	t.Helper()
	m, err := launchd.New(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Status(t.Context()); errors.Is(err, launchd.ErrNoSession) {
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log = filepath.Join(t.TempDir(), "log")
	t.Cleanup(func() {
		if err := m.Uninstall(context.Background()); err != nil {
			t.Error(err)
		}
	})
	err = m.Install(t.Context(), launchd.Agent{
		Program: self, Args: args, Env: map[string]string{asVar: as, nameVar: names[0], demandVar: demand}, MachServices: names, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// label is of this process alone.
func label(what string) string { return fmt.Sprintf("com.example.arcbox-%s-%d", what, os.Getpid()) }

// The Mac's own launchd starts a service when somebody connects, and again after its end.
func TestLaunchdStartsTheService(t *testing.T) {
	name := label("mach")
	install(t, "service", "", nil, []string{name})
	if err := identified(t, name); err != nil {
		t.Error(err)
	}
	if _, err := mach.Dial(t.Context(), name, stranger, nil); !errors.Is(err, ipc.ErrInvalid) {
		t.Errorf("a service that is signed otherwise: %v", err)
	}
	if _, err := mach.Dial(t.Context(), name, `this is no requirement`, nil); err == nil {
		t.Error("a requirement that is none was taken")
	}
	if _, err := mach.Dial(t.Context(), name+".missing", "", nil); !errors.Is(err, mach.ErrNobody) {
		t.Errorf("a name that launchd does not know: %v", err)
	}
}

// Who does not meet the service's requirement is not heard; whether it is told so is the system's affair.
func TestAServiceHearsOnlyWhoMeetsItsRequirement(t *testing.T) {
	name := label("guarded")
	install(t, "service", stranger, nil, []string{name})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := mach.Dial(ctx, name, "", nil)
	if err == nil {
		c.Close()
		t.Error("a stranger was heard")
	}
	t.Logf("a stranger is told: %v", err)
}

// Only the program of a name's own job can offer it.
func TestANameOfAnotherJob(t *testing.T) {
	name := label("other")
	install(t, "service", "", nil, []string{name})
	l, err := mach.Listen(name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	told := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		told <- err
	}()
	select {
	case err := <-told:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("offering another's name is %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody says that the name is another's")
	}
}

// identified has the service say its pid, ends it, and does so again: it is another process then.
func identified(t *testing.T, name string) error {
	last := 0
	for range 2 {
		c, err := mach.Dial(t.Context(), name, "", nil)
		if err != nil {
			return err
		}
		defer c.Close()
		resp, err := ipc.Call(t.Context(), c, who, &struct{}{})
		if err != nil {
			return err
		}
		if p := c.Peer(); p.PID != resp.PID || p.UID != os.Geteuid() || resp.PID == last {
			return fmt.Errorf("process %d answers, after %d, and XPC names %v", resp.PID, last, p)
		}
		if _, err := ipc.Call(t.Context(), c, quit, &struct{}{}); !errors.Is(err, ipc.ErrInterrupted) {
			return fmt.Errorf("a service that ends is %w", err)
		}
		last = resp.PID
	}
	return nil
}

// suiteNames is how many listeners the suite may make: a name can be offered once in a process's life.
const suiteNames = 60

// The suite of all transports runs in a process that launchd has started, which has a name for each listener.
func TestTransportUnderLaunchd(t *testing.T) {
	var names []string
	for n := range suiteNames {
		names = append(names, fmt.Sprintf("%s.%d", label("suite"), n))
	}
	log := install(t, "suite", "", []string{"-test.v", "-test.run=^TestTransport$"}, names)
	for range 120 {
		text, _ := os.ReadFile(log)
		switch {
		case strings.HasSuffix(string(text), "PASS\n"):
			t.Logf("%s", text)
			return
		case strings.Contains(string(text), "FAIL\n"):
			t.Fatalf("%s", text)
		}
		time.Sleep(time.Second)
	}
	t.Error("the suite did not end")
}

func TestTransport(t *testing.T) {
	if os.Getenv(asVar) != "suite" {
		t.Skip("TestTransportUnderLaunchd has launchd run this")
	}
	base := strings.TrimSuffix(os.Getenv(nameVar), "0")
	next := 0
	ipctest.Run(t, ipctest.Transport{
		Descriptors: true,
		Listen: func(t *testing.T) (ipc.Listener, func() (ipc.Wire, error)) {
			name := fmt.Sprint(base, next)
			next++
			l, err := mach.Listen(name, "")
			if err != nil {
				t.Fatal(err)
			}
			return l, func() (ipc.Wire, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // launchd holds who comes later
				defer cancel()
				return mach.DialWire(ctx, name, "")
			}
		},
	})
}
