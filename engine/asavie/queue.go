package asavie

// A queue holds frames first in, first out, up to a power of two of them.
type queue struct {
	slots       []uint32
	first, next uint32 // run freely; next - first frames are in it
}

func newQueue(size int) queue { return queue{slots: make([]uint32, size)} }

func (q *queue) len() int { return int(q.next - q.first) }

// push adds a frame. The caller sees to it that there is room.
func (q *queue) push(frame uint32) {
	q.slots[q.next&uint32(len(q.slots)-1)] = frame
	q.next++
}

// pop removes the frame that was pushed first. The caller sees to it that there
// is one.
func (q *queue) pop() uint32 {
	frame := q.slots[q.first&uint32(len(q.slots)-1)]
	q.first++
	return frame
}
