package vserver

import "appliance/vserver/flows"

// A registry gives services and backends their slots, and keeps them there over
// reloads: counters and flow records name them by slot. What leaves gives its
// slot back, and whoever gets it next gets another generation.
type registry[K comparable] struct {
	slots map[K]uint32
	gens  []uint8 // by slot: of its occupant, or of the next one
	free  []uint32
}

// assign makes keys, which all differ, the occupants, and returns their refs in
// order. Slots are reused in the order in which they became free, so that a
// generation comes back as late as possible: after 255 changes of all slots
// that are ever free.
func (r *registry[K]) assign(keys []K) []flows.Ref {
	if r.slots == nil {
		r.slots = map[K]uint32{}
	}
	r.release(keys)
	refs := make([]flows.Ref, len(keys))
	for i, k := range keys {
		slot, ok := r.slots[k]
		if !ok {
			slot = r.take()
			r.slots[k] = slot
		}
		refs[i] = flows.MakeRef(slot, r.gens[slot])
	}
	return refs
}

// release frees the slots of all whose key is not among those to keep.
func (r *registry[K]) release(keep []K) {
	kept := make(map[K]bool, len(keep))
	for _, k := range keep {
		kept[k] = true
	}
	for k, slot := range r.slots {
		if kept[k] {
			continue
		}
		delete(r.slots, k)
		r.free = append(r.free, slot)
		if r.gens[slot]++; r.gens[slot] == 0 {
			r.gens[slot] = 1
		}
	}
}

// take returns a free slot. Generations count from 1, so that the zero Ref
// names nobody.
func (r *registry[K]) take() uint32 {
	if len(r.free) > 0 {
		slot := r.free[0]
		r.free = r.free[1:]
		return slot
	}
	r.gens = append(r.gens, 1)
	return uint32(len(r.gens) - 1)
}
