// Package porttest holds an [engine.Port] to its contract. Every kind of port
// runs the same tests: a port that passes them loses no frame, hands out none
// that isn't its own, and wakes a sleeping engine.
//
// # What a port's test does
//
// It says how to open two ports that are connected with each other, and runs
// [Run]. A port without a peer runs [Ownership] alone.
//
//	func TestContract(t *testing.T) {
//		porttest.Run(t, func(t *testing.T) (a, b porttest.Side) { ... })
//	}
//
// # What is tested
//
//   - Ownership: whatever the order of calls, each frame is the port's or the
//     test's, as often as Held says, and Close gives back the rest.
//   - Delivery: what one side sends arrives at the other, whole and in order,
//     both ways at once, with each side on a thread of its own.
//   - Pressure: a port that is full takes fewer frames, and recovers; so does
//     one that had no frames to receive into.
//   - Wake-up: FD is readable while frames can be received, and no longer when
//     Receive has found none.
//
// # Limits
//
// Peers may deliver when they like, so the tests wait for what must happen,
// with a deadline, and never sleep. A port may lose frames only while its peer
// has none to receive into. Other traffic on the wire is ignored.
package porttest
