package node

import (
	"testing"

	"appliance/engine"
	"appliance/engine/xsk"
	"appliance/internal/netstate"
)

// layout returns a node whose memory was laid out for interfaces with these
// queue counts, none of them served yet. frames overrules the layout, unless 0.
func layout(t *testing.T, engines, frames int, queues ...int) *Node {
	t.Helper()
	const handoff = 1024
	n := &Node{cfg: Config{RxRing: 2048, TxRing: 2048, Engine: engine.Config{Engines: engines, Batch: 64, Handoff: handoff}}}
	sockets := 0
	for _, q := range queues {
		sockets += perEngine(q, engines)
		n.ifaces = append(n.ifaces, &iface{link: netstate.Link{RxQueues: q}})
	}
	if frames == 0 {
		frames = frameCount(sockets, xsk.Config{RxRing: 2048, TxRing: 2048}.Frames(), engines, 64, handoff)
	}
	var err error
	if n.arena, err = engine.NewArena(frames, 2048); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.arena.Close() })
	return n
}

// serve notes that interface i is served on that many queues, as open does.
func (n *Node) serve(t *testing.T, i, queues int) int {
	t.Helper()
	fill, err := n.fill(n.ifaces[i], queues)
	if err != nil {
		t.Fatal(err)
	}
	n.ifaces[i].serving = &serving{fill: fill, ports: make([]queuePort, queues)}
	return fill
}

// However queues are dealt out and however short memory is, no engine's sockets
// post more frames than it has, less what it works with.
func TestFillLeavesFrames(t *testing.T) {
	cases := []struct {
		name            string
		engines, frames int
		queues, fills   []int
	}{
		{"one queue each", 1, 0, []int{1, 1}, []int{4096, 4096}},
		{"uneven", 4, 0, []int{5, 5}, []int{4096, 4096}},
		{"uneven over three interfaces", 3, 0, []int{4, 3, 7}, []int{4096, 4096, 4096}},
		{"short", 1, 5000, []int{1, 1}, []int{2048, 2048}},
		{"very short", 2, 3000, []int{4, 4}, []int{256, 256}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := layout(t, c.engines, c.frames, c.queues...)
			posted := 0 // by the first engine, which has the most sockets
			for i, q := range c.queues {
				fill := n.serve(t, i, q)
				if fill != c.fills[i] {
					t.Errorf("interface %d: %d frames a socket, want %d", i, fill, c.fills[i])
				}
				posted += fill * perEngine(q, c.engines)
			}
			held := heldCount(n.arena.Frames(), c.engines)
			if has := n.arena.Frames() / c.engines; posted+2*64+held > has {
				t.Errorf("%d frames posted of %d, and %d held", posted, has, held)
			}
		})
	}
}

// An interface that comes back with more queues than the memory was laid out
// for is served with shorter rings, and takes none of the others' frames.
func TestFillAfterMoreQueues(t *testing.T) {
	n := layout(t, 1, 0, 2, 2)
	for i := range n.ifaces {
		n.serve(t, i, 2)
	}
	n.ifaces[1].serving = nil
	if fill := n.serve(t, 1, 8); fill != 2048 {
		t.Errorf("%d frames a socket, want 2048", fill)
	}
	n.ifaces[1].serving = nil
	if _, err := n.fill(n.ifaces[1], 512); err == nil {
		t.Error("512 queues share what 2 were to have")
	}
}
