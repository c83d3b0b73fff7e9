package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ruleStep is the step whose parts are assumptions by their own text.
const ruleStep = "rules"

// Directories with the names of parts.
const (
	here        = "darwin/maccheck"
	hvtestRoom  = "hv/hvtest"
	storageRoom = "agent/storage/file"
)

// rooms are the packages with Apple's headers.
var rooms = []string{"./hv/hvf/...", "./agent/power/...", "./launchd/...", "./ipc/mach/...", "./cmd/arcbox-vm", "./cmd/arcboxd"}

// steps are all, in their order: what needs a machine comes after the one that starts it, and before the one that ends it.
var steps = []step{
	{"headers", "Apple's headers pass the assertions of our code", here, 20 * time.Minute, headers},
	{ruleStep, "Hypervisor.framework keeps the rules that hv/hvf relies on", here, 5 * time.Minute, func(ctx context.Context, s *session) error {
		return s.test(ctx, suite{pkg: "./hv/hvf/rules", run: "^TestTheFrameworkKeepsItsRules$", root: "TestTheFrameworkKeepsItsRules", sign: true})
	}},
	{"engine", "the engine passes the suite that all engines pass", hvtestRoom, 20 * time.Minute, func(ctx context.Context, s *session) error {
		return s.test(ctx, suite{pkg: "./hv/hvf", run: "^TestConformance$", root: "TestConformance", sign: true})
	}},
	{"boot", "Linux boots with 1, 2 and 4 vCPUs and has nothing to complain about", "test/boot", 20 * time.Minute, boot},
	{"storage", "disk images work on this volume", storageRoom, 5 * time.Minute, func(ctx context.Context, s *session) error {
		return errors.Join(s.test(ctx, suite{pkg: "./" + storageRoom, run: "."}), s.test(ctx, suite{pkg: "./agent/storage", run: "."}))
	}},
	{"exfat", "an image is flushed on a volume that lacks much", storageRoom, 5 * time.Minute, exfat},
	{"launchd", "an agent lives and ends under launchd, in this session", "launchd", 10 * time.Minute, underLaunchd},
	{"mach", "a Mach service carries our messages between processes", "ipc/mach", 10 * time.Minute, func(ctx context.Context, s *session) error {
		return s.test(ctx, suite{pkg: "./ipc/mach", run: "."})
	}},
	{"bundle", "the app is built, signed, and accepted by codesign", here, 20 * time.Minute, bundle},
	{"darwinkit", "the agent that has its news from AppKit is built", here, 10 * time.Minute, darwinkit},
	{"machine", "the agent is installed, and brings up a machine in a sandbox", here, 10 * time.Minute, machine},
	{"bench", "starts, vsock, blocks and idle are measured", here, 20 * time.Minute, bench},
	{"sleep", "the host sleeps and wakes, and a guest with it", here, 30 * time.Minute, sleep},
	{"pressure", "the system says that memory is short", here, 5 * time.Minute, pressure},
	{"heat", "the system says how hot it is", here, time.Minute, heat},
	{"lowpower", "low-power mode is told, in both modes", here, 5 * time.Minute, lowPower},
	{"end", "the machine and the agent end, and the agent is removed", here, 5 * time.Minute, end},
}

// stepOf is the step of a name, nil for none.
func stepOf(name string) *step {
	for i := range steps {
		if steps[i].name == name {
			return &steps[i]
		}
	}
	return nil
}

func stepNames() (names []string) {
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

func headers(ctx context.Context, s *session) error {
	build := append(append([]string{"build"}, s.tags...), rooms...)
	vet := append(append([]string{"vet"}, s.tags...), rooms...)
	return errors.Join(s.does(ctx, "go", build...), s.does(ctx, "go", vet...))
}

// boot tells of each system that there is; a Mac has one.
func boot(ctx context.Context, s *session) error {
	if err := s.needsAssets(ctx, nil, "go", "run", "./cmd/arcbox"); err != nil {
		return err
	}
	return s.test(ctx, suite{pkg: "./test/boot", run: "^TestSystemsOfApple$", root: "TestSystemsOfApple", env: []string{"ARCBOX_TEST_ENGINE=hvf"}})
}

// needsAssets gives why arcbox finds nothing to boot, nil if it does.
func (s *session) needsAssets(ctx context.Context, env []string, arcbox ...string) error {
	args := append(arcbox, "assets", "list", "--json")
	out, err := s.says(ctx, env, args[0], args[1:]...)
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(out); text == "[]" || text == "null" || text == "" {
		return notRunError("there are no boot assets, which a Mac cannot build: run make assets on a Linux machine, copy its /var/cache/arcbox/boot to the same place here")
	}
	return nil
}

// exfat flushes an image on a volume of a disk image, by every policy.
func exfat(ctx context.Context, s *session) error {
	dir, err := os.MkdirTemp("", "mac-check")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image, volume := filepath.Join(dir, "exfat.dmg"), filepath.Join(dir, "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		return err
	}
	if err := s.does(ctx, "hdiutil", "create", "-size", "256m", "-fs", "ExFAT", "-volname", "maccheck", image); err != nil {
		return err
	}
	if err := s.does(ctx, "hdiutil", "attach", "-nobrowse", "-mountpoint", volume, image); err != nil {
		return err
	}
	err = s.test(ctx, suite{pkg: "./" + storageRoom, run: "^TestEveryPolicyFlushes$", env: []string{"TMPDIR=" + volume, "GOTMPDIR=" + os.TempDir()}})
	return errors.Join(err, s.does(context.WithoutCancel(ctx), "hdiutil", "detach", volume))
}

// bundle makes the app as a user does, and once more as Linux signs it; Apple's codesign has the last word on both.
func bundle(ctx context.Context, s *session) error {
	if err := s.does(ctx, "scripts/bundle"); err != nil {
		return err
	}
	app, own := "build/ArcBox.app", filepath.Join(s.dir, "ArcBox.app")
	strict := func(path string) error {
		return s.does(ctx, "codesign", "--verify", "--deep", "--strict", "--verbose=2", path)
	}
	s.must("codesign", strict(app))
	err := s.does(ctx, "go", "run", "./darwin/bundle", "--own", "--programs", "build/darwin", "--out", own)
	if err == nil {
		err = strict(own)
	}
	s.must("sealed by us", err)
	return nil
}

// darwinkit builds the agent with the library that only a Mac can fetch, and leaves its go.mod alone. A rehearsal takes the
// stand-in of its types.
func darwinkit(ctx context.Context, s *session) error {
	const module = "agent/power/darwinkit"
	if s.rehearsal {
		return s.does(ctx, "go", "-C", module, "build", "-modfile=standin.mod", "-tags", "standin", "./...")
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return err
	}
	mod := filepath.Join(dir, "darwinkit.mod")
	if err := os.WriteFile(mod, text, 0o644); err != nil {
		return err
	}
	return s.does(ctx, "go", "-C", module, "build", "-mod=mod", "-modfile="+mod, "-o", filepath.Join(dir, "arcboxd-darwinkit"), "./arcboxd")
}
