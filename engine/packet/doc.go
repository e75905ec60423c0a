// Package packet reads and writes the headers of network packets where they
// lie, without copying or allocating.
//
// # Parse once
//
// [Parse] walks the headers of a received Ethernet frame once, checks every
// length and offset, and writes down in an [Info] where things are. Everything
// after it trusts the Info: nobody parses twice, and nobody checks bounds again.
// What Parse refuses has a [Reason], and every Reason has a counter.
//
// # Header views
//
// [Ethernet], [IPv4], [IPv6], [TCP], [UDP] and [ICMP] are byte slices with
// getters and setters. Making one costs nothing, and there is no decoded form
// to keep in step with the bytes. Setters do not touch checksums: a [Delta]
// collects what they changed and applies it to the checksums that cover it.
//
// # Answers
//
// [EchoReply], [TCPReset] and [ICMPError] turn a received frame into the answer
// to it, in the same memory. They keep the rules on what must not be answered;
// how often to answer is the caller's to limit.
//
// # Tunnels
//
// A [Tunnel] puts a packet into another one, in the headroom in front of it, and
// leaves the packet itself alone. [ClampMSS] lowers what a SYN asks for.
//
// # Invariants
//
//   - No function here allocates, blocks, reads a clock or keeps a reference.
//     All may run concurrently on different frames.
//   - Parse, given any bytes, returns; what it accepts, every other function
//     takes without a panic.
//   - Fields in the packet are big-endian; every getter returns and every
//     setter takes host byte order.
//
// # Limits
//
// Frames up to 65,535 bytes, with at most one 802.1Q tag. Of a fragment Parse
// reads the addresses and the protocol; [PartOf] and [FirstFragment] read
// the rest. Of what an ICMP error quotes it reads the addresses and the ports.
// IPv6 jumbograms, AH and ESP aren't understood.
package packet
