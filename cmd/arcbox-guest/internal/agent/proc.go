//go:build linux

package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// What the kernel tells in text. What it does not tell is 0.

func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

// field is the number after a name at the beginning of a line.
func field(text, name string) uint64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			words := strings.Fields(rest)
			if len(words) == 0 {
				return 0
			}
			n, err := strconv.ParseUint(words[0], 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// memory is how the guest's stands.
func memory() guestapi.Memory {
	return memoryOf(readText("/proc/meminfo"), readText("/proc/pressure/memory"), ballooned())
}

// memoryReserve is what a guest needs beside what it uses: a quarter of that, and this, in bytes.
const memoryReserve = 64 << 20

// memoryOf makes sense of the kernel's texts. Pages in the balloon count as used in them, if
// the guest may take them back.
func memoryOf(meminfo, pressure string, balloon uint64) guestapi.Memory {
	const kilo = 1 << 10
	m := guestapi.Memory{
		Total: kilo * field(meminfo, "MemTotal:"), Available: kilo * field(meminfo, "MemAvailable:"),
		Free: kilo * field(meminfo, "MemFree:"), Pressure: average(pressure),
	}
	used := m.Total - min(m.Total, m.Available)
	used -= min(used, balloon)
	m.Needed = min(m.Total, used+used/4+memoryReserve)
	return m
}

// average is avg10 of the line "some" of a pressure file, in percent.
func average(pressure string) float64 {
	for line := range strings.Lines(pressure) {
		if rest, ok := strings.CutPrefix(line, "some avg10="); ok {
			number, _, _ := strings.Cut(rest, " ")
			if f, err := strconv.ParseFloat(number, 64); err == nil {
				return f
			}
		}
	}
	return 0
}

// Of the balloon's device: its type, and the feature by which the guest may take pages back.
const (
	balloonDevice  = "0x0005"
	deflateOnOOM   = 2 // VIRTIO_BALLOON_F_DEFLATE_ON_OOM
	virtioDevices  = "/sys/bus/virtio/devices/*/device"
	virtioFeatures = "features"
)

// ballooned is how many bytes the balloon holds that count as used.
func ballooned() uint64 {
	devices, err := filepath.Glob(virtioDevices)
	if err != nil {
		return 0
	}
	for _, device := range devices {
		if strings.TrimSpace(readText(device)) != balloonDevice {
			continue
		}
		features := readText(filepath.Join(filepath.Dir(device), virtioFeatures)) // bit by bit, the first first
		if len(features) <= deflateOnOOM || features[deflateOnOOM] != '1' {
			return 0
		}
		text := readText("/proc/vmstat")
		in, out := field(text, "balloon_inflate "), field(text, "balloon_deflate ")
		return (in - min(in, out)) * uint64(os.Getpagesize())
	}
	return 0
}

// load is the number of runnable tasks, on average over a minute.
func load() float64 {
	words := strings.Fields(readText("/proc/loadavg"))
	if len(words) == 0 {
		return 0
	}
	f, err := strconv.ParseFloat(words[0], 64)
	if err != nil {
		return 0
	}
	return f
}
