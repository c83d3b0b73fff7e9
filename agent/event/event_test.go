package event

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follow reads from b until it has seen its event number last, counted from 1, and says how many came and how many were missed.
func follow(t *testing.T, b *Bus, last uint64) (came, missed uint64) {
	t.Helper()
	for after := uint64(agentapi.BeforeEvents); after < agentapi.BeforeEvents+last; {
		events, err := b.Next(context.Background(), after)
		if err != nil {
			t.Error(err)
			return
		}
		for _, e := range events {
			if e.Kind == agentapi.Resync {
				missed += e.Missed
			} else {
				came++
				if e.Seq != after+1 {
					t.Errorf("event %d follows %d", e.Seq, after)
				}
			}
			after = e.Seq
		}
	}
	return came, missed
}

func TestEveryReaderSeesEveryEventInOrder(t *testing.T) {
	var b Bus
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			if came, missed := follow(t, &b, 500); came+missed != 500 || missed != 0 {
				t.Errorf("%d events came and %d were missed, want 500 and none", came, missed)
			}
		})
	}
	for range 500 {
		b.Publish(agentapi.Event{Kind: agentapi.MachineReady, Machine: "default"})
	}
	readers.Wait()
}

func TestASlowReaderIsToldWhatItMissed(t *testing.T) {
	var b Bus
	for range 3 * Kept {
		b.Publish(agentapi.Event{Kind: agentapi.MachineReady})
	}
	if came, missed := follow(t, &b, 3*Kept); came != Kept || missed != 2*Kept {
		t.Errorf("%d events came and %d were missed, want %d and %d", came, missed, Kept, 2*Kept)
	}
}

func TestNumbersOfAnotherAgentAreResynced(t *testing.T) {
	var b Bus
	b.Publish(agentapi.Event{Kind: agentapi.MachineReady})
	events, err := b.Next(context.Background(), 77)
	if err != nil || len(events) != 2 || events[0].Kind != agentapi.Resync || events[1].Seq != agentapi.BeforeEvents+1 {
		t.Errorf("%+v, %v: want a resync and the first event", events, err)
	}
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bus
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := b.Next(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		time.AfterFunc(time.Second, b.Close)
		if _, err := b.Next(context.Background(), 0); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		b.Publish(agentapi.Event{}) // to nobody
		if b.Last() != agentapi.BeforeEvents {
			t.Error("a closed bus took an event")
		}
	})
}
