package flows

import (
	"errors"
	"fmt"
	"math/bits"
	"unsafe"
)

// MaxCapacity is the largest number of flows a Table can have room for.
const MaxCapacity = 1 << 24

// Errors of Insert and PickPort. Both are everyday outcomes, not faults.
var (
	ErrFull   = errors.New("flow table is full")
	ErrNoPort = errors.New("every source port of the bucket is in use")
)

// Config says what table New shall make.
type Config struct {
	// Capacity is how many flows there is room for, 1 to MaxCapacity. A flow
	// costs 96 bytes, all of which New takes at once.
	Capacity int

	// Seed keys the index. It should be random and secret, so that nobody can
	// choose packets that all fall into the same lines.
	Seed uint64

	// Removed, if not nil, is called once for every flow that Insert returned,
	// when it ends, for whatever reason; not for those that Close drops. The
	// Record is valid during the call, and Removed must not call the Table.
	Removed func(*Record)
}

// A Table is the flow table of one engine. It is used by that engine's thread
// only. New makes one; the zero Table is of no use.
type Table struct {
	index   []bucket
	records []Record // the zeroth is nobody's: a Hint of 0 leads to it, and no key to its ports
	seed    uint64
	bits    uint8  // of a record number in an index entry
	limit   uint32 // 1 << bits
	roster  *Roster
	now     uint32
	free    uint32 // first free record, linked through Record.Hash; 0: none
	cursor  uint32 // record that the sweep looked at last
	flows   int
	evicted uint64
	drawn   uint64 // state of draw
	removed func(*Record)
	memory  memory
}

// New returns an empty Table.
func New(cfg Config) (*Table, error) {
	if cfg.Capacity < 1 || cfg.Capacity > MaxCapacity {
		return nil, fmt.Errorf("flows: new: capacity %d, want 1 to %d", cfg.Capacity, MaxCapacity)
	}
	mem, err := newMemory(tableSize(cfg.Capacity))
	if err != nil {
		return nil, fmt.Errorf("flows: new: %w", err)
	}
	t := &Table{
		index:   carve[bucket](&mem, indexBuckets(cfg.Capacity)),
		records: carve[Record](&mem, cfg.Capacity+1),
		seed:    cfg.Seed,
		bits:    uint8(bits.Len(uint(cfg.Capacity))),
		limit:   1 << bits.Len(uint(cfg.Capacity)),
		roster:  new(Roster),
		removed: cfg.Removed,
		memory:  mem,
	}
	if t.removed == nil {
		t.removed = func(*Record) {}
	}
	// Writing every page takes the memory now: a node that hasn't got it fails
	// at start, and no packet waits for a page to be zeroed.
	clear(t.index)
	for i := cfg.Capacity; i > 0; i-- {
		t.push(uint32(i))
	}
	return t, nil
}

// indexBuckets returns how many buckets the index has: an even number, so that
// the records behind it start at a cache line.
func indexBuckets(capacity int) int { return (2*capacity*sparse + 2*ways - 1) / (2 * ways) * 2 }

// tableSize returns the bytes of the index and of the records, the zeroth too.
func tableSize(capacity int) int {
	return indexBuckets(capacity)*int(unsafe.Sizeof(bucket{})) + (capacity+1)*int(unsafe.Sizeof(Record{}))
}

// Close gives the memory back. The Table must not be used afterwards.
func (t *Table) Close() error {
	t.index, t.records = nil, nil
	if err := t.memory.close(); err != nil {
		return fmt.Errorf("flows: close: %w", err)
	}
	return nil
}

// Begin opens a pass: until the next Begin, now is the time, in ticks, and
// roster says who is current.
func (t *Table) Begin(now uint32, roster *Roster) { t.now, t.roster = now, roster }

// Stats are a Table's gauges and counters.
type Stats struct {
	Flows    int    // records in use, resting ones among them
	Capacity int    // records in all
	Evicted  uint64 // flows that gave way to new ones because the table was full or no source port was free
}

// Stats returns the gauges and counters.
func (t *Table) Stats() Stats {
	return Stats{Flows: t.flows, Capacity: len(t.records) - 1, Evicted: t.evicted}
}

// Insert enters a copy of flow, whose fields are filled as [Record] says, and
// returns it. Neither key may be in the table: call it after Forward returned
// nil and, in nat, after PickPort. The flow has expired unless Track is called
// with its first packet. The error is ErrFull: no record is free and none near
// the sweep's cursor gives way, or, very seldom, both index lines are full.
func (t *Table) Insert(flow *Record) (*Record, error) {
	if t.free == 0 && !t.makeRoom() {
		return nil, ErrFull
	}
	number := t.free
	if !t.link(flow.Hash, number) {
		return nil, ErrFull
	}
	if flow.nat() && !t.link(flow.ReturnHash, number) {
		t.unlink(flow.Hash, number)
		return nil, ErrFull
	}
	r := &t.records[number]
	t.free = r.Hash
	t.flows++
	*r = *flow
	r.State, r.Deadline = Fresh, t.now
	return r, nil
}

// Remove ends a flow. In nat its source port is free at once; see Retire.
func (t *Table) Remove(r *Record) { t.release(r) }

// Retire ends a flow that shall not be found any more, because its client opens
// a new one with the same key. In nat the record stays until its source port
// has rested.
func (t *Table) Retire(r *Record) {
	if !r.nat() {
		t.release(r)
		return
	}
	t.unlink(r.Hash, t.number(r))
	if !r.State.closed() {
		r.Deadline = t.now + Rest
	}
	t.removed(r)
	r.State, r.ClientPort = Resting, 0
}

// release frees a record.
func (t *Table) release(r *Record) {
	number := t.number(r)
	if r.State != Resting {
		t.unlink(r.Hash, number)
		t.removed(r)
	}
	if r.nat() {
		t.unlink(r.ReturnHash, number)
	}
	t.flows--
	t.push(number)
}

// push puts a record onto the list of free ones.
func (t *Table) push(number uint32) {
	r := &t.records[number]
	r.State, r.ClientPort, r.SNIPPort = Free, 0, 0
	r.Hash = t.free
	t.free = number
}
