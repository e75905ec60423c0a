package flows

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func TestNewRefuses(t *testing.T) {
	for _, capacity := range []int{-1, 0, MaxCapacity + 1} {
		if table, err := New(Config{Capacity: capacity}); err == nil {
			table.Close()
			t.Errorf("capacity %d: no error", capacity)
		}
	}
}

// TestCapacity asserts that a table of any capacity takes that many flows in
// use, finds each by both keys, and not one more.
func TestCapacity(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 7, 64, 100, 1000, 12_345} {
		table := newTable(t, capacity)
		rng := rand.New(rand.NewPCG(1, uint64(capacity)))
		var all []Record
		for i := range capacity {
			flow := testFlow(rng, i)
			r, err := table.Insert(&flow)
			if err != nil {
				t.Fatalf("flow %d of %d: %v", i, capacity, err)
			}
			establish(r, 1000)
			all = append(all, flow)
		}
		extra := testFlow(rng, capacity)
		if _, err := table.Insert(&extra); !errors.Is(err, ErrFull) {
			t.Errorf("flow %d: error %v, want ErrFull", capacity, err)
		}
		for i := range all {
			f := &all[i]
			key := ReturnKey{testRoster.Peers[f.Backend.Slot()].Addr, f.BackendPort, f.SNIPPort, f.SNIP, f.Proto}
			there := table.Forward(table.Probe(f.Hash), f.Hash, &f.ForwardKey)
			back := table.Return(table.Probe(f.ReturnHash), f.ReturnHash, &key)
			if there == nil || there != back {
				t.Fatalf("flow %d of %d: forward %p, return %p", i, capacity, there, back)
			}
		}
	}
}

// TestEqualHashes asserts that flows with one hash fill its two buckets, and
// that a flow that finds no room in either direction leaves nothing behind.
func TestEqualHashes(t *testing.T) {
	table := newTable(t, 100)
	rng := rand.New(rand.NewPCG(1, 2))
	insert := func(i int, hash, returnHash uint32) error {
		flow := testFlow(rng, i)
		flow.Hash, flow.ReturnHash = hash, returnHash
		r, err := table.Insert(&flow)
		if err == nil {
			establish(r, 1000)
		}
		return err
	}
	for i := range 2 * ways {
		if err := insert(i, 42, rng.Uint32()); err != nil {
			t.Fatalf("flow %d with the hash: %v", i, err)
		}
	}
	before := entries(table)
	for _, hashes := range [][2]uint32{{42, 43}, {43, 42}} {
		if err := insert(50, hashes[0], hashes[1]); !errors.Is(err, ErrFull) {
			t.Errorf("hashes %d: error %v, want ErrFull", hashes, err)
		}
	}
	if after := entries(table); after != before || table.Stats().Flows != 2*ways {
		t.Errorf("%d entries and %d flows, were %d and %d", after, table.Stats().Flows, before, 2*ways)
	}
	if err := insert(51, 43, 44); err != nil {
		t.Errorf("other hashes: %v", err)
	}
}

// entries returns how many entries the index holds.
func entries(table *Table) (n int) {
	for i := range table.index {
		n += table.index[i].len()
	}
	return n
}

// TestIndexFills asserts what the package comment says of the index: a table
// that is full, and stays so while flows come and go, finds room for every
// entry, and nearly all in their first bucket; also when what reaches the
// engine has low bits of the hash in common.
func TestIndexFills(t *testing.T) {
	for _, fixed := range []uint32{0, 0x7f, 0xf7f} {
		const capacity = 1 << 15
		table := newTable(t, capacity)
		rng := rand.New(rand.NewPCG(1, 2))
		all := make([]*Record, capacity)
		insert := func(i int) {
			flow := testFlow(rng, i)
			flow.Hash, flow.ReturnHash = flow.Hash&^fixed|fixed&0x55, flow.ReturnHash&^fixed|fixed&0x55
			r, err := table.Insert(&flow)
			if err != nil {
				t.Fatalf("bits %#x fixed: flow %d: %v", fixed, i, err)
			}
			establish(r, 1000)
			all[i] = r
		}
		for i := range all {
			insert(i)
		}
		for range 4 * capacity {
			i := rng.IntN(capacity)
			table.Remove(all[i])
			insert(i)
		}
		second := 0
		for _, r := range all {
			for _, hash := range []uint32{r.Hash, r.ReturnHash} {
				mix := table.mix(hash)
				first := table.index[table.first(mix)]
				if !first.swap(table.tag(mix)|table.number(r), 0) {
					second++
				}
			}
		}
		share := float64(second) / (2 * capacity)
		t.Logf("bits %#x fixed: %.2f %% in the second bucket", fixed, 100*share)
		if share > 0.01 {
			t.Errorf("bits %#x fixed: %.2f %% in the second bucket, want 1 %% at most", fixed, 100*share)
		}
	}
}

// TestClosedFlowIsFound asserts that in a large table that is full, where an
// Insert looks at few records, repeated ones find the one that gives way, and
// that nothing else does.
func TestClosedFlowIsFound(t *testing.T) {
	const capacity = 1000
	table := newTable(t, capacity)
	rng := rand.New(rand.NewPCG(1, 2))
	all := make([]*Record, capacity)
	for i := range all {
		flow := testFlow(rng, i)
		all[i], _ = table.Insert(&flow)
		establish(all[i], 1000)
	}
	all[777].State = Closing
	flow := testFlow(rng, capacity)
	tries := 1
	for _, err := table.Insert(&flow); err != nil; _, err = table.Insert(&flow) {
		if tries++; tries > capacity/reclaimSpan+1 {
			t.Fatalf("not found in %d tries", tries)
		}
	}
	if all[777].ForwardKey != flow.ForwardKey {
		t.Errorf("another flow gave way: %+v", all[777])
	}
	if s := table.Stats(); s.Evicted != 1 || s.Flows != capacity {
		t.Errorf("%+v, want 1 evicted of %d", s, capacity)
	}
}

// TestSweepGoesAround asserts the formula of Sweep: called with it every
// 100 ms, within the period it frees all that had expired when it began.
func TestSweepGoesAround(t *testing.T) {
	const capacity, period, interval = 10_000, 4000, 100 // flows, ms, ms
	table := newTable(t, capacity)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range capacity {
		flow := testFlow(rng, i)
		r, err := table.Insert(&flow)
		if err != nil {
			t.Fatal(err)
		}
		establish(r, 10)
	}
	table.Begin(10, testRoster)
	freed := 0
	for range period / interval {
		freed += table.Sweep(capacity * interval / period)
	}
	if freed != capacity || table.Stats().Flows != 0 {
		t.Errorf("freed %d of %d", freed, capacity)
	}
}

// TestMemory asserts that a table for 1 Mi flows takes at most 128 MiB, and all
// of it at once, so that none of it is missing later.
func TestMemory(t *testing.T) {
	resident := func() (mib float64) {
		text, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Fatal(err)
		}
		var size, pages int
		if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &pages); err != nil {
			t.Fatal(err)
		}
		return float64(pages*os.Getpagesize()) / (1 << 20)
	}
	before := resident()
	newTable(t, 1<<20)
	took := resident() - before
	t.Logf("%.1f MiB", took)
	if took > 128 || took < 90 { // 96, but other memory may go meanwhile, and the kernel counts roughly
		t.Errorf("a table for 1 Mi flows takes %.1f MiB, want 96 to 128, or a little less", took)
	}
}

func TestRef(t *testing.T) {
	for _, slot := range []uint32{0, 1, MaxSlots - 1} {
		for _, gen := range []uint8{0, 1, 255} {
			if r := MakeRef(slot, gen); r.Slot() != slot || r.Gen() != gen {
				t.Errorf("MakeRef(%d, %d) gives slot %d, generation %d", slot, gen, r.Slot(), r.Gen())
			}
		}
	}
}

// TestHalfOpenFlowIsFound asserts that a new flow finds one that gives way also
// where the flows in use lie side by side, as those of a start do.
func TestHalfOpenFlowIsFound(t *testing.T) {
	const capacity, tries = 1 << 14, 2000
	for _, c := range []struct {
		inUse, refused float64 // shares
	}{{0.5, 0.005}, {0.75, 0.1}} {
		table := newTable(t, capacity)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range capacity {
			flow := testFlow(rng, i)
			r, err := table.Insert(&flow)
			if err != nil {
				t.Fatal(err)
			}
			if establish(r, 1000); float64(i) >= c.inUse*capacity {
				r.State = SynSent
			}
		}
		refused := 0
		for i := range tries {
			flow := testFlow(rng, capacity+i)
			r, err := table.Insert(&flow)
			if err != nil {
				refused++
				continue
			}
			establish(r, 1000)
			r.State = SynSent
		}
		if share := float64(refused) / tries; share > c.refused {
			t.Errorf("%.0f %% of the flows in use: %.1f %% of the new ones were refused", 100*c.inUse, 100*share)
		}
	}
}
