package flows

import (
	"pgregory.net/rapid"
)

// check compares the whole Table with its twin.
func (m *machine) check(t *rapid.T) {
	used := 0
	for i := range m.table.records[1:] {
		r := &m.table.records[1+i]
		want, alive := m.slow.flows[r]
		switch {
		case r.State == Free:
			if alive || m.slow.reported[r] {
				t.Fatalf("free, but has a flow: %+v", want)
			}
			continue
		case alive && *r != want:
			t.Fatalf("flow is %+v, want %+v", *r, want)
		case !alive && !m.slow.dead(r):
			t.Fatalf("alive, but should not be: %+v", *r)
		case m.slow.reported[r] == (r.State == Resting):
			t.Fatalf("in state %v, reported as removed: %v", r.State, !m.slow.reported[r])
		}
		used++
	}
	if got := m.table.Stats().Flows; got != used {
		t.Fatalf("%d flows, counted %d", got, used)
	}
	m.checkLists(t, used)
}

// checkLists counts free records and index entries.
func (m *machine) checkLists(t *rapid.T, used int) {
	free, entries := 0, 0
	for n := m.table.free; n != 0; n = m.table.records[n].Hash {
		free++
	}
	if capacity := m.table.Stats().Capacity; free+used != capacity {
		t.Fatalf("%d free and %d used records of %d", free, used, capacity)
	}
	for i := range m.table.index {
		entries += m.table.index[i].len()
	}
	for i := range m.table.records[1:] {
		r := &m.table.records[1+i]
		if r.State != Free && r.State != Resting {
			entries--
		}
		if r.State != Free && r.nat() {
			entries--
		}
	}
	if entries != 0 {
		t.Fatalf("%+d index entries that no record has", entries)
	}
}
