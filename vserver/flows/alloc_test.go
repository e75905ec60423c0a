package flows

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"appliance/engine/packet"
)

// TestNoAllocs asserts that whatever runs on an engine's thread allocates
// nothing, its rare outcomes included.
func TestNoAllocs(t *testing.T) {
	table, ports := portTable(t, &path4, 4096)
	rng := rand.New(rand.NewPCG(1, 2))
	flow := testFlow(rng, 0)
	flow.SNIP, flow.Backend = path4.SNIP, MakeRef(0, 0)
	var now uint32
	var r *Record
	begin := func() {
		table.Begin(now, table.roster)
	}
	insert := func() {
		flow.Hash, flow.ClientPort = rng.Uint32(), uint16(rng.Uint32())|1
		var err error
		if flow.SNIPPort, flow.ReturnHash, err = table.PickPort(ports, &path4, flow.Hash, true); err != nil {
			t.Fatal(err)
		}
		if r, err = table.Insert(&flow); err != nil {
			t.Fatal(err)
		}
		r.Track(now, &DefaultTimeouts, Client, segment1)
	}
	forward := func(hint Hint) {
		if table.Forward(hint, r.Hash, &r.ForwardKey) != r {
			t.Fatal("not found by its forward key")
		}
	}
	back := func(hint Hint) {
		key := ReturnKey{path4.Backend, path4.BackendPort, r.SNIPPort, r.SNIP, r.Proto}
		if table.Return(hint, r.ReturnHash, &key) != r {
			t.Fatal("not found by its return key")
		}
	}
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"PickPort, Insert, Track", insert},
		{"Touch, Probe", func() { table.Touch(r.Hash); table.Probe(r.Hash) }},
		{"Forward with hint", func() { forward(table.Probe(r.Hash)) }},
		{"Forward without", func() { forward(0) }},
		{"Return with hint", func() { back(table.Probe(r.ReturnHash)) }},
		{"Return without", func() { back(0) }},
		{"nothing found", func() { table.Forward(0, 1, &ForwardKey{}); table.Return(0, 1, &ReturnKey{}) }},
		{"Track", func() { r.Track(now, &DefaultTimeouts, Server, segment2) }},
		{"Retire", func() { insert(); table.Retire(r) }},
		{"Remove", func() { insert(); table.Remove(r) }},
		{"Sweep", func() { insert(); now += Rest; begin(); table.Sweep(1000) }},
		{"full", func() { insert(); fillUp(t, table, rng) }},
	} {
		if n := testing.AllocsPerRun(20, c.do); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// Segments that exist before anything is measured.
var (
	segment1 = segment(packet.TCPSyn, 1, 0, 0)
	segment2 = segment(packet.TCPSyn|packet.TCPAck, 1, 2, 0)
)

// fillUp inserts flows in use until there is no room.
func fillUp(t *testing.T, table *Table, rng *rand.Rand) {
	for i := 0; ; i++ {
		flow := testFlow(rng, i)
		r, err := table.Insert(&flow)
		if errors.Is(err, ErrFull) {
			table.Begin(table.now+Rest, table.roster)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		establish(r, table.now+1)
	}
}

// TestInlining asserts that the small steps of a look-up cost no call.
func TestInlining(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{
		"(*Table).mix", "(*Table).first", "(*Table).second", "(*Table).tag", "(*bucket).search",
		"(*Table).alive", "(*Roster).backend", "(*Roster).service", "(*Record).postpone", "expired", "Ref.Slot", "Ref.Gen",
	} {
		if !strings.Contains(string(out), ": can inline "+f+"\n") {
			t.Errorf("%s is not inlined", f)
		}
	}
}
