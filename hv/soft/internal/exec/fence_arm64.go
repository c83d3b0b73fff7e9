package exec

// fence orders everything before it with everything after it.
//
//go:noescape
func fence()

func acquire() { fence() }
func release() { fence() }

//go:noescape
func cas8(p *uint8, old, new uint8) bool

//go:noescape
func cas16(p *uint16, old, new uint16) bool

// cas128 needs p aligned to 16 bytes.
//
//go:noescape
func cas128(p *[2]uint64, old, new [2]uint64) bool
