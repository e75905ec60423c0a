package nic

import (
	"errors"
	"fmt"

	"appliance/rss"
)

// indirection returns an indirection table of the given size: a queue of the
// engine that owns each core entry, whose entries take its queues in turn.
// engines names the engine of each queue. The error says why there is no such
// table.
func indirection(size int, cores *rss.CoreTable, engines []int) ([]uint32, error) {
	if size == 0 {
		return nil, errors.New("the card has no indirection table")
	}
	if size&(size-1) != 0 {
		return nil, fmt.Errorf("the card's indirection table has %d entries, and low bits of a hash index powers of two only", size)
	}
	for entry := range uint32(rss.CoreEntries) {
		if cores.Engine(entry) != cores.Engine(entry%uint32(size)) {
			return nil, fmt.Errorf("the card's indirection table has %d entries, too few to tell the engines' %d core entries apart", size, rss.CoreEntries)
		}
	}
	queues := map[int][]uint32{} // engine -> its queues
	for queue, engine := range engines {
		queues[engine] = append(queues[engine], uint32(queue))
	}
	table, next := make([]uint32, size), map[int]int{}
	for i := range table {
		engine := int(cores.Engine(uint32(i)))
		own := queues[engine]
		if len(own) == 0 {
			return nil, fmt.Errorf("engine %d has no queue", engine)
		}
		table[i] = own[next[engine]%len(own)]
		next[engine]++
	}
	return table, nil
}

// pad returns key as a card with keys of size bytes takes it: what comes behind
// the 40 bytes touches no hash of a tuple, and repeats them.
func pad(key rss.Key, size int) ([]byte, error) {
	if size < rss.KeySize {
		return nil, fmt.Errorf("the card's key has %d bytes, and the hash needs %d", size, rss.KeySize)
	}
	padded := make([]byte, size)
	for i := range padded {
		padded[i] = key[i%rss.KeySize]
	}
	return padded, nil
}

// isDefault reports whether a table is the one that the kernel makes for so many
// queues (ethtool_rxfh_indir_default in include/linux/ethtool.h).
func isDefault(table []uint32, queues int) bool {
	for i, queue := range table {
		if int(queue) != i%queues {
			return false
		}
	}
	return true
}
