package mmio

// Registers (virtio 1.2, section 4.2.2). All are 32 bits wide but those
// of the configuration space.
const (
	regMagic         = 0x000
	regVersion       = 0x004
	regDeviceID      = 0x008
	regVendorID      = 0x00c
	regDevFeatures   = 0x010
	regDevFeatSel    = 0x014
	regDrvFeatures   = 0x020
	regDrvFeatSel    = 0x024
	regQueueSel      = 0x030
	regQueueMax      = 0x034
	regQueueSize     = 0x038
	regQueueReady    = 0x044
	regQueueNotify   = 0x050
	regIntStatus     = 0x060
	regIntAck        = 0x064
	regStatus        = 0x070
	regQueueDescLow  = 0x080
	regQueueDescHigh = 0x084
	regQueueDrvLow   = 0x090
	regQueueDrvHigh  = 0x094
	regQueueDevLow   = 0x0a0
	regQueueDevHigh  = 0x0a4
	regShmSel        = 0x0ac
	regShmLenLow     = 0x0b0
	regShmLenHigh    = 0x0b4
	regShmBaseLow    = 0x0b8
	regShmBaseHigh   = 0x0bc
	regConfigGen     = 0x0fc
	regConfig        = 0x100

	magic   = 0x74726976 // "virt"
	version = 2
	vendor  = 0x42435241 // "ARCB"
)

// Device status (section 2.1). Reset is the value 0.
const (
	stAcknowledge = 0x01
	stDriver      = 0x02
	stDriverOK    = 0x04
	stFeaturesOK  = 0x08
	stNeedsReset  = 0x40
	stFailed      = 0x80
)

// Interrupt status (section 4.2.2).
const (
	intUsed   = 1 // a used buffer
	intConfig = 2 // a configuration change
)

// The states that a driver walks through, as what it has written to Status.
const (
	reset      = 0
	known      = stAcknowledge
	driven     = known | stDriver
	negotiated = driven | stFeaturesOK
	live       = negotiated | stDriverOK
)

// next is which states may follow a state (section 3.1.1). Reset may follow any, and
// so may any of them with FAILED; all else is ignored. A driver may set the two
// bits that mean nothing to us in one write.
var next = map[uint32][]uint32{
	reset:      {known, driven},
	known:      {driven},
	driven:     {negotiated},
	negotiated: {live},
	live:       {},
}
