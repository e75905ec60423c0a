// Package flows is the flow table of one engine: it remembers which backend
// serves which connection, how far the connection has come, and, in nat, which
// source port it has toward the backend.
//
// # Shape
//
// A flow is a [Record] of one cache line, in an array outside the Go heap. An
// index finds records by the hash of a packet: two entries a flow in nat, one
// for each direction, one in dsr, where only the client's packets come by (as in
// ipip and gue: what is said of dsr here holds for them). An entry is 4 bytes:
// some bits of a mix of the hash and the record's number. It lies in one of two
// buckets of 8 entries that the mix selects, in the first unless that is
// crowded. Entries never move and leave nothing behind when they
// go. With four places for each entry of a full table, 0.4 % of the entries are
// in their second bucket, and none fails to find room (TestIndexFills).
//
// So a look-up reads two lines that are anywhere in memory: a bucket and a
// record. At 1 Mi flows both are in DRAM, about 100 ns away, and a batch must
// wait for all of them at once, not one by one. Hence the stages: for all
// packets of a batch [Table.Touch], then for all [Table.Probe], then for each
// [Table.Forward] or [Table.Return] and what follows.
//
// # Cost
//
// One thread of an AMD EPYC (family 25, 2.6 GHz, 1 MiB of L2 cache), batches of
// 64, best of 12 runs of the benchmarks here:
//
//	                                         10 k flows   1 Mi flows
//	find a flow and track a packet              23 ns        41 ns
//	read a random line of as many records        2 ns        19 ns
//	open a flow in nat and free it again                    600 ns
//
// A flow costs 96 bytes.
//
// # Time
//
// Time is counted in ticks of 1/16 s and stands still during a pass
// ([Table.Begin]). A flow expires at its Deadline, which [Record.Track]
// postpones with every packet, as the state of the connection allows.
//
// # Invariants
//
//   - What a look-up returns has the whole key it was asked for, is not expired
//     and belongs to a service and a backend that are current. Neither the time
//     of a sweep nor a wrong hint can be seen from outside.
//   - No two flows have the same key in the same direction.
//   - An established flow never gives way to a new one.
//   - The return packets of nat fall into the bucket of the cluster's table
//     that the forward packets are in ([Table.PickPort]).
//   - Nothing allocates but New, NewPorts and errors of Validate.
//
// # Limits
//
// A Table is for one thread. A [Record] that a method returned is valid until
// the next call that may free one: Forward, Return, Insert, PickPort, Retire,
// Remove, Sweep. Finish with a packet before looking the next one up; only a
// [Hint] keeps.
//
// Sequence numbers are looked at where a connection opens and closes, and in nat
// what the server acknowledges is followed roughly. Windows are not: a balancer
// that sees half of a connection can't. [Record.Track] says what a forged
// segment can do and what it can't.
//
// All flows with equal hashes share two buckets, so at most 16 entries can have
// the same hash. The hash is as good as secret when the cluster's key is; with a
// published key anybody can make one flow in the way of another.
package flows
