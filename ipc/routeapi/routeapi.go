// Package routeapi is what arcbox-routed answers: the methods between the one process with the right to change the host's
// routes, where the agent has none, and the agent of the one user whom it was installed for.
//
// It can do very little, whoever asks: make an interface of its own, and have private networks that nothing else of the host
// reaches lead through that. An interface belongs to whoever holds its other end, which Attach gives: when that is closed, by
// whatever end of a process, interface and routes are gone.
package routeapi

import "github.com/arcboxlabs/arcbox-go/ipc"

// The methods. Each may also answer bad-request.
var (
	// Attach makes a wire. Errors: refused, taken, busy.
	Attach = ipc.Method[AttachReq, AttachResp]{Name: "route.attach"}
	// Installed lists the networks that lead through a wire. Errors: gone.
	Installed = ipc.Method[InstalledReq, InstalledResp]{Name: "route.installed"}
	// Install has one lead there, and Remove does not. Errors: taken, gone, refused, busy.
	Install = ipc.Method[RouteReq, RouteResp]{Name: "route.install"}
	Remove  = ipc.Method[RouteReq, RouteResp]{Name: "route.remove"}
	// Changes has an item whenever the host's routes may have become others, and one at the beginning.
	Changes = ipc.Feed[ChangesReq, Change]{Name: "route.changes"}
)

// Codes beside those of the message layer.
const (
	Taken   ipc.Code = "taken"   // the host has something there
	Refused ipc.Code = "refused" // the host does not allow it
	Gone    ipc.Code = "gone"    // there is no such wire, or no more
)

// Bounds of what there may be at once.
const (
	MaxWires   = 64
	MaxSubnets = 64 // through a wire
	MaxName    = 64 // bytes of a wire's name
)

// AttachReq asks for a wire.
type AttachReq struct{}

// AttachResp has it.
type AttachResp struct {
	ipc.Files
	Name string `json:"name"` // of the interface
	Host string `json:"host"` // the host's address there, IPv4
	// File is the other end: what netapi.SetWireReq takes.
	File ipc.FD `json:"file"`
}

// InstalledReq names a wire.
type InstalledReq struct {
	Wire string `json:"wire"`
}

// InstalledResp has its networks.
type InstalledResp struct {
	Subnets []string `json:"subnets"`
}

// RouteReq is a private IPv4 network behind a wire, "172.17.0.0/16".
type RouteReq struct {
	Wire   string `json:"wire"`
	Subnet string `json:"subnet"`
}

// RouteResp is empty.
type RouteResp struct{}

// ChangesReq and Change are empty.
type (
	ChangesReq struct{}
	Change     struct{}
)
