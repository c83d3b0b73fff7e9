package board

import (
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/boot/fdt"
	"github.com/arcboxlabs/arcbox-go/hv/irq"
)

// Handles by which nodes name each other.
const (
	phandleGIC   = 1
	phandleClock = 2
)

// Cells of an interrupt specifier (arm,gic-v3 binding).
const (
	cellSPI   = 0
	cellPPI   = 1
	levelHigh = 4
)

const (
	uartPath = "/pl011@b000000"
	apbClock = 24_000_000 // Hz; nothing depends on it
)

// seeds are what a guest may take its first randomness from.
type seeds struct {
	rng   [64]byte
	kaslr uint64
}

// newSeeds stretches a seed, or asks the host for one.
func newSeeds(seed []byte) seeds {
	if seed == nil {
		seed = make([]byte, 64)
		rand.Read(seed) // never fails
	}
	s := seeds{rng: sha512.Sum512(append([]byte("rng-seed\x00"), seed...))}
	k := sha512.Sum512(append([]byte("kaslr-seed\x00"), seed...))
	s.kaslr = binary.LittleEndian.Uint64(k[:])
	return s
}

// describe makes the devicetree. It does not depend on where the blob itself
// goes, and its size only on what is present.
func describe(cfg Config, s seeds, p placement) ([]byte, error) {
	root := &fdt.Node{}
	root.SetU32("#address-cells", 2)
	root.SetU32("#size-cells", 2)
	root.SetU32("interrupt-parent", phandleGIC)
	root.SetString("compatible", "linux,dummy-virt")
	root.SetString("model", "ArcBox")
	describeChosen(root, cfg.Cmdline, s, p)
	mem := root.Add(fmt.Sprintf("memory@%x", RAMBase))
	mem.SetString("device_type", "memory")
	mem.SetU64("reg", RAMBase, cfg.Memory)
	describeCPUs(root, cfg.CPUs)
	describePlatform(root, redistributors(cfg))
	for i := range cfg.Devices {
		base := uint64(VirtioBase + i*virtioStride)
		n := root.Add(fmt.Sprintf("virtio_mmio@%x", base))
		n.SetString("compatible", "virtio,mmio")
		n.SetU64("reg", base, virtioWindow)
		n.SetU32("interrupts", spi(intVirtio+uint32(i))...)
		n.Set("dma-coherent", nil)
	}
	return (&fdt.Tree{Root: root}).Marshal()
}

func describeChosen(root *fdt.Node, cmdline string, s seeds, p placement) {
	n := root.Add("chosen")
	n.SetString("bootargs", cmdline)
	n.SetString("stdout-path", uartPath)
	n.Set("rng-seed", s.rng[:])
	n.SetU64("kaslr-seed", s.kaslr)
	if p.initrdEnd != 0 {
		n.SetU64("linux,initrd-start", p.initrd)
		n.SetU64("linux,initrd-end", p.initrdEnd)
	}
}

func describeCPUs(root *fdt.Node, cpus int) {
	list := root.Add("cpus")
	list.SetU32("#address-cells", 1)
	list.SetU32("#size-cells", 0)
	for i := range cpus {
		n := list.Add(fmt.Sprintf("cpu@%x", i))
		n.SetString("device_type", "cpu")
		n.SetString("compatible", "arm,armv8")
		n.SetU32("reg", uint32(i))
		n.SetString("enable-method", "psci")
	}
	n := root.Add("psci")
	n.SetString("compatible", "arm,psci-1.0", "arm,psci-0.2")
	n.SetString("method", "hvc")
}

// redistributors is how many there are. The engine's own GIC has one for each vCPU that
// it could have, and only the last of them says that it is: the guest walks them all.
func redistributors(cfg Config) int {
	if caps := cfg.Engine.Caps(); caps.GIC {
		return min(caps.MaxVCPUs, (UARTBase-GICRBase)/irq.RedistributorSize)
	}
	return cfg.CPUs
}

// describePlatform has what every machine of ours has.
func describePlatform(root *fdt.Node, redistributors int) {
	timer := root.Add("timer")
	timer.SetString("compatible", "arm,armv8-timer")
	// Secure, physical, virtual and hypervisor timer, in the binding's order.
	timer.SetU32("interrupts", cellPPI, 13, levelHigh, cellPPI, ppiPTimer-irq.FirstPPI, levelHigh,
		cellPPI, ppiVTimer-irq.FirstPPI, levelHigh, cellPPI, 10, levelHigh)
	timer.Set("always-on", nil)

	gic := root.Add(fmt.Sprintf("intc@%x", GICDBase))
	gic.SetString("compatible", "arm,gic-v3")
	gic.SetU32("#interrupt-cells", 3)
	gic.SetU32("#address-cells", 0)
	gic.Set("interrupt-controller", nil)
	gic.SetU64("reg", GICDBase, irq.DistributorSize, GICRBase, uint64(redistributors)*irq.RedistributorSize)
	gic.SetU32("phandle", phandleGIC)

	clock := root.Add("apb-pclk")
	clock.SetString("compatible", "fixed-clock")
	clock.SetU32("#clock-cells", 0)
	clock.SetU32("clock-frequency", apbClock)
	clock.SetString("clock-output-names", "clk24mhz")
	clock.SetU32("phandle", phandleClock)

	uart := primecell(root, "pl011", UARTBase, intUART)
	uart.SetU32("clocks", phandleClock, phandleClock)
	uart.SetString("clock-names", "uartclk", "apb_pclk")
	rtc := primecell(root, "pl031", RTCBase, intRTC)
	rtc.SetU32("clocks", phandleClock)
	rtc.SetString("clock-names", "apb_pclk")

	pv := root.Add(fmt.Sprintf("pvpanic@%x", PvpanicBase))
	pv.SetString("compatible", "qemu,pvpanic-mmio")
	pv.SetU64("reg", PvpanicBase, pvpanicSize)
}

func primecell(root *fdt.Node, name string, base uint64, intid uint32) *fdt.Node {
	n := root.Add(fmt.Sprintf("%s@%x", name, base))
	n.SetString("compatible", "arm,"+name, "arm,primecell")
	n.SetU64("reg", base, mmioPage)
	n.SetU32("interrupts", spi(intid)...)
	return n
}

// spi is the specifier of a shared interrupt, which counts from INTID 32.
func spi(intid uint32) []uint32 { return []uint32{cellSPI, intid - irq.FirstSPI, levelHigh} }
