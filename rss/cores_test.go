package rss

import "testing"

func TestCoreTableIsBalanced(t *testing.T) {
	for engines := 1; engines <= CoreEntries; engines++ {
		table, err := NewCoreTable(engines)
		if err != nil {
			t.Fatal(err)
		}
		entries := make([]int, engines)
		for hash := range uint32(CoreEntries) {
			entries[table.Engine(hash)]++
		}
		least, most := CoreEntries/engines, (CoreEntries+engines-1)/engines
		for engine, n := range entries {
			if n < least || n > most {
				t.Errorf("%d engines: engine %d has %d entries, want %d to %d", engines, engine, n, least, most)
			}
		}
	}
}

// A network card with the kernel's default table and the same key must deliver
// to the engine that the core table names, whatever the upper bits.
func TestCoreTableIsTheKernelsDefault(t *testing.T) {
	table, err := NewCoreTable(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []uint32{0, 1, 2, 3, 127, 128, 129, 0x51ccc178, 0xffffffff} {
		if got, want := table.Engine(hash), uint8(hash&127%3); got != want {
			t.Errorf("hash %#x: engine %d, want %d", hash, got, want)
		}
	}
}

func TestCoreTableRefusesEngines(t *testing.T) {
	for _, engines := range []int{-1, 0, CoreEntries + 1} {
		if _, err := NewCoreTable(engines); err == nil {
			t.Errorf("%d engines: no error", engines)
		}
	}
}
