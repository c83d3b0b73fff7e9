package config

import "time"

// Effect is when a change of a setting counts.
type Effect string

const (
	Now       Effect = "now"
	NextStart Effect = "next start"       // of the machine
	NextAgent Effect = "next agent start" // of the agent
)

// A Key is one setting.
type Key struct {
	Name    string // such as machine.memory
	Doc     string
	Takes   string // what it may be, in words
	Default string // in words
	Effect  Effect

	kind    kind
	initial func(Host) any
	set     func(*Settings, any)
	get     func(*Settings) any
}

// Machine says whether [machines.NAME] may have it.
func (k *Key) Machine() bool { return within(k.Name, machineSection) }

// Keys are all settings, in the order in which people are shown them.
var Keys = []*Key{
	key("machine.cpus", whole(1, 64), func(s *Settings) *int { return &s.Machine.CPUs }, NextStart,
		"Virtual CPUs.").host("the host's cores, at most 32", func(h Host) int { return min(max(h.CPUs, 1), 32) }),
	key("machine.memory", size(128<<20, 1<<40), func(s *Settings) *int64 { return &s.Machine.Memory }, NextStart,
		"Memory that the guest sees. What it does not use stays with the host.").
		host("half of the host's, 512 MiB to 16 GiB", func(h Host) int64 { return min(max(h.Memory/2&^(1<<20-1), 512<<20), 16<<30) }),
	key("machine.disk", size(64<<20, 64<<40), func(s *Settings) *int64 { return &s.Machine.Disk }, NextStart,
		"Size of the data disk that the guest sees. The image is sparse and takes what was written; it never becomes shorter.").is(8 << 40),
	key("machine.disk_nominal", size(1<<30, 64<<40), func(s *Settings) *int64 { return &s.Machine.DiskNominal }, Now,
		"What the data disk is expected to take of the host: you are warned beyond it.").is(50 << 30),
	key("machine.preallocate", size(0, 64<<30), func(s *Settings) *int64 { return &s.Machine.Preallocate }, NextStart,
		"Space on the host to take ahead of use.").is(256 << 20),
	key("machine.flush", oneOf(FlushHost, FlushBarrier, FlushFull), func(s *Settings) *Flush { return &s.Machine.Flush }, NextStart,
		"When a guest's fsync is answered: the host has it (host), in order (barrier), on the medium (full).").is(FlushHost),
	key("machine.kernel", text(4096), func(s *Settings) *string { return &s.Machine.Kernel }, NextStart,
		"File of the kernel to boot; empty for the installed boot assets.").is(""),
	key("machine.cmdline", text(1024), func(s *Settings) *string { return &s.Machine.Cmdline }, NextStart,
		"Words to add to the kernel's command line.").is(""),
	key("machine.balloon", yesNo(), func(s *Settings) *bool { return &s.Machine.Balloon }, NextStart,
		"Give memory that the guest does not need back to the host.").is(true),
	key("machine.x86_64", yesNo(), func(s *Settings) *bool { return &s.Machine.X8664 }, NextStart,
		"Run x86-64 programs too, and with them containers of linux/amd64, by QEMU's emulation in the guest.").is(true),
	key("machine.publish", oneOf(PublishLoopback, PublishAll), func(s *Settings) *Publish { return &s.Machine.Publish }, Now,
		"Who can connect to the ports that containers publish: this host (loopback), or every other that reaches it as well (all).").is(PublishLoopback),
	key("machine.routes", oneOf(RoutesOff, RoutesOn), func(s *Settings) *Routes { return &s.Machine.Routes }, Now,
		"Whether this host reaches containers by their own addresses, without published ports. It takes rights that ArcBox does not need else.").is(RoutesOff),
	key("machine.idle_timeout", span(0, 24*time.Hour), func(s *Settings) *time.Duration { return &s.Machine.IdleTimeout }, Now,
		"How long a machine must be unused to be idle; 0 for never.").is(300 * time.Second),
	key("machine.auto_stop", yesNo(), func(s *Settings) *bool { return &s.Machine.AutoStop }, Now,
		"Stop a machine that stays idle. It starts again when it is needed.").is(true),
	key("machine.auto_stop_after", span(time.Second, 30*24*time.Hour), func(s *Settings) *time.Duration { return &s.Machine.AutoStopAfter }, Now,
		"How long it stays idle before that.").is(30 * time.Minute),
	key("machine.health_interval", span(100*time.Millisecond, time.Hour), func(s *Settings) *time.Duration { return &s.Machine.HealthInterval }, Now,
		"How often a machine that is up is asked whether it is well.").is(5 * time.Second),
	key("machine.start_timeout", span(time.Second, time.Hour), func(s *Settings) *time.Duration { return &s.Machine.StartTimeout }, NextStart,
		"How long a start may take, from the request until the guest answers.").is(90 * time.Second),
	key("machine.stop_grace", span(0, time.Hour), func(s *Settings) *time.Duration { return &s.Machine.StopGrace }, Now,
		"How long a guest may take to shut down before it is cut off.").is(30 * time.Second),

	key("docker.enable", yesNo(), func(s *Settings) *bool { return &s.Docker.Enable }, NextAgent,
		"Serve Docker's API on a socket of the host.").is(true),
	key("docker.expose", oneOf(ExposeNone, ExposeContext, ExposeDefault), func(s *Settings) *Expose { return &s.Docker.Expose }, NextAgent,
		"What Docker's clients are told: nothing (none), a docker context called arcbox (context), and that it is the one to use (default).").is(ExposeContext),

	key("metrics.enable", yesNo(), func(s *Settings) *bool { return &s.Metrics.Enable }, NextAgent,
		"Serve metrics for Prometheus on a socket.").is(false),

	key("sockets.agent", socketPath(), func(s *Settings) *string { return &s.Sockets.Agent }, NextAgent,
		"The agent's socket; empty for the one in the data directory.").is(""),
	key("sockets.docker", socketPath(), func(s *Settings) *string { return &s.Sockets.Docker }, NextAgent,
		"Docker's socket; empty for the one in the data directory.").is(""),
	key("sockets.metrics", socketPath(), func(s *Settings) *string { return &s.Sockets.Metrics }, NextAgent,
		"The socket of the metrics; empty for the one in the data directory.").is(""),

	key("log.level", oneOf("trace", "debug", "info", "warn", "error"), func(s *Settings) *string { return &s.Log.Level }, Now,
		"The least important lines that are written.").is("info"),
	key("log.format", oneOf("json", "console"), func(s *Settings) *string { return &s.Log.Format }, NextAgent,
		"Lines for programs (json) or for people (console).").is("json"),
	key("log.max_size", size(64<<10, 1<<30), func(s *Settings) *int64 { return &s.Log.MaxSize }, NextAgent,
		"How large a log may become before another is begun.").is(10 << 20),
	key("log.max_files", whole(1, 100), func(s *Settings) *int { return &s.Log.MaxFiles }, NextAgent,
		"How many full logs are kept.").is(5),
}

// A draft is a key that lacks its default.
type draft[T any] struct {
	*Key
	k kindOf[T]
}

func key[T any](name string, k kindOf[T], field func(*Settings) *T, e Effect, doc string) draft[T] {
	return draft[T]{&Key{
		Name: name, Doc: doc, Takes: k.takes, Effect: e, kind: k,
		set: func(s *Settings, v any) { *field(s) = v.(T) },
		get: func(s *Settings) any { return *field(s) },
	}, k}
}

// is gives the key its default.
func (d draft[T]) is(v T) *Key {
	d.Default = d.k.text(v)
	if d.Default == "" {
		d.Default = "empty"
	}
	d.initial = func(Host) any { return v }
	return d.Key
}

// host gives it one that depends on the host.
func (d draft[T]) host(words string, f func(Host) T) *Key {
	d.Default = words
	d.initial = func(h Host) any { return f(h) }
	return d.Key
}
