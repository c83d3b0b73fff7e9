// Package netapi is what arcbox-net answers: the methods between the process that plays a machine's
// network and the agent. It is a process of its own because the agent must parse nothing that a guest sends and may
// restart at any time, and arcbox-vm must hold no socket of the host.
//
// # A life
//
// Configure once, with the stream to the machine's network card; then anything. The process outlives its
// owner when it was given a rendezvous, as arcbox-vm does (see ipc/owned). When the machine's process has
// gone, or either of the two is replaced, Relink gives a new stream; connections through the network do not survive
// that, published ports do.
//
// # The network
//
// A private IPv4 network with the gateway at its first address, which is the process: it answers DHCP and
// DNS there, and passes TCP, UDP and nothing else on to the host's own network with the rights of its user. Beside it is one
// of IPv6 (Subnet6), from which the host's IPv6 can be reached where it has any.
package netapi

import (
	"net/netip"
	"strings"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// The methods. Before Configure all but Adopt answer wrong-state.
var (
	// Configure makes the network. Errors: bad-request.
	Configure = ipc.Method[ConfigureReq, ConfigureResp]{Name: "net.configure"}
	// Adopt makes the connection the owner's. It is the first call on a connection to the rendezvous socket.
	Adopt = ipc.Method[AdoptReq, AdoptResp]{Name: "net.adopt"}
	// Relink replaces the stream to the machine.
	Relink = ipc.Method[RelinkReq, RelinkResp]{Name: "net.relink"}
	// Publish opens a port of the host that leads to one of the guest. Errors: in-use when the host's port is
	// taken, exists when it is published already, no-address, bad-request.
	Publish = ipc.Method[PublishReq, PublishResp]{Name: "net.publish"}
	// Withdraw closes one. Errors: not-found.
	Withdraw = ipc.Method[WithdrawReq, WithdrawResp]{Name: "net.withdraw"}
	// SetNames replaces the names that the resolver knows below Domain. Errors: bad-request, and then nothing has changed.
	SetNames = ipc.Method[SetNamesReq, SetNamesResp]{Name: "net.set-names"}
	// SetWire leads from the host's own network to what is behind the machine, or changes what that is. Errors: not-found
	// when there is no wire to change, bad-request.
	SetWire = ipc.Method[SetWireReq, SetWireResp]{Name: "net.set-wire"}
	// Unwire ends that. That there is no wire is no error.
	Unwire = ipc.Method[UnwireReq, UnwireResp]{Name: "net.unwire"}
	// Stats may be asked at any time.
	Stats = ipc.Method[StatsReq, StatsResp]{Name: "net.stats"}
	// Quit ends the process.
	Quit = ipc.Method[QuitReq, QuitResp]{Name: "net.quit"}
)

// Codes beside those of the message layer.
const (
	InUse     ipc.Code = "in-use"
	Exists    ipc.Code = "exists"
	NotFound  ipc.Code = "not-found"
	NoAddress ipc.Code = "no-address" // the host has none such
)

// Bounds of what a request may hold.
const (
	MaxPorts = 4096 // published at once
	MaxLabel = 64 << 10

	MaxNames     = 4096 // below Domain
	MaxAddresses = 64   // of one name

	maxLabel, maxName = 63, 253 // bytes
	MaxSubnets        = 64      // behind a machine
	MaxWireName       = 64
)

// Defaults of ConfigureReq.
const (
	DefaultSubnet = "192.168.127.0/24"
	// GatewayAddress and GuestAddress are those of DefaultSubnet.
	GatewayAddress = "192.168.127.1"
	GuestAddress   = "192.168.127.2/24"
	// WireAddress is of DefaultSubnet and leased to nobody: the host's, where there is a wire.
	WireAddress = "192.168.127.254"
	DefaultMTU  = 65520 // the wire is a socket: what is larger costs less
)

// What the network is in IPv6, whatever Subnet is: a unique local one (RFC 4193). Nobody asks for neighbours in it: the machine is told GatewayMAC, as it is the gateway the machine's.
const (
	Subnet6         = "fd5a:94ef:e40c::/64"
	GatewayAddress6 = "fd5a:94ef:e40c::1"
	GuestAddress6   = "fd5a:94ef:e40c::2/64"
	HostAddress6    = "fd5a:94ef:e40c:1::1" // the host's ::1; behind the gateway, or who wants it would ask for a neighbour
	GatewayMAC      = "5a:94:ef:e4:0c:dd"   // local, and the same in every network
)

// HostName is what the host is called in the guest: Docker's users know it.
const HostName = "host.docker.internal"

// HostNames are all that it is called.
var HostNames = []string{HostName, "gateway.docker.internal"}

// Domain is where containers have their names.
const Domain = "arcbox.local"

// ConfigureReq is a whole network.
type ConfigureReq struct {
	ipc.Files
	// Label is the owner's own, given back to whoever adopts.
	Label string `json:"label,omitempty"`
	// Link is the stream to the machine: Ethernet frames, each behind 4 bytes of its length, big-endian.
	Link   ipc.FD `json:"link"`
	MTU    int    `json:"mtu,omitempty"`    // bytes of IP packet; 0 means DefaultMTU
	Subnet string `json:"subnet,omitempty"` // IPv4, at most /29; "" means DefaultSubnet
	// MAC is the machine's address, for which DHCP keeps the second address of the subnet.
	MAC string `json:"mac"`

	Rendezvous ipc.FD `json:"rendezvous,omitempty"` // a listening Unix socket; 0 for none
	OrphanMS   int64  `json:"orphan_ms,omitempty"`  // how long an orphan waits; 0 means 10 minutes
}

// ConfigureResp has what was decided.
type ConfigureResp struct {
	Gateway string `json:"gateway"` // the host in this network
	Guest   string `json:"guest"`   // the machine
	// Sandbox says what the host's kernel keeps the process from, or "none: " and why.
	Sandbox string `json:"sandbox"`
}

// AdoptReq asks for nothing in particular.
type AdoptReq struct{}

// AdoptResp is what the new owner must know.
type AdoptResp struct {
	Label   string `json:"label"`
	PID     int    `json:"pid"`
	Gateway string `json:"gateway,omitempty"` // "" before Configure
	Guest   string `json:"guest,omitempty"`
	Ports   []Port `json:"ports"`
	Linked  bool   `json:"linked"` // the stream to the machine is open
}

// RelinkReq has the new stream.
type RelinkReq struct {
	ipc.Files
	Link ipc.FD `json:"link"`
}

// RelinkResp is empty.
type RelinkResp struct{}

// Port is a published port. Protocol, Host and HostPort name it.
type Port struct {
	Protocol  string `json:"protocol"`        // "tcp" or "udp"
	Host      string `json:"host"`            // address of the host, "127.0.0.1"
	HostPort  uint16 `json:"host_port"`       // never 0
	Guest     string `json:"guest,omitempty"` // address in the network; "" means the machine's
	GuestPort uint16 `json:"guest_port"`
}

// PublishReq and WithdrawReq name a port.
type (
	PublishReq struct {
		Port Port `json:"port"`
	}
	WithdrawReq struct {
		Port Port `json:"port"`
	}
)

// PublishResp and WithdrawResp are empty.
type (
	PublishResp  struct{}
	WithdrawResp struct{}
)

// A Name is one of Domain, without that, and its addresses. Case does not matter; of names that are the same all addresses count.
type Name struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

// Check says what is wrong with a name (RFC 1035, 2.3.4) or its addresses.
func (n Name) Check() error {
	whole := n.Name + "." + Domain
	bad := len(whole) > maxName
	for label := range strings.SplitSeq(whole, ".") {
		bad = bad || label == "" || len(label) > maxLabel
	}
	if bad {
		return ipc.Errorf(ipc.BadRequest, "cannot keep the name %.64q: give labels of 1 to %d bytes with dots between, with %s at most %d", n.Name, maxLabel, Domain, maxName)
	}
	if len(n.Addresses) > MaxAddresses {
		return ipc.Errorf(ipc.BadRequest, "cannot keep %d addresses of %.64q: give at most %d", len(n.Addresses), n.Name, MaxAddresses)
	}
	for _, text := range n.Addresses {
		if a, err := netip.ParseAddr(text); err != nil || a.Zone() != "" {
			return ipc.Errorf(ipc.BadRequest, "cannot keep %.64q as an address of %.64q", text, n.Name)
		}
	}
	return nil
}

// SetNamesReq has all names that there are.
type SetNamesReq struct {
	Names []Name `json:"names"`
}

// SetNamesResp is empty.
type SetNamesResp struct{}

// A Wire leads from an interface of the host to networks behind the machine. It carries IPv4 between Host and those
// networks and nothing else, and is at its end when the interface is.
type Wire struct {
	Name    string   `json:"name"`    // of the host's interface
	Host    string   `json:"host"`    // the host's address there
	Subnets []string `json:"subnets"` // IPv4
}

// SetWireReq is a wire. File is the host's end: a tap, each read and write of which is one Ethernet frame, or a stream of them,
// each behind 4 bytes of its length, big-endian. Without one the present wire gets other Subnets.
type SetWireReq struct {
	ipc.Files
	Wire
	File ipc.FD `json:"file,omitempty"`
}

// UnwireReq is empty.
type UnwireReq struct{}

// SetWireResp and UnwireResp are empty.
type (
	SetWireResp struct{}
	UnwireResp  struct{}
)

// StatsReq asks for everything.
type StatsReq struct{}

// StatsResp counts from the process's start.
type StatsResp struct {
	Linked   bool   `json:"linked"`
	Sent     uint64 `json:"sent"`     // bytes on the link to the machine
	Received uint64 `json:"received"` // bytes of frames from it
	Ports    []Port `json:"ports"`
	Wire     *Wire  `json:"wire,omitempty"` // nil for none
}

// QuitReq and QuitResp are empty.
type (
	QuitReq  struct{}
	QuitResp struct{}
)
