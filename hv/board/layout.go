package board

// Where things are in guest physical memory, the same on every engine.
const (
	GICDBase    = 0x0800_0000 // distributor, 64 KiB
	GICRBase    = 0x080a_0000 // redistributors, 128 KiB a vCPU
	UARTBase    = 0x0b00_0000 // PL011
	RTCBase     = 0x0b00_1000 // PL031
	PvpanicBase = 0x0b00_2000
	VirtioBase  = 0x0c00_0000 // virtio-mmio windows
	RAMBase     = 0x4000_0000

	virtioStride = 0x1000
	virtioWindow = 0x200
	pvpanicSize  = 2 // bytes, as QEMU describes it
	mmioPage     = 0x1000
)

// Interrupts. Shared ones are INTIDs, 32 more than the SPI number that a
// devicetree names.
const (
	intUART   = 33
	intRTC    = 34
	intVirtio = 48 // the first window's

	ppiVTimer = 27
	ppiPTimer = 30
)

// Bounds of a Config.
const (
	MaxCPUs    = 32
	MaxDevices = 64
	MinMemory  = 32 << 20

	maxCmdline = 2047 // bytes; COMMAND_LINE_SIZE of arm64 is 2048 with NUL
)
