package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keyring is Debian's package of archive keys, installed on every Debian.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// An apt is an apt of our own: its lists, archives and configuration live in
// one directory, and it knows arm64 only. The host's package state is neither
// read nor written; of the host's configuration only proxies and the archives'
// addresses are taken over.
//
// A directory serves one process at a time; openApt waits for the other.
type apt struct {
	dir  string
	lock *os.File
	web  *downloader
}

// A deb is one package file as apt's signed index describes it.
type deb struct {
	Name, Version string
	URL           string
	File          string // its base name
	Size          int64
	SHA256        string // lower-case hexadecimal
}

// openApt prepares an apt for a release of Debian in dir.
func openApt(ctx context.Context, dir, suite string) (*apt, error) {
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "etc/preferences.d", "debs/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("cannot prepare apt: %w", err)
		}
	}
	lock, err := lockFile(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	list, err := sources(suite, hostArchives(ctx))
	if err != nil {
		lock.Close()
		return nil, err
	}
	proxies := hostProxies(ctx)
	a := &apt{dir, lock, newDownloader(proxies)}
	for name, text := range map[string]string{
		"apt.conf":         aptConf(dir) + proxies,
		"etc/sources.list": list,
		"state/status":     "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			a.close()
			return nil, fmt.Errorf("cannot prepare apt: %w", err)
		}
	}
	return a, nil
}

// close lets the next process in.
func (a *apt) close() { a.lock.Close() }

// lockFile takes the exclusive lock of a file, waiting for whoever has it. The
// lock ends with the file's last descriptor.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("cannot lock %s, which another build holds: %w", path, ctx.Err())
		case <-time.After(200 * time.Millisecond): // flock cannot be waited for with a context
		}
	}
}

// aptConf points every path of apt into dir and leaves nothing to the host's
// configuration, whose hooks would run on our behalf.
func aptConf(dir string) string {
	return fmt.Sprintf(`Dir %[1]q;
Dir::State %[2]q;
Dir::State::status %[3]q;
Dir::Cache %[4]q;
Dir::Etc %[5]q;
Dir::Etc::parts "parts";
Dir::Log %[1]q;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
`, dir, filepath.Join(dir, "state"), filepath.Join(dir, "state/status"), filepath.Join(dir, "cache"),
		filepath.Join(dir, "etc"))
}

// sources is the sources.list of a release, its main, updates and security, at
// the archives that archives lists, a URI a line. The paths of Debian's archives end
// in debian and debian-security wherever they are mirrored.
func sources(suite, archives string) (string, error) {
	var b strings.Builder
	seen := map[string]bool{}
	add := func(uri, release string) {
		fmt.Fprintf(&b, "deb [arch=arm64 signed-by=%s] %s %s main\n", keyring, uri, release)
	}
	for uri := range strings.FieldsSeq(archives) {
		uri = strings.TrimRight(uri, "/")
		kind := path.Base(uri)
		if seen[kind] {
			continue
		}
		switch kind {
		case "debian":
			add(uri, suite)
			add(uri, suite+"-updates")
		case "debian-security":
			add(uri, suite+"-security")
		}
		seen[kind] = true
	}
	if !seen["debian"] {
		return "", errors.New("cannot build assets: this machine's apt knows no archive of Debian; add one to /etc/apt/sources.list, or fetch the assets")
	}
	return b.String(), nil
}

// hostArchives are the archives that the host's own packages come from, a URI a
// line: the nearest mirror is the host's to choose.
func hostArchives(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// hostProxies repeats how the host reaches the archive. Without apt-config
// there is nothing to repeat.
func hostProxies(ctx context.Context) string {
	dump, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(string(dump)) {
		if proxyLine.MatchString(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

var proxyLine = regexp.MustCompile(`^Acquire::https?::[Pp]roxy(-Auto-Detect)?(::[^ ]+)? "`)

// run runs a tool of apt on our configuration, in a directory of its own: apt-get
// says nothing of what is in its working directory already.
func (a *apt) run(ctx context.Context, tool string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = filepath.Join(a.dir, "cache")
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("cannot build assets: there is no %s here; build on Debian, or fetch the assets", tool)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run %s %s: %w: %s", tool, args[0], err, lastLines(stderr.String(), 3))
	}
	return out, nil
}

// lastLines is the end of a tool's complaint, on one line.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// listsAge is how long package lists are good without asking the archive.
const listsAge = 24 * time.Hour

// update brings the signed package lists in when they are older than age. Old
// ones serve while the archive cannot be reached.
func (a *apt) update(ctx context.Context, age time.Duration, say progress) error {
	stamp := filepath.Join(a.dir, "updated")
	info, err := os.Stat(stamp)
	if err == nil && time.Since(info.ModTime()) < age {
		return nil
	}
	say("reading Debian's package lists")
	if _, e := a.run(ctx, "apt-get", "-qq", "update"); e != nil {
		if err != nil {
			return e
		}
		say("the package lists of %s must do: %v", info.ModTime().Format(time.DateOnly), e)
		return nil
	}
	return os.WriteFile(stamp, nil, 0o644)
}

// A resolver finds packages by their names.
type resolver func(ctx context.Context, names ...string) ([]deb, error)

// get finds and fetches the newest packages of these names, in this order. If
// the archive has moved on since the lists were read, they are read again.
func (a *apt) get(ctx context.Context, say progress, names ...string) ([]deb, error) {
	return a.getBy(ctx, say, a.resolve, names)
}

// getBy is get with the packages that find gives for the names.
func (a *apt) getBy(ctx context.Context, say progress, find resolver, names []string) ([]deb, error) {
	try := func() ([]deb, error) {
		debs, err := find(ctx, names...)
		if err != nil {
			return nil, err
		}
		return debs, a.fetch(ctx, debs, say)
	}
	debs, err := try()
	if err == nil || ctx.Err() != nil {
		return debs, err
	}
	say("trying again with new package lists: %v", err)
	if e := a.update(ctx, 0, say); e != nil {
		return nil, err
	}
	return try()
}

// simulatedLine is a line of apt-get --simulate: Inst NAME (VERSION ARCHIVE [arm64])
var simulatedLine = regexp.MustCompile(`(?m)^Inst ([a-z0-9][a-z0-9+.-]+) `)

// resolveAll finds the newest packages of these names and of all that they depend on.
func (a *apt) resolveAll(ctx context.Context, names ...string) ([]deb, error) {
	out, err := a.run(ctx, "apt-get", append([]string{"-qq", "--simulate", "--no-install-recommends", "install"}, names...)...)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, m := range simulatedLine.FindAllStringSubmatch(string(out), -1) {
		all = append(all, m[1])
	}
	return a.resolve(ctx, all...)
}

// resolve finds the newest packages of these names, in this order.
func (a *apt) resolve(ctx context.Context, names ...string) ([]deb, error) {
	out, err := a.run(ctx, "apt-get", append([]string{"-qq", "--print-uris", "download"}, names...)...)
	if err != nil {
		return nil, err
	}
	found := map[string]deb{}
	for line := range strings.Lines(string(out)) {
		d, err := parseURI(line)
		if err != nil {
			return nil, err
		}
		found[d.Name] = d
	}
	debs := make([]deb, len(names))
	for i, name := range names {
		d, ok := found[name]
		if !ok {
			return nil, fmt.Errorf("cannot find the package %s for arm64 in this release of Debian", name)
		}
		debs[i] = d
	}
	return debs, nil
}

// uriLine is a line of --print-uris: 'URI' FILE SIZE SHA256:DIGEST
var uriLine = regexp.MustCompile(`^'(https?://[^' ]+)' (([a-z0-9][a-z0-9+.-]+)_([A-Za-z0-9%.+~-]+)_(?:arm64|all)\.deb) ([0-9]{1,12}) SHA256:([0-9a-f]{64})\n?$`)

func parseURI(line string) (deb, error) {
	m := uriLine.FindStringSubmatch(line)
	if m == nil {
		return deb{}, fmt.Errorf("cannot understand apt-get --print-uris: %q", line)
	}
	size, err := strconv.ParseInt(m[5], 10, 64)
	if err != nil {
		return deb{}, err
	}
	return deb{Name: m[3], Version: strings.ReplaceAll(m[4], "%3a", ":"), URL: m[1], File: m[2], Size: size, SHA256: m[6]}, nil
}

// kernelPackage is the package that a kernel meta-package depends on.
func (a *apt) kernelPackage(ctx context.Context, meta string) (string, error) {
	out, err := a.run(ctx, "apt-cache", "depends", "--important", meta)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("cannot find the kernel behind %s", meta)
}

// fetch downloads the debs that are not here yet and verifies all. What an
// interrupted fetch left is kept; a file that is wrong is fetched again.
func (a *apt) fetch(ctx context.Context, debs []deb, say progress) error {
	var missing []deb
	var size int64
	for _, d := range debs {
		err := a.verify(d)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrNotExist) {
			say("fetching %s again: %v", d.Name, err)
		}
		missing = append(missing, d)
		size += d.Size
	}
	if len(missing) == 0 {
		return nil
	}
	say("downloading %d packages, %.1f MB", len(missing), float64(size)/1e6)
	for _, d := range missing {
		if err := a.download(ctx, d, say); err != nil {
			return err
		}
	}
	return nil
}

// download fetches one deb. apt-get download would do, but begins again at the
// first byte after an interruption.
func (a *apt) download(ctx context.Context, d deb, say progress) error {
	part := filepath.Join(a.dir, "debs/partial", d.File)
	if err := a.web.fetch(ctx, d.URL, part, d.Size, say); err != nil {
		return err
	}
	if err := verifyFile(part, d); err != nil {
		os.Remove(part) // so that the next try begins anew
		return fmt.Errorf("cannot use what %s sent: %w", d.URL, err)
	}
	if err := os.Rename(part, a.path(d)); err != nil {
		return fmt.Errorf("cannot keep %s: %w", d.File, err)
	}
	return nil
}

// path is where a deb is, or will be.
func (a *apt) path(d deb) string { return filepath.Join(a.dir, "debs", d.File) }

// verify compares a deb on disk with what the signed index says of it.
func (a *apt) verify(d deb) error { return verifyFile(a.path(d), d) }

func verifyFile(path string, d deb) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot verify %s: %w", d.File, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("cannot verify %s: %w", d.File, err)
	}
	if n != d.Size || hex.EncodeToString(h.Sum(nil)) != d.SHA256 {
		return fmt.Errorf("%s has %d bytes that are not those in Debian's index", d.File, n)
	}
	return nil
}
