package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// Bodies as they come: a raw one, with descriptors.
type rawBody struct {
	ipc.Files
	json.RawMessage
}

func (b *rawBody) MarshalJSON() ([]byte, error) { return b.RawMessage, nil }

func (b *rawBody) UnmarshalJSON(text []byte) error {
	b.RawMessage = append(b.RawMessage[:0], text...)
	return nil
}

// fuzzed are the methods that a peer's bytes are given to, by number. Configure comes first: it
// has most to read.
var fuzzed = []string{
	vmapi.Configure.Name, vmapi.Adopt.Name, vmapi.Start.Name, vmapi.Pause.Name, vmapi.Resume.Name, vmapi.Stop.Name,
	vmapi.Wait.Name, vmapi.Events.Name, vmapi.Stats.Name, vmapi.Connect.Name, vmapi.Listen.Name, vmapi.Accept.Name,
	vmapi.Attach.Name, vmapi.Resize.Name, vmapi.Balloon.Name, vmapi.SetFlush.Name, vmapi.ResizeDisk.Name, vmapi.ForceStop.Name,
}

// FuzzRequests gives a machine requests with any body, and three descriptors: a kernel, a disk and
// a pipe. Each is answered, in time, and leaves no descriptor behind in a body that was not taken.
func FuzzRequests(f *testing.F) {
	for _, seed := range []struct {
		method uint8
		body   string
	}{
		{0, `{"cpus":1,"memory":33554432,"kernel":1,"disks":[{"image":2,"flush":"full"}],"cid":3,"listen":[1],"balloon":true}`},
		{0, `{"cpus":1,"memory":33554432,"kernel":1,"initrd":2,"terminal":3,"console":"ttyAMA0","seed":"AAAA"}`},
		{0, `{"cpus":2,"memory":33554432,"kernel":1,"deterministic":{"seed":1,"record":2,"replay":3,"faults":{"disk_error":1}}}`},
		{0, `{"cpus":1,"memory":33554432,"kernel":1,"trace":{"out":2,"events":"exec,mmio","el":-1},"gdb":3,"rendezvous":3}`},
		{0, `{"kernel":-9223372036854775808,"disks":[{"image":1},{"image":1}],"orphan_ms":9223372036854775807}`},
		{7, `{"after":18446744073709551615}`}, {10, `{"port":4294967295}`}, {11, `{"port":1}`},
		{12, `{"console":"hvc1","history":true,"from":18446744073709551615}`}, {13, `{"console":"hvc1","cols":65535}`},
		{14, `{"target":4096,"ask":true}`}, {15, `{"disk":"vda","flush":"host","now":true}`},
		{16, `{"disk":"vda","size":9223372036854775807}`}, {8, `[]`}, {3, `{"flush":true}`},
	} {
		f.Add(seed.method, seed.body, true)
		f.Add(seed.method, seed.body, false)
	}
	f.Fuzz(func(t *testing.T, method uint8, body string, configured bool) {
		if !json.Valid([]byte(body)) {
			return // the message layer's own target
		}
		r := newRig(t)
		if configured {
			req := r.request(t, sleeps...)
			req.Disks = []vmapi.Disk{{Image: req.Attach(newFile(t, filepath.Join(t.TempDir(), "vda"), make([]byte, 4096)))}}
			r.boot(t, req)
		}
		call := ipc.Method[rawBody, rawBody]{Name: fuzzed[int(method)%len(fuzzed)]}
		req := &rawBody{RawMessage: json.RawMessage(body)}
		attachAll(t, req)
		defer req.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		resp, err := ipc.Call(ctx, r.conn, call, req)
		if err == nil {
			resp.Close()
		}
		if errors.Is(err, ipc.ErrInterrupted) || errors.Is(err, ipc.ErrInvalid) {
			t.Errorf("%s ended the connection: %v", call.Name, err)
		}
	})
}

// attachAll sends a kernel, a disk and the writing end of a pipe along.
func attachAll(t *testing.T, req *rawBody) {
	dir := t.TempDir()
	req.Attach(newFile(t, filepath.Join(dir, "kernel"), flat(sleeps)))
	req.Attach(newFile(t, filepath.Join(dir, "disk"), make([]byte, 8192)))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	req.Attach(w)
}
