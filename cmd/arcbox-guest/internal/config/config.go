// Package config says what the guest was asked to do. It reads the two places
// where a host can write it down: the kernel command line ([FromCommandLine])
// and a small disk ([FromDisk]).
//
// Both are parsed with bounds and without panics. The package touches no file
// and no system call, so all of it is tested on any host.
package config

import (
	"maps"
	"net/netip"
)

// DefaultInit is the program the initramfs hands over to, as in init=.
const DefaultInit = "/sbin/arcbox-guest"

// DefaultData is the disk that becomes /data when nobody names another.
const DefaultData = "/dev/vdb"

// NoData as the data disk means that no disk is mounted at /data.
const NoData = "none"

// A Config is what the guest was asked to do. The zero value asks for an
// interactive shell on the console.
type Config struct {
	Run      string            // a script for /bin/sh -c; wins over Exec
	Exec     []string          // a program and its arguments, started without a shell
	Env      map[string]string // added to the environment of Run and Exec
	Hostname string            // "" is "arcbox"
	Data     string            // the data disk's device, NoData, or "" for DefaultData
	Room     int64             // bytes that the host can keep of the data disk; 0 when it has not said
	Agent    bool              // run the guest's agent
	Emulate  []string          // foreign architectures whose programs are to run
	Network  Network           // what the network card is; zero to leave it alone
	Network6 Network6          // and what it is besides

	Root     string   // root=, read by the initramfs only
	RootType string   // rootfstype=; "" means erofs
	Init     string   // init=; "" means DefaultInit
	Consoles []string // console= device names without options, in the order given
}

// A Network is a machine's place in an IPv4 network.
type Network struct {
	Address netip.Prefix // the machine's own address, and how many bits of it are the network's
	Gateway netip.Addr   // which also resolves names
}

// A Network6 is a machine's place in an IPv6 network in which nobody asks for neighbours.
type Network6 struct {
	Address    netip.Prefix
	Gateway    netip.Addr
	GatewayMAC string // six bytes in hexadecimal with colons
}

// DataDevice is the disk to mount at /data, or "" for none.
func (c Config) DataDevice() string {
	switch c.Data {
	case "":
		return DefaultData
	case NoData:
		return ""
	}
	return c.Data
}

// WithDefaults is c with what it leaves open taken from d. A work order is
// taken whole: a c with Run or Exec ignores both of d.
func (c Config) WithDefaults(d Config) Config {
	if c.Run == "" && len(c.Exec) == 0 {
		c.Run, c.Exec = d.Run, d.Exec
	}
	env := maps.Clone(d.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, c.Env)
	c.Env = env
	c.Hostname = or(c.Hostname, d.Hostname)
	c.Data = or(c.Data, d.Data)
	return c
}

// or is a, or b when a is empty.
func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
