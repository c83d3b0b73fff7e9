package main

import "testing"

func TestEscapeFindsCommandsInKeys(t *testing.T) {
	tests := []struct {
		name  string
		typed []string // one element a read
		want  string
		leave bool
	}{
		{"plain keys", []string{"uname -a\r"}, "uname -a\r", false},
		{"leaves", []string{"ls\x01x"}, "ls", true},
		{"leaves over two reads", []string{"ls\x01", "x"}, "ls", true},
		{"leaves with the shift key held", []string{"\x01X"}, "", true},
		{"a types a Ctrl-A", []string{"\x01a\x01", "a"}, "\x01\x01", false},
		{"Ctrl-A twice types one", []string{"\x01\x01b"}, "\x01b", false},
		{"an unknown command vanishes", []string{"a\x01qb"}, "ab", false},
		{"x alone is a key", []string{"x"}, "x", false},
		{"keys after leaving are not the guest's", []string{"\x01xrm"}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e escape
			got, leave := "", false
			for _, s := range tt.typed {
				rest, l := e.filter([]byte(s))
				got, leave = got+string(rest), leave || l
			}
			if got != tt.want || leave != tt.leave {
				t.Errorf("typed %q: guest got %q, leave %v; want %q, %v", tt.typed, got, leave, tt.want, tt.leave)
			}
		})
	}
}
