package maglev

import "math/big"

// slowPopulate is the oracle of populate: the paper's pseudocode 1 with whole
// permutations, and exact fractions for the weights. all is in turn order.
func slowPopulate(all []seat, size int) []uint16 {
	permutations := make([][]int, len(all))
	heaviest := uint64(0)
	for i, s := range all {
		for j := range size {
			permutations[i] = append(permutations[i], (int(s.next)+j*int(s.skip))%size)
		}
		heaviest = max(heaviest, s.weight)
	}
	entry := make([]int, size)
	for i := range entry {
		entry[i] = -1
	}
	next, turns := make([]int, len(all)), make([]int64, len(all))
	for n, round := 0, int64(1); ; round++ {
		for i, s := range all {
			// The turns that a backend has had after a round are the round's
			// number times its relative weight, plus the half that it starts
			// with, rounded down.
			due := new(big.Rat).SetFrac64(round*int64(s.weight)+int64(heaviest/2), int64(heaviest))
			if due.Cmp(new(big.Rat).SetInt64(turns[i]+1)) < 0 {
				continue
			}
			turns[i]++
			c := permutations[i][next[i]]
			for entry[c] >= 0 {
				next[i]++
				c = permutations[i][next[i]]
			}
			entry[c] = int(s.index)
			next[i]++
			if n++; n == size {
				return narrow(entry)
			}
		}
	}
}

func narrow(entry []int) []uint16 {
	slots := make([]uint16, len(entry))
	for i, e := range entry {
		slots[i] = uint16(e)
	}
	return slots
}
