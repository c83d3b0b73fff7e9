package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

const (
	// recordVersion is what this program writes, and the newest that it reads.
	recordVersion = 1
	// maxRecord is the longest record in bytes: it travels as a VM's label.
	maxRecord = vmapi.MaxLabel
	// maxBytes bounds sizes in records, 8 EiB less one.
	maxBytes = 1<<63 - 1
)

// CIDs of guests: 0 to 2 have meanings of their own, and the last is a wildcard.
const (
	firstCID = 3
	lastCID  = 1<<32 - 2
)

// A Record is what is kept of a machine between starts. The fields of the upper part are what the machine was
// last made of; Asked is what somebody asked for by name, which no change of the configuration touches.
type Record struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	Role    string `json:"role"` // RoleNative or RoleRosetta
	CID     uint32 `json:"cid"`  // the guest's vsock address; no other record has it

	CPUs    int      `json:"cpus"`
	Memory  uint64   `json:"memory"` // bytes
	Disk    int64    `json:"disk"`   // nominal bytes, for people
	Backend string   `json:"backend,omitempty"`
	Asset   string   `json:"asset,omitempty"` // ID of the boot asset
	Kernel  string   `json:"kernel,omitempty"`
	Initrd  string   `json:"initrd,omitempty"`
	Cmdline string   `json:"cmdline,omitempty"`
	Disks   []string `json:"block_devices,omitempty"` // vda first, "PATH" or "PATH,ro"
	Data    string   `json:"data_image"`              // path of its own disk, vdb; the same for its whole life

	Asked      Asked     `json:"asked"`
	CreatedAt  time.Time `json:"created_at"`
	Generation uint64    `json:"generation"` // how often it has been made anew

	// Kept for who reads the original's records; nothing here uses them.
	Distro        string `json:"distro,omitempty"`
	DistroVersion string `json:"distro_version,omitempty"`
	DiskPath      string `json:"disk_path,omitempty"`
	SSHKeyPath    string `json:"ssh_key_path,omitempty"`
	IPAddress     string `json:"ip_address,omitempty"`

	// unknown are fields of a later program, which are written back as they were.
	unknown map[string]json.RawMessage
}

// Asked is what somebody asked for by name; zero values follow the configuration.
type Asked struct {
	CPUs    int      `json:"cpus,omitempty"`
	Memory  uint64   `json:"memory,omitempty"`
	Disk    int64    `json:"disk,omitempty"`
	Kernel  string   `json:"kernel,omitempty"`
	Cmdline string   `json:"cmdline,omitempty"` // added to the asset's
	Disks   []string `json:"disks,omitempty"`   // behind root and data
	Backend string   `json:"backend,omitempty"`
}

// The roles.
const (
	RoleNative  = "native"
	RoleRosetta = "rosetta" // also runs x86-64 programs
)

// names is what a machine may be called: it becomes a file's name and part of a socket's, whose path is short.
var names = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// checkName says why no machine can have that name.
func checkName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("cannot call a machine %q: use up to 32 of a-z, 0-9 and -, and no - at an end", name)
	}
	return nil
}

// parseRecord reads what a file has. It trusts nothing.
func parseRecord(b []byte) (*Record, error) {
	if len(b) > maxRecord {
		return nil, fmt.Errorf("it has %d bytes; a record has at most %d", len(b), maxRecord)
	}
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &r.unknown); err != nil {
		return nil, err
	}
	for name := range knownFields() {
		delete(r.unknown, name)
	}
	return r, r.check()
}

// knownFields are the names that a Record itself has.
func knownFields() map[string]json.RawMessage {
	full := Record{
		Backend: "x", Asset: "x", Kernel: "x", Initrd: "x", Cmdline: "x", Disks: []string{"x"},
		Distro: "x", DistroVersion: "x", DiskPath: "x", SSHKeyPath: "x", IPAddress: "x",
	}
	b, err := json.Marshal(full)
	if err != nil {
		panic("a record cannot be written: " + err.Error())
	}
	var known map[string]json.RawMessage
	if err := json.Unmarshal(b, &known); err != nil {
		panic("a record cannot be read: " + err.Error())
	}
	return known
}

// check says what no machine can be.
func (r *Record) check() error {
	switch {
	case r.Version > recordVersion:
		return fmt.Errorf("it is of version %d, and this program knows %d; run a newer one", r.Version, recordVersion)
	case r.Version < 1:
		return errors.New("it has no version")
	case r.CID < firstCID || r.CID > lastCID:
		return fmt.Errorf("its cid is %d", r.CID)
	case r.Role != RoleNative && r.Role != RoleRosetta:
		return fmt.Errorf("its role is %q; the roles are %s and %s", r.Role, RoleNative, RoleRosetta)
	case !filepath.IsAbs(r.Data):
		return fmt.Errorf("its data image is %q, not an absolute path", r.Data)
	case r.CPUs < 0 || r.CPUs > maxCPUs || r.Disk < 0 || r.Memory > maxBytes:
		return fmt.Errorf("it has %d CPUs, %d bytes of memory and %d of disk", r.CPUs, r.Memory, r.Disk)
	}
	if err := checkName(r.Name); err != nil {
		return err
	}
	return r.Asked.check()
}

// maxCPUs is what no engine exceeds.
const maxCPUs = 64

// check says what cannot be asked for.
func (a *Asked) check() error {
	switch {
	case a.CPUs < 0 || a.CPUs > maxCPUs:
		return fmt.Errorf("cannot have %d CPUs: ask for 1 to %d", a.CPUs, maxCPUs)
	case a.Memory != 0 && (a.Memory < minMemory || a.Memory > maxBytes || a.Memory%(1<<20) != 0):
		return fmt.Errorf("cannot have %d bytes of memory: ask for whole MiB from %d on", a.Memory, minMemory>>20)
	case a.Disk < 0:
		return fmt.Errorf("cannot have a disk of %d bytes", a.Disk)
	case len(a.Disks) > maxMoreDisks:
		return fmt.Errorf("cannot have %d further disks: at most %d", len(a.Disks), maxMoreDisks)
	case a.Kernel != "" && !filepath.IsAbs(a.Kernel):
		return fmt.Errorf("cannot boot the kernel %q: give an absolute path", a.Kernel)
	}
	for _, d := range a.Disks {
		if !filepath.IsAbs(d) {
			return fmt.Errorf("cannot use the disk %q: give an absolute path", d)
		}
	}
	return nil
}

// maxMoreDisks are what root, data, the emulator and Docker leave.
const maxMoreDisks = vmapi.MaxDisks - 4

// minMemory is the least that a guest boots in.
const minMemory = 64 << 20

// encode is the record as it is written, with what was not understood when it was read.
func (r *Record) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	fields := maps.Clone(r.unknown)
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	b, err = json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	if out.Len() > maxRecord {
		return nil, fmt.Errorf("cannot keep a record of %d bytes: at most %d", out.Len(), maxRecord)
	}
	return out.Bytes(), nil
}

// clone is a copy that shares nothing which either would change.
func (r *Record) clone() *Record {
	c := *r
	c.Disks, c.Asked.Disks = slices.Clone(r.Disks), slices.Clone(r.Asked.Disks)
	return &c
}

// newRecord is a machine that somebody asks for, with its data in the directory data.
func newRecord(spec agentapi.Spec, cid uint32, data string) (*Record, error) {
	r := &Record{
		Version: recordVersion, Name: spec.Name, Role: spec.Role, CID: cid, CreatedAt: time.Now().UTC().Truncate(time.Second), Generation: 1,
		Asked: Asked{
			CPUs: spec.CPUs, Memory: spec.Memory, Disk: spec.Disk, Kernel: spec.Kernel, Cmdline: spec.Cmdline, Disks: spec.Disks, Backend: spec.Backend,
		},
	}
	if r.Role == "" {
		r.Role = RoleNative
	}
	r.Data = filepath.Join(data, imageName(r.Name, r.Role))
	return r, r.check()
}

// RosettaMachine is the name of the machine of RoleRosetta whose disk has the original's name.
const RosettaMachine = "rosetta"

// imageName is the file name of a machine's own disk.
func imageName(name, role string) string {
	switch {
	case name == agentapi.DefaultMachine:
		return storage.DefaultName
	case name == RosettaMachine && role == RoleRosetta:
		return "docker-rosetta.img"
	}
	return name + ".img"
}
