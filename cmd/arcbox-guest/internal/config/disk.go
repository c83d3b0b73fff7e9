package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The config disk, version 1. Sector 0 begins with one line of text,
//
//	ARCBOX-CONFIG 1 LENGTH
//
// ended by a newline and padded with anything to 512 bytes. LENGTH bytes
// (decimal, at most MaxDiskConfig) of JSON begin at sector 1.
const (
	diskMagic  = "ARCBOX-CONFIG "
	sectorSize = 512

	// MaxDiskConfig bounds the JSON on a config disk, in bytes.
	MaxDiskConfig = 1 << 20
)

// ErrNoConfig says that a disk is something else than a config disk.
var ErrNoConfig = errors.New("not a config disk")

// diskConfig is the JSON on a config disk.
type diskConfig struct {
	Run      string            `json:"run,omitempty"`
	Exec     []string          `json:"exec,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
	Hostname string            `json:"hostname,omitempty"`
	Data     string            `json:"data,omitempty"`
}

// FromDisk reads a config disk. A disk without the magic answers ErrNoConfig;
// one that has it and then breaks the format answers another error.
func FromDisk(r io.ReaderAt) (Config, error) {
	var sector [sectorSize]byte
	if n, _ := r.ReadAt(sector[:], 0); n < len(sector) || !bytes.HasPrefix(sector[:], []byte(diskMagic)) {
		return Config{}, ErrNoConfig
	}
	n, err := diskLength(sector[:])
	if err != nil {
		return Config{}, err
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, sectorSize, int64(n)), text); err != nil {
		return Config{}, fmt.Errorf("cannot read the config disk: it ends before its %d bytes of JSON: %w", n, err)
	}
	return decode(text)
}

// diskLength reads the header line of a sector that begins with the magic.
func diskLength(sector []byte) (int, error) {
	line, _, ok := bytes.Cut(sector[len(diskMagic):], []byte("\n"))
	version, length, two := strings.Cut(string(line), " ")
	if !ok || !two {
		return 0, fmt.Errorf("cannot read the config disk: its first line is not %q", diskMagic+"1 LENGTH")
	}
	if version != "1" {
		return 0, fmt.Errorf("cannot read the config disk: version %.8q is not 1", version)
	}
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil || n > MaxDiskConfig {
		return 0, fmt.Errorf("cannot read the config disk: length %.16q is not a number up to %d", length, MaxDiskConfig)
	}
	return int(n), nil
}

// decode refuses fields it does not know: a host that asks for more than this
// guest can do must hear about it.
func decode(text []byte) (Config, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var c diskConfig
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("cannot read the config disk: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Config{}, errors.New("cannot read the config disk: something follows the JSON object")
	}
	return Config{Run: c.Run, Exec: c.Exec, Env: c.Env, Hostname: c.Hostname, Data: c.Data}, nil
}
