// Package gostd_test runs Go's own tests for linux/arm64 in a guest: they are
// an independent suite for atomics, the memory model, arithmetic, hashes and
// whatever the compiler makes of ordinary code.
package gostd_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

func TestGosOwnTestsPassInAGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library's tests")
	}
	fl := kit.AFlavour(t, kit.Any)
	for _, g := range groups {
		if g.soak && kit.Rounds(0, 1) == 0 {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			list := g.suites(t)
			image := g.disk(t, list)
			for _, cpus := range []int{1, kit.Rounds(2, 4)} {
				t.Run(fmt.Sprintf("%d vCPUs", cpus), func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), g.limit)
					defer cancel()
					judge(t, run(ctx, t, fl, image, cpus), list)
				})
			}
		})
	}
}

// run boots a guest that runs what is on the disk, and gives its console.
func run(ctx context.Context, t *testing.T, fl kit.Flavour, disk string, cpus int) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, kit.Program("arcbox"), "boot", "--kernel", fl.Kernel, "--initrd", kit.InitrdFor(t, fl),
		"--disk", disk+",ro", "--cpus", fmt.Sprint(cpus), "--memory", "1G", "--console", "ttyAMA0",
		"--cmdline", fl.Tuning+" console=ttyAMA0 panic=-1 quiet")
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the guest ended with %v", err)
	}
	return string(out)
}

// failure and success are what init says of a package.
var (
	failure = regexp.MustCompile(`(?s)gostd: \S+ FAIL.*?(?:\ngostd: |$)`)
	success = regexp.MustCompile(`gostd: (\S+) ok (\S+)`)
)

// judge wants an ok line of every suite.
func judge(t *testing.T, console string, list []suite) {
	t.Helper()
	for _, f := range failure.FindAllString(console, -1) {
		t.Error(f)
	}
	took := map[string]string{}
	for _, m := range success.FindAllStringSubmatch(console, -1) {
		took[m[1]] = m[2]
	}
	for _, s := range list {
		if took[s.pkg] == "" {
			t.Errorf("%s did not pass", s.pkg)
		} else {
			t.Logf("%s: %s", s.pkg, took[s.pkg])
		}
	}
	if t.Failed() {
		t.Logf("the console ends:\n%s", console[max(0, len(console)-2000):])
	}
}

// TestChoicesAreOfPackagesThatRun holds the table of what is left out to the
// groups, and wants a reason.
func TestChoicesAreOfPackagesThatRun(t *testing.T) {
	var all []string
	for _, g := range groups {
		for _, s := range g.suites(t) {
			all = append(all, s.pkg)
		}
	}
	for pkg, c := range choices {
		if !slices.Contains(all, pkg) || c.why == "" || strings.ContainsAny(c.run+c.skip, " ") {
			t.Errorf("the choice of %s is of no package, without a reason, or has a space", pkg)
		}
	}
}
