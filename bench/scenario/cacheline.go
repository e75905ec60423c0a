package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"appliance/bench/replay"
	"appliance/engine"
)

// A cacheline loop is the limit that a pipeline is compared with: it takes the
// same batches of the same frames from the same kind of port, reads each
// packet's addresses and one line of a table at an index that was drawn before
// and depends on nothing, and gives the frame back. It decides nothing.
type cacheline struct {
	arena *engine.Arena
	free  *engine.Frames
	port  *replay.Port
	segs  []engine.Segment
	table []byte   // on huge pages, as the flow table is
	lines []uint32 // what line to read next, round and round
	sum   uint64   // of all that was read
}

const lineBytes = 64

// newCacheline makes a loop over the given heads and a table of so many bytes.
func newCacheline(heads []replay.Head, tableBytes int) (*cacheline, error) {
	c := &cacheline{segs: make([]engine.Segment, engine.DefaultConfig().Batch)}
	if err := c.open(heads, tableBytes); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *cacheline) open(heads []replay.Head, tableBytes int) (err error) {
	if c.arena, err = engine.NewArena(replay.Frames+4*len(c.segs), replay.FrameSize); err != nil {
		return err
	}
	c.free = engine.NewFrames(c.arena.Frames())
	for frame := range c.arena.Frames() {
		c.free.Push(uint32(frame))
	}
	if c.port, err = replay.New(c.arena, heads); err != nil {
		return err
	}
	c.port.Refill(c.free)
	c.table, err = unix.Mmap(-1, 0, tableBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map a table of %d bytes: %w", tableBytes, err)
	}
	// Advice: a kernel without huge pages refuses it, to the flow table too.
	_ = unix.Madvise(c.table, unix.MADV_HUGEPAGE)
	for i := range c.table {
		c.table[i] = byte(i)
	}
	c.lines = make([]uint32, max(1<<16, tableBytes/lineBytes))
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range c.lines {
		c.lines[i] = rng.Uint32N(uint32(tableBytes / lineBytes))
	}
	return nil
}

// play runs n packets through the loop. With lookups false it only hands frames
// around: what the port itself costs.
func (c *cacheline) play(n int, lookups bool) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mem, next := c.arena.Memory(), 0
	c.port.Play(n)
	for {
		got := c.port.Receive(c.segs)
		if got == 0 {
			return <-c.port.Took()
		}
		if lookups {
			if next+got > len(c.lines) {
				next = 0
			}
			for i, line := range c.lines[next : next+got] {
				frame := mem[int(c.segs[i].Frame)*replay.FrameSize+engine.Headroom:]
				c.sum += binary.LittleEndian.Uint64(frame[26:])
				c.sum += binary.LittleEndian.Uint64(c.table[int(line)*lineBytes:])
			}
			next += got
		}
		c.port.Transmit(c.segs[:got])
		c.port.Reclaim(c.free)
		c.port.Refill(c.free)
	}
}

func (c *cacheline) close() error {
	var errs []error
	if c.port != nil {
		errs = append(errs, c.port.Close(c.free))
	}
	if c.table != nil {
		errs = append(errs, unix.Munmap(c.table))
	}
	if c.arena != nil {
		errs = append(errs, c.arena.Close())
	}
	return errors.Join(errs...)
}
