//go:build linux

package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

const (
	dockerd = "dockerd" // the service
	// dockerAPI is the version of Docker's API that is spoken here: dockerd has had it since 2020.
	dockerAPI = "/v1.40"
	// maxAnswer bounds what is read of one answer of dockerd, in bytes.
	maxAnswer = 16 << 20
)

// containers are what runs in dockerd, as it last said. They are followed while that is ready, by its events.
type containers struct {
	socket  string // of dockerd
	log     *Log
	ready   func(context.Context) // Options.DockerReady
	changed func()

	mu      sync.Mutex // guards what follows
	running int
	shown   guestapi.PortsNote // nothing of it is changed, only the whole
}

// now is how many run, and what they show the host.
func (c *containers) now() (running int, shown guestapi.PortsNote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running, c.shown
}

func (c *containers) set(running int, shown guestapi.PortsNote) {
	c.mu.Lock()
	same := c.running == running && reflect.DeepEqual(c.shown, shown)
	c.running, c.shown = running, shown
	c.mu.Unlock()
	if !same {
		c.changed()
	}
}

// followRest is how long a look at dockerd that has failed rests before the next.
const followRest = 2 * time.Second

// follow looks at the containers and again with each of their events, until ctx ends.
func (c *containers) follow(ctx context.Context) {
	defer c.set(0, guestapi.PortsNote{})
	if c.ready != nil {
		c.ready(ctx)
	}
	for {
		err := c.followEvents(ctx)
		if ctx.Err() != nil {
			return
		}
		c.log.Printf("cannot follow containers: %v", err)
		select {
		case <-time.After(followRest):
		case <-ctx.Done():
			return
		}
	}
}

func (c *containers) followEvents(ctx context.Context) error {
	// The events first: what happens between the two is seen.
	stream, end, err := c.get(ctx, "/events?filters="+`{"type":{"container":true,"network":true},"event":{"start":true,"die":true,"rename":true,"create":true,"destroy":true,"connect":true,"disconnect":true}}`)
	if err != nil {
		return err
	}
	defer end()
	events := json.NewDecoder(stream)
	for {
		if err := c.look(ctx); err != nil {
			return err
		}
		var event struct{}
		if err := events.Decode(&event); err != nil {
			return err
		}
	}
}

// A listed container is what dockerd's list says of one that runs.
type listed struct {
	Names  []string // "/web", and "/other/alias" for each link to it
	Labels map[string]string
	Ports  []struct {
		IP         string
		PublicPort uint16
		Type       string
	}
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
	}
}

// look asks what runs.
func (c *containers) look(ctx context.Context) error {
	body, end, err := c.get(ctx, "/containers/json")
	if err != nil {
		return err
	}
	defer end()
	var all []listed
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&all); err != nil {
		return fmt.Errorf("cannot read dockerd's list of containers: %w", err)
	}
	subnets, err := c.subnets(ctx)
	if err != nil {
		return err
	}
	c.set(len(all), guestapi.PortsNote{Ports: published(all), Names: named(all), Subnets: subnets})
	return nil
}

// published are the ports of containers that somebody is to reach from outside, each once: dockerd lists one for IPv4 and one for IPv6.
func published(all []listed) (ports []guestapi.Published) {
	seen := map[guestapi.Published]bool{}
	for _, one := range all {
		for _, p := range one.Ports {
			at := guestapi.Published{Protocol: p.Type, Port: p.PublicPort}
			if p.PublicPort == 0 || p.Type != "tcp" && p.Type != "udp" || seen[at] || len(ports) == guestapi.MaxPublished {
				continue
			}
			seen[at] = true
			ports = append(ports, at)
		}
	}
	return ports
}

// What compose says of a container (docker compose and docker-compose).
const (
	composeService = "com.docker.compose.service"
	composeProject = "com.docker.compose.project"
)

// named are the containers by their names, sorted.
func named(all []listed) (names []guestapi.Named) {
	found := map[string][]string{}
	for _, one := range all {
		addrs := one.addresses()
		if len(addrs) == 0 {
			continue // it has the host's network, or none
		}
		for _, name := range one.called() {
			if name != "" && len(name) <= guestapi.MaxNameBytes {
				found[name] = append(found[name], addrs...)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if len(names) == guestapi.MaxNamed {
			break
		}
		slices.Sort(found[name])
		names = append(names, guestapi.Named{Name: name, Addresses: slices.Compact(found[name])})
	}
	return names
}

// called are the names of one container.
func (l *listed) called() (names []string) {
	for _, name := range l.Names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	if service, project := l.Labels[composeService], l.Labels[composeProject]; service != "" && project != "" {
		names = append(names, service+"."+project)
	}
	return names
}

// addresses are those in all its networks.
func (l *listed) addresses() (all []string) {
	for _, n := range l.NetworkSettings.Networks {
		for _, a := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if a != "" {
				all = append(all, a)
			}
		}
	}
	return all
}

// get asks dockerd, in HTTP 1.0: what comes after the header is the body, to the end. end must be called.
func (c *containers) get(ctx context.Context, path string) (body io.Reader, end func(), err error) {
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot reach dockerd: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	end = func() {
		stop()
		conn.Close()
	}
	r := bufio.NewReader(conn)
	if _, err = fmt.Fprintf(conn, "GET %s%s HTTP/1.0\r\nHost: docker\r\n\r\n", dockerAPI, path); err == nil {
		err = skipHeader(r)
	}
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("cannot ask dockerd for %s: %w", path, err)
	}
	return r, end, nil
}

// skipHeader reads the header of an answer, which must be a good one.
func skipHeader(r *bufio.Reader) error {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if first && !strings.HasPrefix(text, "HTTP/1.0 200 ") && !strings.HasPrefix(text, "HTTP/1.1 200 ") {
			return errors.New("it answers " + text)
		}
		if text == "" {
			return nil
		}
	}
}
