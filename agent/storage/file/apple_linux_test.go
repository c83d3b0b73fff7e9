package file

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// An apfs makes macOS's calls on Linux, as strictly as APFS, and writes them down. What lacks names is not there: ENOTSUP.
type apfs struct {
	calls []string
	lacks []string
}

func (a *apfs) note(name, format string, args ...any) error {
	a.calls = append(a.calls, name+fmt.Sprintf(format, args...))
	if slices.Contains(a.lacks, name) {
		return unix.ENOTSUP
	}
	return nil
}

var appleNames = map[int]string{fPreallocate: "F_PREALLOCATE", fFullFsync: "F_FULLFSYNC", fBarrierFsync: "F_BARRIERFSYNC", fPunchHole: "F_PUNCHHOLE"}

func (a *apfs) fcntl(fd, cmd int) error {
	if err := a.note(appleNames[cmd], ""); err != nil {
		return err
	}
	return unix.Fdatasync(fd)
}

func (a *apfs) fcntlStore(fd, cmd int, s *store) error {
	if err := a.note(appleNames[cmd], " flags %d posmode %d offset %d length %d", s.flags, s.posmode, s.offset, s.length); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch cmd {
	case fPunchHole:
		if s.flags != 0 || s.posmode != 0 || s.offset%Block != 0 || s.length%Block != 0 || s.length == 0 {
			return unix.EINVAL
		}
		return linux{}.punch(fd, s.offset, s.length)
	case fPreallocate:
		if s.posmode != fPhysicalEnd || s.offset != 0 || s.length <= 0 {
			return unix.EINVAL
		}
		return linux{}.preallocate(fd, st.Size, s.length)
	}
	return unix.EINVAL
}

func (a *apfs) fsync(fd int) error {
	if err := a.note("fsync", ""); err != nil {
		return err
	}
	return unix.Fsync(fd)
}

func (a *apfs) fclonefileat(fd int, path string) error {
	if err := a.note("fclonefileat", ""); err != nil {
		return err
	}
	return linux{}.clone(fd, path)
}

// onApple has images that are opened during the test use macOS's calls.
func onApple(t *testing.T, lacks ...string) *apfs {
	t.Helper()
	a := &apfs{lacks: lacks}
	before := native
	native = apple{a}
	t.Cleanup(func() { native = before })
	return a
}

func TestApplesCalls(t *testing.T) {
	tests := []struct {
		name  string
		lacks []string
		do    func(*File) error
		want  []string
	}{
		{"host", nil, func(f *File) error { return f.SyncAs(Host) }, []string{"fsync"}},
		{"barrier", nil, func(f *File) error { return f.SyncAs(Barrier) }, []string{"F_BARRIERFSYNC"}},
		{"full", nil, func(f *File) error { return f.SyncAs(Full) }, []string{"F_FULLFSYNC"}},
		{"barrier where there is none", []string{"F_BARRIERFSYNC"}, func(f *File) error { return f.SyncAs(Barrier) }, []string{"F_BARRIERFSYNC", "F_FULLFSYNC"}},
		{"full on a network file system", []string{"F_FULLFSYNC"}, func(f *File) error { return f.SyncAs(Full) }, []string{"F_FULLFSYNC", "fsync"}},
		{"barrier on one", []string{"F_BARRIERFSYNC", "F_FULLFSYNC"}, func(f *File) error { return f.SyncAs(Barrier) }, []string{"F_BARRIERFSYNC", "F_FULLFSYNC", "fsync"}},
		{"a hole, aligned inward", nil, func(f *File) error { return f.Punch(1000, 3*Block) }, []string{"F_PUNCHHOLE flags 0 posmode 0 offset 4096 length 8192"}},
		{"a hole in nothing whole", nil, func(f *File) error { return f.Punch(1, Block) }, nil},
		{"where there are no holes, once", []string{"F_PUNCHHOLE"}, func(f *File) error {
			if err := f.Punch(0, Block); err != nil || f.HasHoles() {
				return fmt.Errorf("%v, has holes: %v", err, f.HasHoles())
			}
			return f.Punch(0, Block)
		}, []string{"F_PUNCHHOLE flags 0 posmode 0 offset 0 length 4096"}},
		{"zeroes are written", nil, func(f *File) error { return f.Zero(0, Block, false) }, nil},
		{"zeroes by a hole", nil, func(f *File) error { return f.Zero(0, Block, true) }, []string{"F_PUNCHHOLE flags 0 posmode 0 offset 0 length 4096"}},
		{"zeroes where there are no holes", []string{"F_PUNCHHOLE"}, func(f *File) error { return f.Zero(0, Block, true) }, []string{"F_PUNCHHOLE flags 0 posmode 0 offset 0 length 4096"}},
		{"space at the physical end", nil, func(f *File) error { return f.Preallocate(12345, 1<<20) }, []string{"F_PREALLOCATE flags 4 posmode 3 offset 0 length 1048576"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := onApple(t, tt.lacks...)
			f, _ := image(t, 8*Block)
			if err := tt.do(f); err != nil {
				t.Error(err)
			}
			if !slices.Equal(a.calls, tt.want) {
				t.Errorf("the calls are %q, want %q", a.calls, tt.want)
			}
		})
	}
}

// What an image promises it promises with macOS's calls too, and on file systems that lack some.
func TestImagesWithApplesCalls(t *testing.T) {
	tests := map[string]func(*testing.T){
		"zero": TestZeroTouchesNothingElse, "inward": TestPunchIsAlignedInward, "space": TestPunchGivesSpaceBack,
		"clone": TestCloneHasTheSameBytesAndHoles, "sync": TestSyncFailsForEverAfterItFailedOnce, "allocations": TestNoAllocationPerRequest,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			onApple(t)
			test(t)
		})
		t.Run(name+" without holes and clones", func(t *testing.T) {
			onApple(t, "F_PUNCHHOLE", "fclonefileat", "F_FULLFSYNC", "F_BARRIERFSYNC")
			test(t)
		})
	}
}

func TestAppleTakesSpaceBehindTheEnd(t *testing.T) {
	onApple(t)
	f, _ := image(t, Block)
	if err := f.Preallocate(0, 1<<20); err != nil {
		t.Skip(err)
	}
	if n, err := f.Allocated(); err != nil || n < 1<<20 || f.Size() != Block {
		t.Errorf("%d bytes are allocated of an image of %d: %v", n, f.Size(), err)
	}
}
