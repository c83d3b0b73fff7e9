package hvtest

import (
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var kickChecks = []check{
	{"early: a Kick before Run ends it", "Kick makes a Run end with Kicked: the one under way or, when none is, the next one", nil, kickEarly},
	{"early: several Kicks are one", "Kicks before that Run returns are one kick", nil, kickSeveral},
	{"during: a Kick ends a busy guest", "Kick makes a Run end with Kicked: the one under way", nil, kickDuring},
	{"late: a Kick after Run ends the next one", "Kick makes a Run end with Kicked: ... when none is, the next one", nil, kickLate},
	{"a storm of Kicks loses nothing", "Kick: any goroutine may call it at any time", nil, kickStorm},
	{"a vCPU parked after WFI comes back", "Kick does not wake a goroutine that waits outside Run: it must also be told another way", nil, kickParked},
	{"a Kick ends a guest that faults for ever", "Kick: any goroutine may call it at any time", nil, kickFaultLoop},
}

func kickEarly(m *machine) {
	m.exec(asm.New(code).Op(asm.AddImm(1, 1, 1), asm.Hvc(1)))
	m.cpu.Kick()
	m.run(hv.Kicked)
	if pc := m.get(hv.PC); pc < code || pc > code+4 {
		m.Errorf("PC %#x after Kicked, want within the program", pc)
	}
	m.runHVC(1)
	m.wantReg(1, 1) // nothing ran twice
}

func kickSeveral(m *machine) {
	m.exec(asm.New(code).Op(asm.Nop(), asm.Hvc(1), asm.Hvc(2)))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(m.cpu.Kick)
	}
	wg.Wait()
	m.run(hv.Kicked)
	m.runHVC(1)
	m.runHVC(2)
}

func kickDuring(m *machine) {
	m.exec(spin())
	for range 20 { // one that is lost would leave the guest running for ever
		m.kickedSoon()
	}
	m.kickedWhen(func() bool { return m.get(1) != 0 })
	if m.get(1) == 0 {
		m.Error("the guest made no progress between kicks")
	}
}

func kickLate(m *machine) {
	m.exec(asm.New(code).Op(asm.Hvc(1), asm.Hvc(2)))
	m.runHVC(1)
	m.cpu.Kick()
	m.run(hv.Kicked)
	m.runHVC(2)
}

// kickStorm counts with HVC exits while others kick: the guest must count
// right, and there cannot be more Kicked than kicks.
func kickStorm(m *machine) {
	const calls = 2000
	p := asm.New(code)
	p.Label("again")
	m.exec(p.Op(asm.AddImm(1, 1, 1), asm.Hvc(1)).B("again"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var kicks [2]int
	for i := range kicks {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					m.cpu.Kick()
					kicks[i]++
					time.Sleep(10 * time.Microsecond)
				}
			}
		})
	}
	hvc, kicked := 0, 0
	var e hv.Exit
	for hvc < calls && m.cpu.Run(&e) == nil {
		switch e.Kind {
		case hv.HVC:
			hvc++
		case hv.Kicked:
			kicked++
		}
	}
	close(stop)
	wg.Wait()
	m.wantReg(1, calls)
	if hvc != calls || kicked > kicks[0]+kicks[1] {
		m.Errorf("%d calls, want %d; %d kicked exits of %d kicks", hvc, calls, kicked, kicks[0]+kicks[1])
	}
	m.must(m.cpu.Run(&e)) // at most one kick is left
	if e.Kind == hv.Kicked {
		m.must(m.cpu.Run(&e))
	}
	if e.Kind != hv.HVC {
		m.Errorf("exit %s after the storm, want hvc", describe(e))
	}
}

func kickParked(m *machine) {
	m.exec(asm.New(code).Op(asm.Wfi(), asm.Hvc(1)))
	m.run(hv.WFI)
	wake := make(chan struct{}, 1)
	go func() {
		time.Sleep(time.Millisecond)
		m.cpu.Kick()
		wake <- struct{}{}
	}()
	<-wake // the caller's own way of being told
	m.run(hv.Kicked)
	m.runHVC(1)
}

// kickFaultLoop: an undefined instruction whose vector is undefined too takes
// exceptions without end, with no block of code between.
func kickFaultLoop(m *machine) {
	p := asm.New(vectors)
	for i := range uint64(16) {
		p.Org(vectors + i*0x80).Op(asm.Udf(0))
	}
	m.load(p)
	m.exec(asm.New(code).Op(asm.Udf(0)))
	m.kickedWhen(func() bool { return m.pcIn(vectors, vectors+0x800) })
	if pc := m.get(hv.PC); pc < vectors || pc >= vectors+0x800 {
		m.Errorf("PC %#x, want within the vectors", pc)
	}
}
