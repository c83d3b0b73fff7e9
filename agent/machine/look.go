package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// Inspect is everything about the machine. It is no use, and waits for no guest.
func (m *Machine) Inspect(ctx context.Context) (agentapi.InspectResp, error) {
	r := m.record()
	resp := agentapi.InspectResp{
		Machine: m.Info(), Created: r.CreatedAt, Generation: r.Generation, Failures: m.life.Status().Failures, Reports: m.crashReports(),
	}
	text, err := r.encode()
	if err == nil {
		err = json.Unmarshal(text, &resp.Record)
	}
	if err != nil {
		return resp, err
	}
	set := m.settings()
	if asset, err := m.mgr.asset(set); err == nil {
		shall, err := desire(r, set, asset)
		if err != nil {
			return resp, err
		}
		if r.Kernel != "" {
			resp.Drift = drift(r, shall)
		} else {
			r = shall
		}
	}
	resp.Boot = agentapi.Boot{Asset: r.Asset, Kernel: r.Kernel, Initrd: r.Initrd, Cmdline: r.Cmdline, Disks: r.Disks, Engine: r.Backend}
	if s := m.current(); s != nil {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		if st, err := ipc.Call(ctx, s.proc.Conn, vmapi.Stats, &vmapi.StatsReq{}); err == nil && st.Vsock != nil {
			resp.Vsock = map[string]any{"sent": st.Vsock.Sent, "received": st.Vsock.Received, "connections": st.Vsock.Connections}
		}
	}
	return resp, nil
}

// Stats are the machine's figures now. Without a VM they are those of the record. It is no use.
func (m *Machine) Stats(ctx context.Context) (agentapi.MachineStats, error) {
	out := agentapi.MachineStats{Time: time.Now(), Machine: m.Info()}
	s := m.current()
	if s == nil {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	st, err := ipc.Call(ctx, s.proc.Conn, vmapi.Stats, &vmapi.StatsReq{})
	if err != nil {
		return out, fmt.Errorf("cannot get the figures of %s: %w", m.name, err)
	}
	out.CPUSeconds, out.Exits, out.Resident, out.Returned, out.Balloon = st.Stats.CPUSeconds, st.Stats.Exits, st.Memory.Resident, st.Memory.Returned, st.Memory.Actual
	for _, d := range st.Disks {
		out.DiskRead += d.ReadBytes
		out.DiskWrite += d.WriteBytes
		out.Flushes += d.Flushes
	}
	if v := st.Vsock; v != nil {
		out.NetSent, out.NetRecv, out.Conns = v.Sent, v.Received, v.Connections
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.report; n != nil {
		out.Guest = &agentapi.GuestStats{
			Load: n.Load, MemTotal: n.Memory.Total, MemAvail: n.Memory.Available, Pressure: n.Memory.Pressure, Execs: n.Execs, Containers: n.Containers,
		}
	}
	return out, nil
}

// Figures are the Stats of all machines that exist, by name. Of one whose process does not answer there is what the agent knows.
func (g *Manager) Figures(ctx context.Context) []agentapi.MachineStats {
	all := g.all()
	figures := make([]agentapi.MachineStats, len(all))
	var asked sync.WaitGroup
	for i, m := range all {
		asked.Go(func() { figures[i], _ = m.Stats(ctx) })
	}
	asked.Wait()
	return slices.DeleteFunc(figures, func(s agentapi.MachineStats) bool { return s.Machine.State == string(lifecycle.NotExist) })
}

// DiskUsage says what the machine's disk takes.
func (m *Machine) DiskUsage(ctx context.Context) (agentapi.DiskUsageResp, error) {
	path := m.record().Data
	u, err := storage.Measure(ctx, path, m.current() == nil)
	if err != nil {
		return agentapi.DiskUsageResp{}, fmt.Errorf("cannot measure the disk of %s: %w", m.name, err)
	}
	return agentapi.DiskUsageResp{Path: path, Virtual: u.Virtual, Allocated: u.Allocated, Reclaimable: u.Reclaimable, HostFree: u.Free}, nil
}

// CompactDisk gives back what the machine's disk does not need, and says how many bytes that were: a guest that runs trims,
// the image of one that does not is searched for zeroes.
func (m *Machine) CompactDisk(ctx context.Context) (int64, error) {
	var trim func(context.Context) error
	if s := m.current(); s != nil {
		defer m.Use()()
		trim = func(ctx context.Context) error {
			l, err := s.linked(ctx)
			if err == nil {
				_, err = ipc.Call(ctx, l.conn, guestapi.Trim, &guestapi.TrimReq{})
			}
			return err
		}
	}
	return storage.Compact(ctx, m.record().Data, trim)
}

// CheckDisk looks at the machine's disk from outside.
func (m *Machine) CheckDisk(ctx context.Context, deep bool) (*storage.Report, error) {
	return storage.Check(ctx, m.record().Data, deep)
}
