// Package initapi is what PID 1 and the guest's agent, its child, have to say to each
// other, on a socket pair that the agent inherits. The agent also answers
// guestapi.Ping there, by which PID 1 knows that it is not wedged.
package initapi

import "github.com/arcboxlabs/arcbox-go/ipc"

// ConnFD is where the agent finds its connection to PID 1.
const ConnFD = 3

var (
	// Begin tells the agent that the guest is ready, and lets it announce itself.
	Begin = ipc.Method[BeginReq, BeginResp]{Name: "agent.begin"}
	// End tells PID 1 to end the guest. It answers before it begins with that; what the
	// agent owes to others it must say when SIGTERM comes.
	End = ipc.Method[EndReq, EndResp]{Name: "init.end"}
)

// BeginReq is what PID 1 knows of the guest's start.
type BeginReq struct {
	InitMS   int64    `json:"init_ms"` // when it began, since the kernel's start
	Problems []string `json:"problems,omitempty"`
}

// EndReq says how.
type EndReq struct {
	GraceMS int64 `json:"grace_ms,omitempty"` // between SIGTERM and SIGKILL; 0 means PID 1's own
	Restart bool  `json:"restart,omitempty"`
}

// BeginResp and EndResp are empty.
type (
	BeginResp struct{}
	EndResp   struct{}
)
