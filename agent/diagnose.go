package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// diagnose is the agent's state as files for a person. Nothing in it is secret: no environment, no
// arguments of what runs in guests.
func (a *agent) diagnose(ctx context.Context) map[string]string {
	var stacks strings.Builder
	pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	now, _ := a.setup.status()
	files := map[string]string{
		"agent/goroutines.txt": stacks.String(),
		"agent/setup.json":     pretty(now),
		"agent/process.txt": fmt.Sprintf("version %s\nprogram %s\nup %v\nheap %d bytes\ngoroutines %d\nconnections %d\n",
			a.self.version, a.self.path, time.Since(a.started).Round(time.Second), mem.HeapAlloc, runtime.NumGoroutine(), len(a.server.Conns())),
	}
	if events, err := a.bus.Next(ctx, max(a.bus.Last(), 64)-64); err == nil {
		files["agent/events.json"] = pretty(events)
	}
	all, err := a.machines(ctx)
	if err != nil {
		files["agent/machines.txt"] = err.Error()
		return files
	}
	list, problems := all.List()
	files["agent/machines.json"] = pretty(agentapi.ListResp{Machines: list, Problems: problems})
	for _, l := range list {
		m, err := all.Get(l.Name)
		if err != nil {
			continue
		}
		if seen, err := m.Inspect(ctx); err == nil {
			files["machines/"+l.Name+"/inspect.json"] = pretty(seen)
		}
	}
	return files
}

func pretty(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}
