// Package maglev spreads flows over backends by consistent hashing: Maglev's
// look-up table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network
// Load Balancer", NSDI 2016, section 3.4), with weights.
//
// Every node of a cluster that knows the same backends builds the same table,
// so a flow whose record is lost, or was never made, still reaches its backend.
// When a backend comes or goes, few flows of the others move.
//
// # Two halves
//
// The control half, [Build], turns backends into a [Table]. It allocates, may
// fail, and takes about a millisecond. The hot half, [Table.Lookup], is a
// multiplication and a load.
//
// # Invariants
//
//   - A Table is immutable; any number of engines may read it.
//   - Which backend holds which slot depends on the backends' names and
//     weights and on the size, not on their order, the machine or a random
//     number. All arithmetic is on integers.
//   - A backend's share of the slots is its share of the weights: within 1 % of
//     the slots if there are 100 slots a backend, nearly always within one slot.
//     A backend of weight 0 has none.
//
// # Limits
//
// Losing one of n backends moves all of its flows, as it must, and a few of the
// others': with size 65,537 0.3 % of them at n = 10, 0.6 % at n = 100 and 0.8 %
// at n = 655 (TestRemovalMovesLittle). A larger size moves fewer, and takes
// longer to build.
//
// A backend whose share is less than half a slot has none: weights that differ
// by a factor of more than 100,000 want a larger size.
package maglev
