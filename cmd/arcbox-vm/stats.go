package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/balloon"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// stats are all counters. They wait for neither guest nor device.
func (m *machine) stats() *vmapi.StatsResp {
	s := m.board.Stats()
	resp := &vmapi.StatsResp{Stats: m.counters(s), Memory: m.usage()}
	for _, c := range s.CPUs {
		resp.CPUs = append(resp.CPUs, vmapi.CPUStats{State: c.State, Instructions: c.Instructions, Exits: c.Exits, Wakeups: c.Wakeups})
	}
	virtio := 0
	for _, d := range s.Devices {
		stats := vmapi.DeviceStats{Name: d.Name, Base: d.Base, Reads: d.Reads, Writes: d.Writes, Notifies: d.Notifies}
		if d.Virtio != nil {
			stats.Name = m.names[virtio]
			addVirtio(&stats, d.Virtio)
			virtio++
		}
		resp.Devices = append(resp.Devices, stats)
	}
	for _, d := range m.disks {
		resp.Disks = append(resp.Disks, d.stats())
	}
	if m.ports != nil {
		sent, received := m.ports.dev.Bytes()
		resp.Vsock = &vmapi.VsockStats{Sent: sent, Received: received, Connections: m.ports.dev.Conns()}
	}
	resp.Net = m.netStats()
	return resp
}

// addVirtio says where a device's driver and queues stand.
func addVirtio(to *vmapi.DeviceStats, s *mmio.State) {
	to.Driver = string(s.Phase)
	if s.Err != nil {
		to.Error = s.Err.Error()
	}
	for _, q := range s.Queues {
		to.Queues = append(to.Queues, vmapi.QueueStats{
			Index: q.Index, Size: q.Size, Avail: q.Avail, Used: q.Used, Taken: q.Taken,
			Unserved: q.Unserved, Notified: q.Notified, Signalled: q.Signals,
		})
	}
}

// counters are the board's statistics as they cross the wire.
func (m *machine) counters(s board.Stats) vmapi.Counters {
	c := vmapi.Counters{
		Instructions: s.Instructions, Exits: s.Exits, Devices: map[string]uint64{},
		GuestSeconds: s.Guest.Seconds(), HostSeconds: time.Since(m.made).Seconds(), CPUSeconds: cpuTime().Seconds(),
	}
	for _, d := range s.Devices {
		c.Devices[fmt.Sprintf("%s@%x", d.Name, d.Base)] = d.Reads + d.Writes
	}
	return c
}

// cpuTime is what all threads of this process have used.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// openResident opens what says how much memory this process has, while files can be
// opened: nil where the host has no such file.
func openResident() *os.File {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return nil
	}
	return f
}

// residentBytes is how much of the host's memory this process has; 0 when nobody says.
func (m *machine) residentBytes() uint64 {
	if m.resident == nil {
		return 0
	}
	var b [128]byte
	n, _ := m.resident.ReadAt(b[:], 0)
	fields := bytes.Fields(b[:n]) // proc_pid_statm(5): size, resident, ... in pages
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 52)
	return pages * uint64(os.Getpagesize())
}

// usage is what the guest's memory does to the host.
func (m *machine) usage() vmapi.Memory {
	u := vmapi.Memory{Size: m.memory, Resident: m.residentBytes()}
	if m.balloon != nil {
		fromBalloon, fromReports := m.balloon.Returned()
		u.Target, u.Actual, u.Failures = m.balloon.Target(), m.balloon.Actual(), m.balloon.Failures()
		u.Returned, u.Reports = fromBalloon+fromReports, fromReports
	}
	return u
}

// askBalloon serves vmapi.Balloon.
func (m *machine) askBalloon(ctx context.Context, req *vmapi.BalloonReq) (*vmapi.BalloonResp, error) {
	if m.balloon == nil {
		return nil, ipc.Errorf(ipc.WrongState, "cannot ask the guest for memory: the machine has no balloon")
	}
	if err := m.uncounted("ask the guest for memory"); err != nil && (req.Target != nil || req.Ask) {
		return nil, err
	}
	if req.Target != nil {
		if *req.Target > m.memory {
			return nil, ipc.Errorf(ipc.BadRequest, "cannot have %d bytes in the balloon: the guest has %d", *req.Target, m.memory)
		}
		m.balloon.SetTarget(*req.Target)
	}
	resp := &vmapi.BalloonResp{}
	if req.Ask {
		s, err := m.balloon.Stats(ctx)
		if errors.Is(err, balloon.ErrNoStats) {
			return nil, ipc.Errorf(vmapi.NotReady, "cannot ask the guest about its memory: %v", err)
		}
		if err != nil {
			return nil, err
		}
		resp.Guest = &vmapi.GuestMemory{
			Free: s.Free, Available: s.Available, Total: s.Total, Caches: s.Caches,
			SwapIn: s.SwapIn, SwapOut: s.SwapOut, MajorFaults: s.MajorFaults, MinorFaults: s.MinorFault,
		}
	}
	resp.Memory = m.usage()
	return resp, nil
}
