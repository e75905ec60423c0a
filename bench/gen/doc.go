// Package gen makes and counts test traffic inside the kernel: a [Generator]
// that sends frames through BPF_PROG_RUN in live-frame mode, a [Sink] that counts
// what arrives at the far end, and a [StandIn] that answers there as servers
// would, where real ones must not be troubled.
//
// # Why in the kernel
//
// A generator must cost less than what it tests. A live frame is a page that
// enters an interface by its XDP transmit function: no socket buffer, no system
// call a packet. On a veth pair the frames come out of the peer as XDP frames,
// as a network card's driver would deliver them.
//
// # Every header anew
//
// The kernel recycles the frames' pages without cleaning them, so a frame still
// carries what its last receiver wrote. The program therefore writes every
// header field of every frame and derives flow, IP identification and TCP
// sequence number from a counter.
//
// # The account
//
// [Generator.Sent] counts in the program, where a frame is handed to the
// kernel; user space cannot count, because a system call that a signal
// interrupts is repeated whole. [Sink.Counts] counts at the other end and
// verifies the checksums of one frame in 1,024. Drops between the two are the
// business of whoever built the path.
//
// # Limits
//
// IPv4 without options, TCP or UDP, one 4 KiB page a frame: up to [MaxFrame]
// bytes. The programs keep state for each CPU, so that flows take turns in order
// only on a pinned thread.
package gen
