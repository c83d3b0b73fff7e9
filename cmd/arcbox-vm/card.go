package main

import (
	"context"
	"net"

	"github.com/arcboxlabs/arcbox-go/hv/board"
	network "github.com/arcboxlabs/arcbox-go/hv/virtio/net"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// addNet makes the network card if there is to be one.
func (m *machine) addNet(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.Net == nil {
		return nil
	}
	if cfg.Deterministic != nil {
		return ipc.Errorf(ipc.BadRequest, "cannot give a deterministic machine a network: what comes through it is not logged; leave it out")
	}
	mac, err := net.ParseMAC(req.Net.MAC)
	if err != nil || len(mac) != 6 {
		return ipc.Errorf(ipc.BadRequest, "cannot give a network card the address %.64q: give one such as 02:00:00:00:00:01", req.Net.MAC)
	}
	m.card, err = network.New(network.Options{
		MAC: [6]byte(mac), MTU: req.Net.MTU, Valid: true,
		Down: func(why error) { m.events.addRarely(sayf(vmapi.LinkDown, "eth0", "%v", why)) },
	})
	if err != nil {
		return refused(err)
	}
	m.add(cfg, "net", m.card)
	return nil
}

// setLink serves vmapi.SetLink.
func (m *machine) setLink(_ context.Context, req *vmapi.SetLinkReq) (*vmapi.SetLinkResp, error) {
	if m.card == nil {
		return nil, ipc.Errorf(ipc.WrongState, "cannot plug a network in: the machine has no network card")
	}
	if m.ended() {
		return nil, ipc.Errorf(ipc.WrongState, "cannot plug a network in: the guest has ended")
	}
	if req.Link == 0 {
		m.card.SetLink(nil)
		return &vmapi.SetLinkResp{}, nil
	}
	f, err := req.Take(req.Link)
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn has a copy of its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot use the link: %v; give a stream socket", err)
	}
	m.card.SetLink(network.NewLink(conn, 0))
	return &vmapi.SetLinkResp{}, nil
}

// netStats are the card's, nil without one.
func (m *machine) netStats() *vmapi.NetStats {
	if m.card == nil {
		return nil
	}
	s := m.card.Stats()
	return &vmapi.NetStats{
		Linked: m.card.Up(), Sent: s.Sent, Received: s.Received,
		SentBytes: s.SentBytes, ReceivedBytes: s.ReceivedBytes, Dropped: s.Dropped,
	}
}
