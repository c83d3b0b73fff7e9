package boot

import (
	"strings"
	"testing"
)

func TestCmdline(t *testing.T) {
	tests := []struct {
		name, base, user string
		port             uint32
		want             string
	}{
		{"nothing", "", "", 0, "earlycon"},
		{"quiet goes", "console=hvc0 quiet panic=-1", "", 0, "console=hvc0 panic=-1 earlycon"},
		{"quiet goes in quotes and from the user", `"quiet" a`, "quiet", 0, "a earlycon"},
		{"words with quiet in them stay", "quietly=1 quiet=2 loglevel.quiet", "", 0, "quietly=1 quiet=2 loglevel.quiet earlycon"},
		{"earlycon is there", "earlycon console=hvc0", "", 0, "earlycon console=hvc0"},
		{"earlycon has a value", "a", "earlycon=pl011,0xb000000", 0, "a earlycon=pl011,0xb000000"},
		{"another word with earlycon", "noearlycon", "", 0, "noearlycon earlycon"},
		{"docker's port", "a", "", 2375, "a earlycon arcbox.guest_docker_vsock_port=2375"},
		{"docker's port as the user has it", "a", "arcbox.guest_docker_vsock_port=7", 2375, "a arcbox.guest_docker_vsock_port=7 earlycon"},
		{"the user's come behind", "root=/dev/vda", "root=/dev/vdb ro", 0, "root=/dev/vda root=/dev/vdb ro earlycon"},
		{"space in quotes stays", `dyndbg="file a.c +p; file b.c +p"`, `"x=a  b"`, 0, `dyndbg="file a.c +p; file b.c +p" "x=a  b" earlycon`},
		{"quiet inside quotes stays", `a="not quiet now"`, "", 0, `a="not quiet now" earlycon`},
		{"earlycon inside quotes does not count", `a="no earlycon here"`, "", 0, `a="no earlycon here" earlycon`},
		{"white space is made one blank", "  a \t b\n", "", 0, "a b earlycon"},
		{"what is init's stays behind", "a -- quiet b", "c", 9, "a c earlycon arcbox.guest_docker_vsock_port=9 -- quiet b"},
		{"both have something for init", "a -- b", "c -- d", 0, "a c earlycon -- b d"},
		{"dashes in quotes", `a "x -- y"`, "", 0, `a "x -- y" earlycon`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Cmdline(tt.base, tt.user, tt.port)
			if err != nil || got != tt.want {
				t.Errorf("Cmdline(%q, %q, %d) = %q, %v; want %q", tt.base, tt.user, tt.port, got, err, tt.want)
			}
		})
	}
}

func TestCmdlineRefuses(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"an open quote", `a="b`, "quote"},
		{"a NUL", "a\x00b", "control"},
		{"an escape sequence", "a\x1b[2J", "control"},
		{"more than the kernel takes", strings.Repeat("a", maxCmdline-len(" earlycon")+1), "2048"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.ReplaceAll(tt.want, "2048", "2047")
			for _, args := range [][2]string{{tt.line, ""}, {"", tt.line}} {
				if got, err := Cmdline(args[0], args[1], 0); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Cmdline = %q, %v; want an error with %q", got, err, want)
				}
			}
		})
	}
	longest := strings.Repeat("a", maxCmdline-len(" earlycon"))
	if got, err := Cmdline(longest, "", 0); err != nil || len(got) != maxCmdline {
		t.Errorf("the longest line gives %d bytes, %v", len(got), err)
	}
}

func FuzzCmdline(f *testing.F) {
	f.Add(`console=hvc0 quiet a="b c" -- x`, "y", uint32(1))
	f.Add(`"quiet`, `quiet"`, uint32(0))
	f.Fuzz(func(t *testing.T, base, user string, port uint32) {
		line, err := Cmdline(base, user, port)
		if err != nil {
			return
		}
		again, err := Cmdline(line, "", port)
		if err != nil || again != line {
			t.Fatalf("%q resolves to %q, %v: not at rest", line, again, err)
		}
	})
}
