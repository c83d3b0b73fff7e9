package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/arcboxlabs/arcbox-go/boot"
)

// dockerPackages are what the disk with Docker is made of.
var dockerPackages = []string{
	"docker.io", "containerd", "runc", "iptables", "tini", "ca-certificates",
	"libc6", "libcap2", "libdevmapper1.02.1", "libgcrypt20", "libgpg-error0", "libip4tc2", "libip6tc2", "liblz4-1", "liblzma5",
	"libmnl0", "libnetfilter-conntrack3", "libnfnetlink0", "libnftnl11", "libpcre2-8-0", "libseccomp2", "libselinux1", "libsystemd0",
	"libudev1", "libxtables12", "libzstd1",
}

// dockerPrograms are the paths of the programs on that disk.
var dockerPrograms = []string{
	"usr/sbin/dockerd", "usr/sbin/docker-proxy", "usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/sbin/runc", "usr/bin/tini",
	"usr/sbin/xtables-nft-multi",
}

// Lists of modules that the root has, one path a line.
const (
	dockerList   = "docker"
	btrfsList    = "btrfs"
	emulatorList = "emulate"
)

// dockerModules are what a guest with Debian's kernel loads before it starts Docker.
var dockerModules = []string{
	"overlay", "bridge", "br_netfilter", "veth", "nf_tables", "nft_compat", "nf_nat", "nft_chain_nat", "nf_conntrack_netlink",
	"xt_conntrack", "xt_addrtype", "xt_MASQUERADE", "xt_nat", "xt_tcpudp", "xt_mark", "xt_comment", "xt_REDIRECT", "nft_ct", "nft_masq",
}

// Where the disk, which the guest lays over its /usr, has what is ours.
const (
	serviceDir   = "usr/lib/arcbox/services/"
	moduleDir    = "usr/lib/arcbox/modules/"
	certificates = "usr/lib/arcbox/ca-certificates.crt"
)

// dockerLinks are the names by which Docker knows programs.
var dockerLinks = map[string]string{
	"usr/sbin/iptables": "xtables-nft-multi", "usr/sbin/iptables-save": "xtables-nft-multi", "usr/sbin/iptables-restore": "xtables-nft-multi",
	"usr/sbin/ip6tables": "xtables-nft-multi", "usr/sbin/ip6tables-save": "xtables-nft-multi", "usr/sbin/ip6tables-restore": "xtables-nft-multi",
	"usr/bin/docker-init": "tini",
}

// dockerFiles are the services: containerd, dockerd, and the way from the host to dockerd. That is one of its own, so that streams live
// on when the guest's agent dies. A collector that runs less often saves a third of what a start takes.
var dockerFiles = map[string]string{
	serviceDir + "containerd.json": `{
  "argv": ["/usr/bin/containerd", "--config", "/usr/lib/arcbox/containerd.toml"],
  "env": {"GOGC": "400", "GOMEMLIMIT": "128MiB"},
  "modules": "/` + moduleDir + dockerList + `", "notify": true, "ready_ms": 300000, "grace_ms": 15000
}
`,
	serviceDir + "dockerd.json": `{
  "argv": ["/usr/sbin/dockerd", "--host=unix:///run/docker.sock", "--containerd=/run/containerd/containerd.sock",
    "--data-root=/data/docker", "--exec-root=/run/docker", "--pidfile=/run/docker.pid",
    "--storage-driver=overlay2", "--live-restore"],
  "env": {"GOGC": "400", "GOMEMLIMIT": "192MiB", "SSL_CERT_FILE": "/` + certificates + `"},
  "needs": ["containerd"], "notify": true, "ready_ms": 600000, "grace_ms": 20000
}
`,
	serviceDir + "docker.json": `{
  "argv": ["/usr/sbin/arcbox-guest", "relay", "2375", "/run/docker.sock"],
  "needs": ["dockerd"], "notify": true
}
`,
	"usr/lib/arcbox/containerd.toml": `version = 2
root = "/data/containerd"
state = "/run/containerd"
oom_score = -500
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
address = "/run/containerd/containerd.sock"
`,
}

// isDockers tells the files of the packages that the disk may need.
func isDockers(name string) bool {
	return strings.HasPrefix(name, "usr/bin/") || strings.HasPrefix(name, "usr/sbin/") || strings.HasPrefix(name, "usr/lib/") ||
		strings.HasPrefix(name, certificateDir)
}

const certificateDir = "usr/share/ca-certificates/mozilla/"

// dockerTree is what the guest lays over its root to be able to run containers.
func dockerTree(packages tree) (tree, error) {
	t := tree{}
	programs := slices.Clone(dockerPrograms)
	for name := range packages {
		if path.Dir(name) == libDir+"/xtables" { // which iptables opens by name
			programs = append(programs, name)
		}
	}
	for _, program := range programs {
		if err := t.addProgram(packages, program); err != nil {
			return nil, err
		}
	}
	for name, target := range dockerLinks {
		t[name] = node{mode: fs.ModeSymlink | 0o777, link: target}
	}
	for name, text := range dockerFiles {
		t[name] = node{mode: 0o644, data: []byte(text)}
	}
	var all bytes.Buffer
	for _, name := range packages.names() {
		if strings.HasPrefix(name, certificateDir) {
			all.Write(packages[name].data)
		}
	}
	if all.Len() == 0 {
		return nil, errors.New("cannot find the certificates of authorities in the packages")
	}
	t[certificates] = node{mode: 0o644, data: all.Bytes()}
	t.addDirs()
	return t, nil
}

// addDocker makes the disk with Docker. It is large and changes only when Debian's packages do, so it stays in the cache, and all
// assets share it.
func (b *Builder) addDocker(ctx context.Context, p *product, debs []deb, a *apt, dst string, say progress) error {
	p.Files = append(p.Files, boot.DockerName)
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(dockerFiles)) {
		fmt.Fprintln(h, name, dockerFiles[name])
	}
	fmt.Fprintln(h, revision, dockerPrograms, dockerLinks)
	for _, d := range debs {
		p.Packages[d.File] = d.SHA256
		fmt.Fprintln(h, d.File, d.SHA256)
	}
	kept := filepath.Join(b.cache, "docker", hex.EncodeToString(h.Sum(nil))[:16]+".erofs")
	if err := b.keepDocker(ctx, debs, a, kept, say); err != nil {
		return err
	}
	return linkOrCopy(kept, filepath.Join(dst, boot.DockerName))
}

// keepDocker makes the disk in the cache, if it is not there.
func (b *Builder) keepDocker(ctx context.Context, debs []deb, a *apt, kept string, say progress) error {
	if _, err := os.Stat(kept); err == nil {
		return nil
	}
	say("making the disk with Docker")
	packages := tree{}
	for _, d := range debs {
		if err := packages.addDeb(ctx, a.path(d), isDockers); err != nil {
			return err
		}
	}
	t, err := dockerTree(packages)
	if err != nil {
		return err
	}
	dir := filepath.Dir(kept)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot keep the disk with Docker: %w", err)
	}
	scratch, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return fmt.Errorf("cannot keep the disk with Docker: %w", err)
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, boot.DockerName)
	if err := makeEROFS(ctx, t, dockerUUID, made); err != nil {
		return err
	}
	before, _ := filepath.Glob(filepath.Join(dir, "*.erofs"))
	if err := os.Rename(made, kept); err != nil {
		return fmt.Errorf("cannot keep the disk with Docker: %w", err)
	}
	for _, old := range before { // assets have links to it
		os.Remove(old)
	}
	return nil
}

// linkOrCopy makes to another name of a file, or a copy where a link cannot be.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
