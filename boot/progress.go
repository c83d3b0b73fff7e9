package boot

// A Phase is what a fetch or a verification is at.
type Phase string

// The phases. Those with bytes come with a file.
const (
	PhaseDownload Phase = "download" // bytes
	PhaseVerify   Phase = "verify"   // bytes
	PhaseBuild    Phase = "build"    // messages
	PhaseNote     Phase = "note"     // messages: waiting, trying again, repairing
)

// An Event is one step of progress: either a message, or that Done of Total
// bytes of a file are there.
type Event struct {
	Phase       Phase
	Message     string
	File        string
	Done, Total int64
}

// A Progress is told the events of one call, one after the other. It must not
// block. Nil discards them.
type Progress func(Event)

func (p Progress) say(phase Phase, message string) {
	if p != nil {
		p(Event{Phase: phase, Message: message})
	}
}

// bytes gives the function that reports how much of f is done.
func (p Progress) bytes(phase Phase, f File) func(done int64) {
	return func(done int64) {
		if p != nil {
			p(Event{Phase: phase, File: f.Name, Done: done, Total: f.Size})
		}
	}
}
