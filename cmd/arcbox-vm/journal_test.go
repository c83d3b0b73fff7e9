package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

func TestJournal(t *testing.T) {
	tests := []struct {
		name          string
		added         int
		after         uint64
		first, missed uint64
		n             int
	}{
		{"from the beginning", 3, 0, 1, 0, 3},
		{"the last one", 3, 2, 3, 0, 1},
		{"all that are kept", keptEvents, 0, 1, 0, keptEvents},
		{"what is not kept any more", keptEvents + 10, 3, 11, 7, keptEvents},
		{"what is just kept", keptEvents + 10, 10, 11, 0, keptEvents},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var j journal
			for range tt.added {
				j.add(vmapi.Event{Kind: vmapi.GuestPaused, Message: strings.Repeat("x", 2*maxEventText)})
			}
			resp, err := j.after(context.Background(), tt.after)
			if err != nil {
				t.Fatal(err)
			}
			if len(resp.Events) != tt.n || resp.Events[0].Seq != tt.first || resp.Missed != tt.missed {
				t.Errorf("%d events from %d on, %d missed", len(resp.Events), resp.Events[0].Seq, resp.Missed)
			}
			if n := len(resp.Events[0].Message); n != maxEventText {
				t.Errorf("a message has %d bytes", n)
			}
		})
	}
}

func TestJournalWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		j.add(vmapi.Event{Kind: vmapi.GuestStarted})
		got := make(chan *vmapi.EventsResp)
		for range 2 {
			go func() {
				resp, _ := j.after(t.Context(), 1)
				got <- resp
			}()
		}
		synctest.Wait()
		j.add(vmapi.Event{Kind: vmapi.GuestEnded})
		for range 2 {
			if resp := <-got; resp == nil || len(resp.Events) != 1 || resp.Events[0].Kind != vmapi.GuestEnded {
				t.Errorf("woken with %+v", resp)
			}
		}
		if _, err := j.after(t.Context(), 3); err == nil {
			t.Error("waiting for what comes after an event that there was not")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := j.after(ctx, 2); err != context.DeadlineExceeded {
			t.Errorf("waiting in vain: %v", err)
		}
	})
}

func TestWhatAGuestCanCauseFillsNoJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		for range 10 {
			for range 1000 {
				j.addRarely(sayf(vmapi.DeviceBroken, "vda", "a bad ring"))
				j.addRarely(sayf(vmapi.DeviceBroken, "vdb", "a bad ring"))
			}
			time.Sleep(quiet)
		}
		if n := j.number(); n != 20 {
			t.Errorf("%d events of two devices in ten times the quiet, want 20", n)
		}
	})
}
