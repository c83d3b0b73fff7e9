package power

import (
	"context"
	"fmt"
	"time"
)

// SleepTime is how long the host's sleep is held back at most. The system waits for 30 s, and then sleeps anyway.
const SleepTime = 20 * time.Second

// An Event is one piece of news.
type Event uint8

const (
	// WillSleep comes before the host sleeps, which it does once the handler has returned.
	WillSleep Event = iota + 1
	// DidWake comes after sleep, or when there will be none after all. It may come without a WillSleep.
	DidWake
	// MemoryTight and MemoryCritical say that the host runs short of memory, MemoryEased that it does no more.
	MemoryTight
	MemoryCritical
	MemoryEased
	// Hot says that the host slows down because of heat, Cool that it does no more.
	Hot
	Cool
	// LowPower says that the user wants the battery to last, FullPower that this is over.
	LowPower
	FullPower
)

var eventNames = [...]string{
	WillSleep: "will-sleep", DidWake: "did-wake", MemoryTight: "memory-tight", MemoryCritical: "memory-critical", MemoryEased: "memory-eased",
	Hot: "hot", Cool: "cool", LowPower: "low-power", FullPower: "full-power",
}

// String is the event's name, as it stands in logs.
func (e Event) String() string {
	if int(e) < len(eventNames) && eventNames[e] != "" {
		return eventNames[e]
	}
	return fmt.Sprintf("event-%d", uint8(e))
}

// A Handler is told of events, one at a time, on a goroutine or thread of the source. ctx bounds WillSleep to SleepTime: who
// has not returned by then is not waited for. It must not call stop.
type Handler func(ctx context.Context, e Event)

// A Source is where events come from. A state that holds at the beginning (Hot, LowPower) is told at once, one that does
// not (Cool, FullPower) is not.
type Source interface {
	// Watch tells the handler of events until stop, which returns when no call is under way and none will come. Errors:
	// what the system refuses; errors.ErrUnsupported where it tells nobody.
	Watch(handle Handler) (stop func(), err error)
}

// System is the source that this system has.
func System() Source { return system{} }

type system struct{}
