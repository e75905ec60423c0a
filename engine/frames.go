package engine

// Frames is an engine's stack of free frames: last in, first out, so that the
// frame used next is the one still in the cache. The zero value is empty and
// holds nothing; NewFrames gives it room. One goroutine at a time.
type Frames struct {
	stack []uint32
}

// NewFrames returns an empty stack with room for n frames.
func NewFrames(n int) *Frames { return &Frames{stack: make([]uint32, 0, n)} }

// Len returns how many frames are free.
func (f *Frames) Len() int { return len(f.stack) }

// Push makes a frame free. It panics when the stack has no room: more frames
// than the Arena has means that one was pushed twice.
func (f *Frames) Push(frame uint32) {
	n := len(f.stack)
	f.stack = f.stack[:n+1]
	f.stack[n] = frame
}

// Pop takes a free frame; ok is false when there is none.
func (f *Frames) Pop() (frame uint32, ok bool) {
	n := len(f.stack) - 1
	if n < 0 {
		return 0, false
	}
	frame = f.stack[n]
	f.stack = f.stack[:n]
	return frame, true
}

// Take removes and returns up to n free frames. The slice is valid until the
// next Push.
func (f *Frames) Take(n int) []uint32 {
	at := max(len(f.stack)-n, 0)
	taken := f.stack[at:]
	f.stack = f.stack[:at]
	return taken
}
