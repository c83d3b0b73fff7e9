// Package darwinkit takes the host's news from AppKit and Foundation: NSWorkspace's sleep, wake and session notifications,
// NSProcessInfo's thermal state and low-power mode. It is for an agent that lives in a GUI session and has a main run loop,
// as the program in arcboxd beside this has; what AppKit does not tell comes from another source.
//
// It is never built by the product, and only a Mac can fetch darwinkit. Elsewhere it is compiled and tested against a
// stand-in of the types that it uses:
//
//	go test -modfile=standin.mod -tags standin ./...
package darwinkit

import (
	"context"
	"sync"

	"github.com/progrium/darwinkit/macos/appkit"
	"github.com/progrium/darwinkit/macos/foundation"
	"github.com/progrium/darwinkit/objc"

	"github.com/arcboxlabs/arcbox-go/agent/power"
)

// Notifications of <AppKit/NSWorkspace.h> and <Foundation/NSProcessInfo.h>, whose names are their values.
const (
	willSleep      foundation.NotificationName = "NSWorkspaceWillSleepNotification"
	didWake        foundation.NotificationName = "NSWorkspaceDidWakeNotification"
	sessionActive  foundation.NotificationName = "NSWorkspaceSessionDidBecomeActiveNotification"
	thermalChanged foundation.NotificationName = "NSProcessInfoThermalStateDidChangeNotification"
	powerChanged   foundation.NotificationName = "NSProcessInfoPowerStateDidChangeNotification"
)

// A Source tells what AppKit knows, and of base's events those of memory, which AppKit does not.
type Source struct{ Base power.Source }

var _ power.Source = Source{}

// watch is one call of Watch.
type watch struct {
	handle   power.Handler
	observed []observed

	calls        sync.Mutex // held while the handler is called; guards what follows
	ended        bool
	hot, lowered bool // what the handler was told last
}

// An observed is what is to be removed from a center.
type observed struct {
	center foundation.NotificationCenter
	name   foundation.NotificationName
	token  objc.Object
}

// Watch implements power.Source. Sleep waits for the handler because blocks without a queue run on the thread that posts.
func (s Source) Watch(handle power.Handler) (func(), error) {
	w := &watch{handle: handle}
	stopBase, err := s.Base.Watch(func(ctx context.Context, e power.Event) {
		switch e {
		case power.MemoryTight, power.MemoryCritical, power.MemoryEased:
			w.tell(e)
		}
	})
	if err != nil {
		return nil, err
	}
	workspace := appkit.Workspace_SharedWorkspace().NotificationCenter()
	process := foundation.NotificationCenter_DefaultCenter()
	w.observe(workspace, willSleep, func() { w.tell(power.WillSleep) })
	w.observe(workspace, didWake, func() { w.tell(power.DidWake) })
	w.observe(workspace, sessionActive, w.look) // another user's session had the host until now
	w.observe(process, thermalChanged, w.look)
	w.observe(process, powerChanged, w.look)
	w.look()
	return func() {
		stopBase()
		w.end()
	}, nil
}

func (w *watch) observe(center foundation.NotificationCenter, name foundation.NotificationName, f func()) {
	token := center.AddObserverForNameObjectQueueUsingBlock(name, nil, nil, func(foundation.Notification) { f() })
	w.observed = append(w.observed, observed{center, name, token})
}

// end removes the observers; a call that is under way has ended then.
func (w *watch) end() {
	for _, o := range w.observed {
		o.center.RemoveObserverNameObject(o.token, o.name, nil)
	}
	w.calls.Lock()
	defer w.calls.Unlock()
	w.ended = true
}

func (w *watch) tell(e power.Event) {
	w.calls.Lock()
	defer w.calls.Unlock()
	w.call(e)
}

// call calls the handler. The caller holds calls.
func (w *watch) call(e power.Event) {
	if w.ended {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), power.SleepTime)
	defer cancel()
	w.handle(ctx, e)
}

// look tells what has changed of heat and power.
func (w *watch) look() {
	info := foundation.ProcessInfo_ProcessInfo()
	hot, lowered := info.ThermalState() >= foundation.ProcessInfoThermalStateSerious, info.IsLowPowerModeEnabled()
	w.calls.Lock()
	defer w.calls.Unlock()
	if hot != w.hot {
		w.hot = hot
		w.call(pick(hot, power.Hot, power.Cool))
	}
	if lowered != w.lowered {
		w.lowered = lowered
		w.call(pick(lowered, power.LowPower, power.FullPower))
	}
}

func pick(on bool, yes, no power.Event) power.Event {
	if on {
		return yes
	}
	return no
}
