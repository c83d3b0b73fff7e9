package boot_test

import (
	"io"
	"testing"

	"github.com/creack/pty"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestCtrlAXLeavesARealTerminal(t *testing.T) {
	cmd := start(t, kit.AFlavour(t, kit.Any), "hang")
	screen, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	out, up := kit.WaitFor("test init: up")
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		io.Copy(out, screen) // ends with an error when the last process closes the terminal
	}()
	<-up
	io.WriteString(screen, "typed into the void \x01x")
	cmd.Wait()
	<-shown
	if got := cmd.ProcessState.ExitCode(); got != 0 {
		t.Errorf("exit %d, want 0", got)
	}
}
