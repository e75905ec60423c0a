package rss

import "fmt"

// CoreEntries is how many entries a core table has. 128 is what NICs with a
// programmable indirection table have at least (Intel 82599, section 7.1.2.8);
// on one with a larger table the 128 entries repeat, because index bits are
// always the low bits of the hash.
const CoreEntries = 128

// A CoreTable says which engine owns a flow, as a NIC's RSS indirection table
// says which queue. It is immutable once made: any number of engines may read
// it. The zero CoreTable gives every flow to engine 0.
type CoreTable [CoreEntries]uint8

// NewCoreTable returns the table that spreads flows evenly over engines 0 to
// engines-1, which is what the kernel programs into a NIC by default: entry i
// names i modulo engines (ethtool_rxfh_indir_default). No two engines differ by
// more than one entry. The error says that there are fewer than 1 engines or
// more than CoreEntries, where some would get nothing.
func NewCoreTable(engines int) (*CoreTable, error) {
	if engines < 1 || engines > CoreEntries {
		return nil, fmt.Errorf("rss: core table: %d engines, want 1 to %d", engines, CoreEntries)
	}
	t := new(CoreTable)
	for i := range t {
		t[i] = uint8(i % engines)
	}
	return t, nil
}

// Engine returns the engine that owns flows with this hash. Cost: one load.
func (t *CoreTable) Engine(hash uint32) uint8 { return t[hash%CoreEntries] }
