//go:build linux

package agent

import (
	"reflect"
	"testing"
)

const passwd = "root:x:0:0:root:/root:/bin/bash\nbad line\nann:x:1000:100:Ann:/home/ann:\nodd:x:nine:1::/:/bin/sh\n"
const group = "root:x:0:\nusers:x:100:ann\naudio:x:29:bob,ann\nnot-a-number:x:y:ann\n"

func TestFindAccount(t *testing.T) {
	tests := []struct {
		user string
		want account // no home: refused
	}{
		{"", account{"root", "/root", "/bin/bash", 0, 0, nil}},
		{"ann", account{"ann", "/home/ann", "/bin/sh", 1000, 100, []uint32{100, 29}}},
		{"1000", account{"ann", "/home/ann", "/bin/sh", 1000, 100, []uint32{100, 29}}},
		{"ann:audio", account{"ann", "/home/ann", "/bin/sh", 1000, 29, nil}},
		{"ann:7", account{"ann", "/home/ann", "/bin/sh", 1000, 7, nil}},
		{"77", account{"", "/", "/bin/sh", 77, 0, nil}},
		{":100", account{"root", "/root", "/bin/bash", 0, 100, nil}},
		{"odd", account{}}, {"eve", account{}}, {"-1", account{}}, {"4294967295", account{}}, {"ann:", account{}}, {"ann:eves", account{}},
	}
	for _, tt := range tests {
		got, err := findAccount(tt.user, []byte(passwd), []byte(group))
		if refused := tt.want.home == ""; refused != (err != nil) || !refused && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("user %q is %+v, %v; want %+v", tt.user, got, err, tt.want)
		}
	}
}

func FuzzFindAccount(f *testing.F) {
	f.Add("ann:audio", passwd, group)
	f.Add("0", "", "::::")
	f.Fuzz(func(t *testing.T, user, passwd, group string) {
		a, err := findAccount(user, []byte(passwd), []byte(group))
		if err == nil && (a.uid == 1<<32-1 || a.gid == 1<<32-1 || a.shell == "") {
			t.Errorf("%q is %+v", user, a)
		}
	})
}
