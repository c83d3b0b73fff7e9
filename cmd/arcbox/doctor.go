package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// verdict is how one thing is.
type verdict string

const (
	well   verdict = "ok"
	warned verdict = "warning" // worth knowing; nothing is broken
	broken verdict = "broken"
)

// A finding is what one check found.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text,omitempty"`
	Mend    string  `json:"mend,omitempty"`  // what to do about it
	Fixed   bool    `json:"fixed,omitempty"` // --fix has done it

	fix func(context.Context) error // nil where only the user can
}

// A patient is what checks look at.
type patient struct {
	home  home.Home
	conn  *ipc.Conn // to the agent; nil when none answers
	found []finding
}

func (p *patient) say(check string, v verdict, text, mend string, fix func(context.Context) error) {
	p.found = append(p.found, finding{Check: check, Verdict: v, Text: text, Mend: mend, fix: fix})
}

// checks are everything that has ever gone wrong for somebody.
var checks = []func(context.Context, *patient){
	checkPrograms, checkHome, checkSpace, checkHoles, checkSettings, checkLock, checkAgent, checkBuild, checkCrash, checkMachines, checkAssets,
	checkService, checkDocker, checkRoutes, checkClock, checkLimits, checkSignature,
}

func newDoctor() *cobra.Command {
	var asJSON, fix bool
	var bundle string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is broken, and say how to mend it",
		Long: `Doctor looks at everything that has ever gone wrong: programs, directories, space,
settings, the agent and its lock, machines, boot assets. It starts nothing. With
--fix it mends what it can. The exit status is 0 when nothing is broken; warnings do
not count.

With --bundle it writes an archive for a bug report: what it found, the agent's state,
logs and settings. What looks like a key, a token or a password is left out.`,
		Example: `  arcbox doctor
  arcbox doctor --fix
  arcbox doctor --bundle arcbox.tar.gz`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := examine(cmd.Context())
			if err != nil {
				return err
			}
			if fix {
				p.mend(cmd.Context())
			}
			if bundle != "" {
				if err := p.bundle(cmd.Context(), bundle); err != nil {
					return err
				}
			}
			p.leave()
			return sayFindings(cmd.OutOrStdout(), p.found, bundle, asJSON)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&asJSON, "json", false, "print JSON on standard output")
	fl.BoolVar(&fix, "fix", false, "mend what can be mended")
	fl.StringVar(&bundle, "bundle", "", "write an archive for a bug report to `FILE`")
	return cmd
}

// examine runs all checks.
func examine(ctx context.Context) (*patient, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	p := &patient{home: h}
	if _, err := os.Stat(h.Root()); err == nil {
		ask, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		if conn, err := dialAgent(ask); err == nil {
			if _, err := ipc.Call(ask, conn, ipc.Ping, &struct{}{}); err == nil {
				p.conn = conn
			} else {
				conn.Close()
			}
		}
	}
	for _, check := range checks {
		check(ctx, p)
	}
	return p, ctx.Err()
}

// answerTime is how long an agent may take to answer that has nothing to wait for.
const answerTime = 5 * time.Second

func (p *patient) leave() {
	if p.conn != nil {
		p.conn.Close()
	}
}

// mend does what can be done about what was found.
func (p *patient) mend(ctx context.Context) {
	for i := range p.found {
		f := &p.found[i]
		if f.Verdict == well || f.fix == nil {
			continue
		}
		if err := f.fix(ctx); err != nil {
			f.Text += "; it could not be mended: " + err.Error()
			continue
		}
		f.Fixed, f.Verdict = true, well
	}
}

func sayFindings(out io.Writer, found []finding, bundle string, asJSON bool) error {
	bad := 0
	for _, f := range found {
		if f.Verdict == broken {
			bad++
		}
	}
	if asJSON {
		if err := printJSON(out, map[string]any{"broken": bad, "findings": found}); err != nil {
			return err
		}
	} else {
		printFindings(out, found, bundle)
	}
	if bad > 0 {
		return &statusError{exitError, fmt.Errorf("%d of %d checks found something broken", bad, len(found))}
	}
	return nil
}

func printFindings(out io.Writer, found []finding, bundle string) {
	p := paintFor(out)
	marks := map[verdict]string{well: p.in(green, "ok      "), warned: p.in(yellow, "warning "), broken: p.in(red, "BROKEN  ")}
	for _, f := range found {
		mark := marks[f.Verdict]
		if f.Fixed {
			mark = p.in(green, "mended  ")
		}
		fmt.Fprintf(out, "%s%-10s %s\n", mark, f.Check, f.Text)
		if f.Mend != "" && !f.Fixed {
			fmt.Fprintf(out, "        %-10s %s\n", "", p.in(bold, f.Mend))
		}
	}
	if bundle != "" {
		fmt.Fprintf(out, "wrote %s; look into it before you send it\n", bundle)
	}
}

func checkPrograms(_ context.Context, p *patient) {
	var missing []string
	for _, name := range []string{"arcboxd", "arcbox-vm"} {
		if _, err := home.Beside(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		p.say("programs", broken, strings.Join(missing, ", ")+" should stand beside this program and do not", "install ArcBox again, or run make build", nil)
		return
	}
	if _, err := home.Beside("arcbox-guest"); err != nil {
		p.say("programs", warned, "arcbox-guest does not stand beside this program: boot assets cannot be made here", "install ArcBox again, or run make build", nil)
		return
	}
	p.say("programs", well, "they stand beside this one", "", nil)
}

func checkHome(_ context.Context, p *patient) {
	root := p.home.Root()
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.say("home", well, root+" is not there yet; it is made when it is needed", "", nil)
	case err != nil:
		p.say("home", broken, err.Error(), "let yourself into it: chmod u+rwx "+root, nil)
	case !info.IsDir():
		p.say("home", broken, root+" is not a directory", "move it away", nil)
	case unix.Access(root, unix.W_OK) != nil:
		p.say("home", broken, "you cannot write to "+root, "chmod u+w "+root, func(context.Context) error { return os.Chmod(root, 0o700) })
	case info.Mode().Perm()&0o077 != 0:
		p.say("home", warned, "others may look into "+root, "chmod 700 "+root, func(context.Context) error { return os.Chmod(root, 0o700) })
	default:
		p.say("home", well, root, "", nil)
	}
}

// existing is the nearest directory above path that is there.
func existing(path string) string {
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// Space below which machines wait, and below which they soon may.
const (
	keptFree = 512 << 20
	lowFree  = 5 << 30
)

func checkSpace(_ context.Context, p *patient) {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(p.home.Data()), &st); err != nil {
		p.say("space", warned, err.Error(), "", nil)
		return
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	switch {
	case free < keptFree:
		p.say("space", broken, fmt.Sprintf("%s are free: machines wait with what they write", size(free)), "make room; arcbox disk compact and arcbox assets remove give some back", nil)
	case free < lowFree:
		p.say("space", warned, size(free)+" are free", "make room before machines have to wait", nil)
	default:
		p.say("space", well, size(free)+" are free", "", nil)
	}
}

func checkHoles(_ context.Context, p *patient) {
	f, err := os.CreateTemp(existing(p.home.Data()), ".arcbox-doctor-")
	if err != nil {
		p.say("holes", broken, err.Error(), "", nil)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const length = 16 << 20
	var st unix.Stat_t
	if err := errors.Join(f.Truncate(length), unix.Fstat(int(f.Fd()), &st)); err != nil {
		p.say("holes", warned, err.Error(), "", nil)
		return
	}
	if st.Blocks*512 > length/2 {
		p.say("holes", broken, "the file system keeps no holes: a disk image takes its whole size", "put the data directory (ARCBOX_HOME) on APFS, ext4, XFS or Btrfs", nil)
		return
	}
	p.say("holes", well, "disk images take what is written to them", "", nil)
}

func checkSettings(_ context.Context, p *patient) {
	c, err := config.Standard(p.home).Load()
	switch {
	case err != nil:
		p.say("settings", broken, strings.ReplaceAll(err.Error(), "\n", "; "), "arcbox config validate shows each; $EDITOR \"$(arcbox config path)\"", nil)
	case len(c.Warnings) > 0:
		p.say("settings", warned, c.Warnings[0].Error(), "arcbox config validate", nil)
	default:
		p.say("settings", well, "they are good", "", nil)
	}
}

func checkLock(_ context.Context, p *patient) {
	holder, held, err := lease.Held(p.home.Run())
	path, perr := config.Standard(p.home).AgentSocket(p.home)
	_, serr := os.Lstat(path)
	switch {
	case err != nil:
		p.say("lock", broken, err.Error(), "", nil)
	case held && p.conn == nil:
		p.say("lock", broken, fmt.Sprintf("process %d is the agent and does not answer", holder.PID), "arcbox agent restart", replaceAgent)
	case held:
		p.say("lock", well, fmt.Sprintf("process %d is the agent", holder.PID), "", nil)
	case perr == nil && serr == nil && p.conn == nil:
		p.say("lock", warned, "an agent that is gone has left its socket; the next one replaces it", "rm "+path, func(context.Context) error { return os.Remove(path) })
	default:
		p.say("lock", well, "no agent runs; one starts when it is needed", "", nil)
	}
}

func checkAgent(ctx context.Context, p *patient) {
	if p.conn == nil {
		return
	}
	s, err := ipc.Call(ctx, p.conn, agentapi.Setup, &agentapi.SetupReq{})
	switch {
	case err != nil:
		p.say("agent", broken, err.Error(), "arcbox agent restart", replaceAgent)
	case s.Phase == agentapi.SetupFailed:
		p.say("agent", broken, s.Message+": "+s.Error, "arcbox logs --component agent", nil)
	case s.Phase == agentapi.Degraded:
		p.say("agent", warned, s.Message+": "+s.Error, "", nil)
	default:
		p.say("agent", well, "it is "+strings.ToLower(string(s.Phase)), "", nil)
	}
}

func checkBuild(ctx context.Context, p *patient) {
	if p.conn == nil {
		return
	}
	other, err := otherBuild(ctx, p.conn)
	switch {
	case err != nil: // checkAgent or checkPrograms has said so
	case other != "":
		p.say("build", warned, other, "arcbox agent restart; machines go on", replaceAgent)
	default:
		p.say("build", well, "the agent and this program are of one build", "", nil)
	}
}

// otherBuild says that the agent is of another build than the arcboxd beside this program; "" when it is not.
func otherBuild(ctx context.Context, conn *ipc.Conn) (string, error) {
	v, err := ipc.Call(ctx, conn, agentapi.Version, &agentapi.VersionReq{})
	if err != nil {
		return "", err
	}
	program, err := home.Beside("arcboxd")
	if err != nil {
		return "", err
	}
	here, err := digest(program)
	if err != nil || here == v.Build {
		return "", err
	}
	return fmt.Sprintf("the agent is %s of %s, and another build than %s", v.Version, v.Program, program), nil
}

// offerTakeover tells somebody who starts a machine that the agent could be replaced; after an update that is what they want.
func offerTakeover(ctx context.Context, conn *ipc.Conn, out io.Writer) {
	if other, err := otherBuild(ctx, conn); err == nil && other != "" {
		fmt.Fprintf(out, "arcbox: %s; arcbox agent restart replaces it, and machines go on\n", other)
	}
}

// digest is the SHA-256 of a file.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func checkCrash(_ context.Context, p *patient) {
	path := filepath.Join(p.home.Log(), "arcboxd.stderr")
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return
	}
	if i := strings.LastIndex(string(text), "panic: "); i >= 0 {
		line, _, _ := strings.Cut(string(text[i:]), "\n")
		p.say("crash", warned, "the agent has crashed before: "+line, "send the bundle of arcbox doctor --bundle with a bug report, then rm "+path, func(context.Context) error { return os.Truncate(path, 0) })
	}
}

func checkMachines(ctx context.Context, p *patient) {
	if p.conn == nil {
		return
	}
	all, err := ipc.Call(ctx, p.conn, agentapi.List, &agentapi.ListReq{})
	if err != nil {
		p.say("machines", broken, err.Error(), "", nil)
		return
	}
	for _, problem := range all.Problems {
		p.say("records", warned, problem, "look at the file; arcbox create makes the machine again and keeps its disk", nil)
	}
	failed := 0
	for _, m := range all.Machines {
		if m.State == "failed" {
			failed++
			p.say("machines", broken, m.Name+" failed: "+m.Cause, "arcbox logs "+m.Name+" shows why; arcbox start "+m.Name+" tries again", nil)
		}
	}
	if failed == 0 {
		p.say("machines", well, fmt.Sprintf("%d, none has failed", len(all.Machines)), "", nil)
	}
}

func checkAssets(_ context.Context, p *patient) {
	lib, err := openLibrary()
	if err != nil {
		p.say("assets", broken, err.Error(), "", nil)
		return
	}
	a, err := lib.Default()
	switch {
	case errors.Is(err, assets.ErrNotFound):
		p.say("assets", warned, "there is no boot asset; the first start makes one", "arcbox assets fetch", nil)
	case err != nil:
		p.say("assets", broken, err.Error(), "arcbox assets fetch", nil)
	case a.Damage != nil:
		p.say("assets", broken, a.ID+": "+a.Damage.Error(), "arcbox assets fetch repairs it", nil)
	default:
		p.say("assets", well, a.ID, "", nil)
	}
}

func checkService(ctx context.Context, p *patient) {
	_, st := installed(ctx)
	switch {
	case st == nil:
		p.say("session", well, "the agent is not part of your session; it starts when it is needed", "", nil)
	case st.Problem != "":
		p.say("session", broken, st.Problem, "arcbox agent install", nil)
	default:
		p.say("session", well, fmt.Sprintf("%s keeps the agent (%s)", st.Manager, st.State), "", nil)
	}
}

func checkClock(ctx context.Context, p *patient) {
	self, err := os.Executable()
	if err != nil {
		return
	}
	if info, err := os.Stat(self); err == nil && time.Now().Before(info.ModTime().Add(-24*time.Hour)) {
		p.say("clock", warned, "this host's clock is before the day that this program was made", "set the clock: certificates and guests follow it", nil)
		return
	}
	if p.guestClocks(ctx) {
		p.say("clock", well, time.Now().Format(time.RFC1123), "", nil)
	}
}

// clockOff is how far a guest's clock may be from the host's: it is set when it is 100 ms off, once a minute.
const clockOff = time.Second

// guestClocks looks at the clocks of machines that run, and says whether they are right. It wakes none.
func (p *patient) guestClocks(ctx context.Context) bool {
	if p.conn == nil {
		return true
	}
	all, err := ipc.Call(ctx, p.conn, agentapi.List, &agentapi.ListReq{})
	if err != nil {
		return true // checkMachines says so
	}
	right := true
	for _, m := range all.Machines {
		if m.State != string(lifecycle.Running) {
			continue
		}
		off, err := guestClock(ctx, p.conn, m.Name, 0)
		switch {
		case err != nil:
			p.say("clock", warned, m.Name+" cannot be asked for its time: "+err.Error(), "arcbox restart "+m.Name, nil)
		case off.Abs() > clockOff:
			p.say("clock", warned, fmt.Sprintf("the clock of %s is %v off", m.Name, off.Round(time.Millisecond)), "arcbox doctor --fix sets it", func(ctx context.Context) error {
				conn, err := dialAgent(ctx)
				if err != nil {
					return err
				}
				defer conn.Close()
				_, err = guestClock(ctx, conn, m.Name, time.Now().UnixNano())
				return err
			})
		default:
			continue
		}
		right = false
	}
	return right
}

// guestClock is how far a guest's clock is ahead of the host's, and sets it unless set is 0 (Unix time in ns).
func guestClock(ctx context.Context, conn *ipc.Conn, machine string, set int64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	guest, err := attachGuest(ctx, conn, machine)
	if err != nil {
		return 0, err
	}
	defer guest.Close()
	pong, err := ipc.Call(ctx, guest, guestapi.Ping, &guestapi.PingReq{Time: set})
	if err != nil {
		return 0, err
	}
	return time.Duration(pong.Time - time.Now().UnixNano()), nil
}

// fewFiles is how many open files are few: each machine has some tens, each connection one or two.
const fewFiles = 1024

func checkLimits(_ context.Context, p *patient) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return
	}
	if l.Max < fewFiles {
		p.say("limits", warned, fmt.Sprintf("a process may have %d files open", l.Max), "ulimit -n 10240 before the agent starts", nil)
		return
	}
	p.say("limits", well, fmt.Sprintf("a process may have %d files open", l.Max), "", nil)
}

// checkSignature is about macOS, where a program without the entitlement gets no hypervisor.
func checkSignature(ctx context.Context, p *patient) {
	if runtime.GOOS != "darwin" {
		return
	}
	program, err := home.Beside("arcbox-vm")
	if err != nil {
		return // checkPrograms has said so
	}
	if text := entitlements(ctx, program); !strings.Contains(text, "com.apple.security.hypervisor") {
		p.say("signature", broken, program+" is not signed for the hypervisor", "codesign -s - --entitlements entitlements.plist -f "+program, nil)
		return
	}
	p.say("signature", well, program+" may use the hypervisor", "", nil)
}
