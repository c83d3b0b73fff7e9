package helper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/routeapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// A Client is a host whose routes the helper changes. It ends with Close.
type Client struct{ to *ipc.Redialer }

// NewClient makes one of the helper at a socket, which it first connects to when something is asked. program is what installs it, for
// who is to be told.
func NewClient(socket, program string) *Client {
	return &Client{ipc.NewRedialer(func(ctx context.Context) (*ipc.Conn, error) {
		conn, err := unixsock.Dial(ctx, socket, nil)
		switch {
		case errors.Is(err, unixsock.ErrNobody):
			err = fmt.Errorf("%w: it takes arcbox-routed, which is not installed; run sudo %s install, or set machine.routes to off", route.ErrRefused, program)
		case errors.Is(err, fs.ErrPermission):
			err = fmt.Errorf("%w: arcbox-routed was installed for another user; run sudo %s install as this one", route.ErrRefused, program)
		}
		return conn, err
	})}
}

// Close ends the connection. Wires stay.
func (c *Client) Close() error { return c.to.Close() }

// call asks the helper, and the next one if it ends meanwhile: nothing that it does is worse for being done twice, and a wire
// whose file nobody has got is gone.
func call[Req, Resp any](ctx context.Context, c *Client, m ipc.Method[Req, Resp], req *Req) (resp *Resp, err error) {
	for range 2 {
		var conn *ipc.Conn
		if conn, err = c.to.Conn(ctx); err != nil {
			return nil, err
		}
		if resp, err = ipc.Call(ctx, conn, m, req); !errors.Is(err, ipc.ErrInterrupted) {
			return resp, meant(err)
		}
	}
	return nil, err
}

// meant gives an error of the helper the meaning that it has for a keeper.
func meant(err error) error {
	var refusal *ipc.Error
	if !errors.As(err, &refusal) {
		return err
	}
	for code, is := range map[ipc.Code]error{
		routeapi.Taken: route.ErrTaken, routeapi.Refused: route.ErrRefused, routeapi.Gone: route.ErrGone, ipc.Denied: route.ErrRefused,
	} {
		if refusal.Code == code {
			return &meaning{refusal, is}
		}
	}
	return err
}

// A meaning is the helper's words, and what they come to.
type meaning struct {
	said *ipc.Error
	is   error
}

func (m *meaning) Error() string   { return m.said.Error() }
func (m *meaning) Unwrap() []error { return []error{m.said, m.is} }

// Attach implements route.Host.
func (c *Client) Attach(ctx context.Context) (*route.Wire, error) {
	resp, err := call(ctx, c, routeapi.Attach, &routeapi.AttachReq{})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	address, err := netip.ParseAddr(resp.Host)
	if err != nil {
		return nil, fmt.Errorf("cannot use the wire %.64q: its address is %.64q", resp.Name, resp.Host)
	}
	f, err := resp.Take(resp.File)
	if err != nil {
		return nil, err
	}
	return &route.Wire{Name: resp.Name, Address: address, File: f}, nil
}

// Installed implements route.Host.
func (c *Client) Installed(ctx context.Context, name string) (subnets []netip.Prefix, err error) {
	resp, err := call(ctx, c, routeapi.Installed, &routeapi.InstalledReq{Wire: name})
	if err != nil {
		return nil, err
	}
	for _, text := range resp.Subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("arcbox-routed says that %.64q leads through %s: %w", text, name, err)
		}
		subnets = append(subnets, p)
	}
	return subnets, nil
}

// Install implements route.Host.
func (c *Client) Install(ctx context.Context, name string, subnet netip.Prefix) error {
	_, err := call(ctx, c, routeapi.Install, &routeapi.RouteReq{Wire: name, Subnet: subnet.String()})
	return err
}

// Remove implements route.Host.
func (c *Client) Remove(ctx context.Context, name string, subnet netip.Prefix) error {
	_, err := call(ctx, c, routeapi.Remove, &routeapi.RouteReq{Wire: name, Subnet: subnet.String()})
	if errors.Is(err, route.ErrGone) {
		return nil
	}
	return err
}

// Changes implements route.Host.
func (c *Client) Changes(ctx context.Context, changed func()) error {
	conn, err := c.to.Conn(ctx)
	if err != nil {
		return err
	}
	for _, err := range ipc.Subscribe(ctx, conn, routeapi.Changes, &routeapi.ChangesReq{}) {
		if err != nil {
			changed() // with the helper its wires may have gone
			return meant(err)
		}
		changed()
	}
	return nil
}
