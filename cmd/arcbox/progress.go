package main

import (
	"fmt"
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	assets "github.com/arcboxlabs/arcbox-go/boot"
)

// A progress shows what a fetch is at: bars on a terminal, else a line for each
// message and each file that is complete. One goroutine uses it.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil where there is no terminal
	bar  *mpb.Bar      // the one that moves
	at   string        // phase and file of the bar or of the last line
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	}
	return p
}

// event shows one event; it is a assets.Progress.
func (p *progress) event(e assets.Event) {
	switch {
	case e.File == "":
		p.line(e.Message)
	case p.bars == nil:
		if e.Done == e.Total {
			p.line(fmt.Sprintf("%s %s, %d bytes", e.Phase, e.File, e.Total))
		}
	default:
		p.advance(e)
	}
}

func (p *progress) line(text string) {
	if p.bars != nil {
		fmt.Fprintln(p.bars, text) // above the bars
		return
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) advance(e assets.Event) {
	if at := string(e.Phase) + " " + e.File; p.bar == nil || at != p.at {
		p.finish()
		p.at = at
		p.bar = p.bars.AddBar(e.Total,
			mpb.PrependDecorators(decor.Name(at, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
	}
	p.bar.SetCurrent(e.Done)
}

// finish leaves the bar as it is: a file that was cut off never gets full.
func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Abort(false)
		p.bar = nil
	}
}

// close ends the bars and waits until they are drawn.
func (p *progress) close() {
	p.finish()
	if p.bars != nil {
		p.bars.Wait()
	}
}
