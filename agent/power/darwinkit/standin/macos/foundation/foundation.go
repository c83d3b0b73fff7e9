// Package foundation stands in for darwinkit's: a notification center that delivers at once, and a process that is as hot as
// a test says.
package foundation

import (
	"sync"

	"github.com/progrium/darwinkit/objc"
)

type (
	// NotificationName is an NSNotificationName.
	NotificationName string
	// ProcessInfoThermalState is an NSProcessInfoThermalState.
	ProcessInfoThermalState int
	// IOperationQueue is an NSOperationQueue; nil delivers on the poster's thread.
	IOperationQueue interface{ objc.IObject }
	// Notification is an NSNotification.
	Notification struct{ objc.Object }
	// ProcessInfo is an NSProcessInfo.
	ProcessInfo struct{ objc.Object }
	// NotificationCenter is an NSNotificationCenter.
	NotificationCenter struct{ *center }
)

// Thermal states.
const (
	ProcessInfoThermalStateNominal  ProcessInfoThermalState = 0
	ProcessInfoThermalStateFair     ProcessInfoThermalState = 1
	ProcessInfoThermalStateSerious  ProcessInfoThermalState = 2
	ProcessInfoThermalStateCritical ProcessInfoThermalState = 3
)

type center struct {
	mu   sync.Mutex // guards what follows
	last int
	all  map[int]observer
}

type observer struct {
	name  NotificationName
	block func(Notification)
}

// NewCenter is an empty one.
func NewCenter() NotificationCenter { return NotificationCenter{&center{all: map[int]observer{}}} }

// AddObserverForNameObjectQueueUsingBlock has block called for each notification of the name.
func (c NotificationCenter) AddObserverForNameObjectQueueUsingBlock(name NotificationName, _ objc.IObject, _ IOperationQueue, block func(Notification)) objc.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.all[c.last] = observer{name, block}
	return objc.Object{ID: c.last}
}

// RemoveObserverNameObject undoes it.
func (c NotificationCenter) RemoveObserverNameObject(o objc.IObject, name NotificationName, _ objc.IObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id := o.(objc.Object).ID; c.all[id].name == name {
		delete(c.all, id)
	}
}

// Post calls who observes the name, one after the other.
func (c NotificationCenter) Post(name NotificationName) {
	c.mu.Lock()
	var blocks []func(Notification)
	for _, o := range c.all {
		if o.name == name {
			blocks = append(blocks, o.block)
		}
	}
	c.mu.Unlock()
	for _, b := range blocks {
		b(Notification{})
	}
}

// Observers is how many there are.
func (c NotificationCenter) Observers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

var defaultCenter = NewCenter()

// NotificationCenter_DefaultCenter is the process's.
func NotificationCenter_DefaultCenter() NotificationCenter { return defaultCenter }

var host struct {
	mu       sync.Mutex // guards what follows
	thermal  ProcessInfoThermalState
	lowPower bool
}

// ProcessInfo_ProcessInfo is this process.
func ProcessInfo_ProcessInfo() ProcessInfo { return ProcessInfo{} }

// SetHost makes the host as hot, and as short of power, as a test wants it.
func SetHost(thermal ProcessInfoThermalState, lowPower bool) {
	host.mu.Lock()
	defer host.mu.Unlock()
	host.thermal, host.lowPower = thermal, lowPower
}

// ThermalState is how hot the host is.
func (ProcessInfo) ThermalState() ProcessInfoThermalState {
	host.mu.Lock()
	defer host.mu.Unlock()
	return host.thermal
}

// IsLowPowerModeEnabled says whether the battery shall last.
func (ProcessInfo) IsLowPowerModeEnabled() bool {
	host.mu.Lock()
	defer host.mu.Unlock()
	return host.lowPower
}
