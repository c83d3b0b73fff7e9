package userland

import (
	"encoding/binary"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// System call numbers of arm64 (asm-generic/unistd.h).
const (
	sysIoctl, sysReadlinkat, sysFstatat, sysFstat             = 29, 78, 79, 80
	sysRead, sysWrite, sysWritev                              = 63, 64, 66
	sysExit, sysExitGroup, sysSetTIDAddress, sysSetRobustList = 93, 94, 96, 99
	sysSigaction, sysSigprocmask, sysGetpid, sysGettid        = 134, 135, 172, 178
	sysBrk, sysMunmap, sysMmap, sysMprotect, sysMadvise       = 214, 215, 222, 226, 233
)

// Error numbers, negated as a system call returns them.
const (
	enoent = -2 & (1<<64 - 1)
	ebadf  = -9 & (1<<64 - 1)
	enomem = -12 & (1<<64 - 1)
	efault = -14 & (1<<64 - 1)
	enotty = -25 & (1<<64 - 1)
	enosys = -38 & (1<<64 - 1)
)

// systemCall answers the SVC that the program is in.
func (p *process) systemCall() error {
	var x [9]uint64
	for i := range x {
		v, err := p.cpu.Reg(hv.Reg(i))
		if err != nil {
			return err
		}
		x[i] = v
	}
	if len(p.Output) > MaxOutput {
		return ErrOutput
	}
	return p.cpu.SetReg(hv.X0, p.answer(x[8], x[0], x[1], x[2], x[3]))
}

// answer is what system call number nr returns.
func (p *process) answer(nr, a, b, c, flags uint64) uint64 {
	switch nr {
	case sysExit, sysExitGroup:
		p.done, p.Code = true, int(uint8(a))
		return 0
	case sysRead, sysMunmap, sysMprotect, sysMadvise, sysSigaction, sysSigprocmask, sysSetRobustList:
		return 0
	case sysWrite:
		return p.write(a, b, c)
	case sysWritev:
		return p.writev(a, b, c)
	case sysBrk:
		return p.setBrk(a)
	case sysMmap:
		return p.mmap(a, b, flags)
	case sysFstat:
		return p.stat(b)
	case sysFstatat, sysReadlinkat:
		return enoent
	case sysIoctl:
		return enotty
	case sysGetpid, sysGettid, sysSetTIDAddress:
		return 1
	}
	p.Unknown = append(p.Unknown, nr)
	return enosys
}

// bytes are n bytes of the program's memory at va, or nil.
func (p *process) bytes(va, n uint64) []byte {
	if va >= homeBase || n > homeBase-va {
		return nil
	}
	return p.ram.Bytes()[va : va+n]
}

func (p *process) write(fd, va, n uint64) uint64 {
	b := p.bytes(va, n)
	switch {
	case fd != 1 && fd != 2:
		return ebadf
	case b == nil:
		return efault
	}
	p.Output = append(p.Output, b...)
	return n
}

func (p *process) writev(fd, iov, count uint64) (sum uint64) {
	for i := range min(count, 1024) {
		v := p.bytes(iov+16*i, 16)
		if v == nil {
			return efault
		}
		n := p.write(fd, binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:]))
		if int64(n) < 0 {
			return n
		}
		sum += n
	}
	return sum
}

func (p *process) setBrk(to uint64) uint64 {
	if to >= p.brk && to < mapBase {
		p.brk = to
	}
	return p.brk
}

// mmap gives fresh pages; only anonymous memory (MAP_ANONYMOUS, 0x20) exists,
// and only where it is put here.
func (p *process) mmap(_, n, flags uint64) uint64 {
	n = (n + pageSize - 1) &^ (pageSize - 1)
	if flags&0x20 == 0 || n == 0 || n > mapEnd-p.mapped {
		return enomem
	}
	at := p.mapped
	p.mapped += n
	return at
}

// stat says that every descriptor is a pipe: st_mode, at byte 16, S_IFIFO.
func (p *process) stat(va uint64) uint64 {
	b := p.bytes(va, 128)
	if b == nil {
		return efault
	}
	clear(b)
	binary.LittleEndian.PutUint32(b[16:], 0o010600)
	return 0
}
