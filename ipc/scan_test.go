package ipc

import (
	"encoding/json"
	"reflect"
	"testing"
)

// sameAsJSON checks that scan, where it takes a message, reads what encoding/json reads, or
// leaves what is no JSON to whoever reads the body.
func sameAsJSON(t *testing.T, text []byte) (scanned bool) {
	t.Helper()
	var quick, want message
	if !quick.scan(text) {
		return false
	}
	if err := json.Unmarshal(text, &want); err != nil {
		if json.Valid(quick.Body) || quick.Body == nil {
			t.Errorf("%q was read, and %v", text, err)
		}
		return true
	}
	if !reflect.DeepEqual(quick, want) {
		t.Errorf("%q was read as %+v, want %+v", text, quick, want)
	}
	return true
}

func TestScanReadsWhatWeWrite(t *testing.T) {
	tests := []struct {
		text    string
		scanned bool
	}{
		{`{"type":"call","id":1,"method":"vm.stats","timeout_ms":50,"body":{}}`, true},
		{`{"type":"reply","id":18446744073709,"body":{"a":{"b":["}"]},"c":"\"{"}}`, true},
		{`{"type":"cancel","id":7}`, true},
		{`{"body":{"text":"any order"},"method":"m","type":"note"}`, true},
		{`{"type":"call","type":"reply","id":1,"id":2}`, true},
		{`{"type":"call", "id":1}`, false},
		{`{"type":"call","id":-1}`, false},
		{`{"type":"call","id":01}`, false},
		{`{"type":"call","id":1,"body":null}`, false},
		{`{"type":"call","method":"\u0061"}`, false},
		{`{"type":"error","id":1,"error":{"code":"x"}}`, false},
		{`{"type":"call","id":1,"body":{"a":1}`, false},
		{`{"type":"call","id":1}}`, false},
		{`{"type":"call","unknown":1}`, false},
		{`{"type":"reply","id":1,"body":{nonsense}}`, true},
		{``, false},
		{`{}`, false},
	}
	for _, tt := range tests {
		if got := sameAsJSON(t, []byte(tt.text)); got != tt.scanned {
			t.Errorf("%s: scanned is %v, want %v", tt.text, got, tt.scanned)
		}
	}
}

// Every message that is packed is read back as it was.
func TestPackIsRead(t *testing.T) {
	tests := []message{
		{Type: typeCall, ID: 1, Method: `odd "name" é <&>`, TimeoutMS: 5, Streams: []int32{1, 2}},
		{Type: typeCall, ID: 1 << 60, Method: "vm.stats"},
		{Type: typeError, ID: 2, Error: &Error{Code: Busy, Message: `cannot: "why" `, Hint: "do\n"}},
		{Type: typeCredit, Stream: -3, Credit: 5},
		{Type: typeReset, Stream: 3, Error: &Error{}},
		{Type: typeHello, Protocol: 1, Build: "arcbox v1"},
		{Type: typeRefused, Error: &Error{Code: Denied}},
	}
	for _, want := range tests {
		p, err := pack(&want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(p.b)
		if err != nil || !reflect.DeepEqual(got, &want) {
			t.Errorf("%q was read as %+v, %v, want %+v", p.b, got, err, want)
		}
		if text, _ := json.Marshal(want); len(text) != len(p.b)-headerLen {
			t.Errorf("%q is not as long as %s", p.b, text)
		}
		p.free()
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"type":"call","id":1,"method":"vm.stats","timeout_ms":50,"body":{"a":["\"}"]}}`))
	f.Add([]byte(`{"body":{"text":"any order"},"method":"m","type":"note","credit":5}`))
	f.Add([]byte(`{"type":"reply","id":1,"body":{nonsense}}`))
	f.Fuzz(func(t *testing.T, text []byte) { sameAsJSON(t, text) })
}
