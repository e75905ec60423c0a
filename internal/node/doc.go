// Package node is a running node: it puts the rooms together.
//
// Start builds everything or nothing: packet memory, engines, XDP programs and
// sockets on each configured interface, the netlink watcher, health checks.
// From then on two goroutines react to what changes:
//
//	configuration (Reload) ──┐
//	routes, neighbours ──────┼─► control loop ─► engine.Snapshot ─► engines
//	health of backends ──────┘
//	links ─────────────────────► links ─► sockets and programs opened and closed
//
// They are two because sockets can take a second to open, which a backend's
// failure must not wait for.
//
// What operators deny while the node runs is kept apart from the configuration, and
// ends by a clock of its own.
//
// Engines ask for next hops they couldn't resolve through bounded rings; the
// control loop passes the questions to the kernel.
//
// # Invariants
//
//   - Only the control loop and Reload publish snapshots, one at a time; only
//     links opens and closes ports.
//   - Status never waits for a change that is under way, and holds no engine up.
//   - An interface that vanishes takes its ports with it, nothing else; when it
//     is back, new ones are opened.
//   - A configuration that is refused changes nothing.
//   - Close detaches the programs first, so that no packet is lost in a port
//     that nobody reads, then the engines; its error names lost frames.
package node
