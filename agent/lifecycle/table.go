package lifecycle

// State is where a machine is in its life. The values are on the wire.
type State string

// The states.
const (
	NotExist State = "not-exist" // no record
	Creating State = "creating"  // the record and the disk are being made
	Created  State = "created"   // never started
	Starting State = "starting"  // from the fetch of boot assets to the guest agent's answer
	Running  State = "running"   // the guest agent has answered
	Idle     State = "idle"      // running, and giving its memory back
	Stopping State = "stopping"  // asked to end
	Stopped  State = "stopped"   // ended
	Failed   State = "failed"    // ended badly; perhaps about to be tried again
)

// Event is what can happen to a machine.
type Event string

// Requests: a state without a row for one refuses it.
const (
	Create Event = "create" // make it, and leave it at that
	Need   Event = "need"   // somebody needs the guest
	Halt   Event = "halt"   // stop gracefully
	Kill   Event = "kill"   // stop now
	Remove Event = "remove" // forget the record and the disk
)

// Reports and timers: a state without a row for one ignores it.
const (
	Made       Event = "made"        // Make has succeeded
	MakeFailed Event = "make-failed" // Make has failed
	Ready      Event = "ready"       // the guest agent has answered
	BootFailed Event = "boot-failed" // Boot has failed
	Down       Event = "down"        // the guest has powered off and its process is gone
	Lost       Event = "lost"        // the process died, the guest crashed, or it answers no more
	Quiet      Event = "quiet"       // nothing has used the machine for the idle time
	Busy       Event = "busy"        // something uses it again
	Expired    Event = "expired"     // idle for the auto-stop time
	GraceOver  Event = "grace-over"  // the graceful stop has taken its time
	Late       Event = "late"        // the deadline of the whole start has passed
	Retry      Event = "retry"       // the time to try again has come
)

// Effect is what the owner has the Driver do.
type Effect string

// The effects. None may block; each reports by Machine.Report.
const (
	Make     Effect = "make"     // make record and disk; reports Made or MakeFailed
	Boot     Effect = "boot"     // end what an earlier epoch left, then start the VM; reports Ready, BootFailed or Lost
	Rest     Effect = "rest"     // let the guest give memory back
	Wake     Effect = "wake"     // undo Rest at once and ping the guest agent; reports Ready or Lost
	Shutdown Effect = "shutdown" // ask the guest to power off; reports Down
	Destroy  Effect = "destroy"  // end the process, and a Boot of that epoch that is under way; reports Down
	Delete   Effect = "delete"   // remove record and disk
)

// A move is one row of the table: where an event leads, and what is done.
type move struct {
	To State
	Do []Effect
}

// table is the whole policy.
var table = map[State]map[Event]move{
	NotExist: {
		Create: {Creating, []Effect{Make}},
		Need:   {Creating, []Effect{Make}},
		Halt:   {NotExist, nil},
		Kill:   {NotExist, nil},
		Remove: {NotExist, nil},
	},
	Creating: {
		Need:       {Creating, nil},
		Halt:       {Creating, nil}, // it ends in Created and is not started
		Kill:       {Creating, nil},
		Made:       {Created, nil},
		MakeFailed: {NotExist, nil},
	},
	Created: {
		Need:   {Starting, []Effect{Boot}},
		Halt:   {Created, nil},
		Kill:   {Created, nil},
		Remove: {NotExist, []Effect{Delete}},
	},
	Starting: {
		Need:       {Starting, nil},
		Halt:       {Stopping, []Effect{Destroy}}, // there is no guest agent to ask yet
		Kill:       {Stopping, []Effect{Destroy}},
		Ready:      {Running, nil},
		BootFailed: {Failed, []Effect{Destroy}},
		Lost:       {Failed, []Effect{Destroy}},
		Down:       {Failed, nil},
		Late:       {Failed, []Effect{Destroy}},
	},
	Running: {
		Need:  {Running, nil},
		Halt:  {Stopping, []Effect{Shutdown}},
		Kill:  {Stopping, []Effect{Destroy}},
		Ready: {Running, nil}, // the answer to Wake
		Busy:  {Running, nil},
		Quiet: {Idle, []Effect{Rest}},
		Lost:  {Failed, []Effect{Destroy}},
		Down:  {Stopped, nil},
		Late:  {Failed, []Effect{Destroy}}, // woken, and no answer
	},
	Idle: {
		Need:    {Running, []Effect{Wake}},
		Busy:    {Running, []Effect{Wake}},
		Halt:    {Stopping, []Effect{Shutdown}},
		Kill:    {Stopping, []Effect{Destroy}},
		Expired: {Stopping, []Effect{Shutdown}},
		Lost:    {Failed, []Effect{Destroy}},
		Down:    {Stopped, nil},
	},
	Stopping: {
		Need:      {Stopping, nil}, // it starts again when it has stopped
		Halt:      {Stopping, nil},
		Kill:      {Stopping, []Effect{Destroy}},
		GraceOver: {Stopping, []Effect{Destroy}},
		Lost:      {Stopping, []Effect{Destroy}},
		Down:      {Stopped, nil},
	},
	Stopped: {
		Need:   {Starting, []Effect{Boot}},
		Halt:   {Stopped, nil},
		Kill:   {Stopped, nil},
		Remove: {NotExist, []Effect{Delete}},
	},
	Failed: {
		Need:  {Starting, []Effect{Boot}},
		Retry: {Starting, []Effect{Boot}},
		Halt:  {Stopping, []Effect{Destroy}},
		Kill:  {Stopping, []Effect{Destroy}},
	},
}

// States are all states in the order of a life.
var States = []State{NotExist, Creating, Created, Starting, Running, Idle, Stopping, Stopped, Failed}

// requests are the events that callers are answered for.
var requests = []Event{Create, Need, Halt, Kill, Remove}

// reports are all others.
var reports = []Event{Made, MakeFailed, Ready, BootFailed, Down, Lost, Quiet, Busy, Expired, GraceOver, Late, Retry}
