// Package packettest builds packets for tests and says what is wrong with the
// packets that come out. It relies on gopacket, never on package packet, so
// that it can tell when package packet is wrong.
//
// # Builders
//
// [TCP], [UDP], [Echo], [ICMPError] and [Raw] build a whole Ethernet frame from
// addresses and options; the address family follows from the addresses:
//
//	packettest.TCP("192.0.2.1:40000", "198.51.100.1:80",
//		packettest.Flags("S"), packettest.VLAN(7))
//
// Lengths and checksums are right unless an option says otherwise; a test of
// malformed packets damages the bytes afterwards.
//
// # Checkers
//
// [Check] decodes a frame, verifies every length and checksum in it, and runs
// checkers that compose:
//
//	packettest.Check(t, frame, packettest.WantSrc("198.51.100.1:80"), packettest.WantTTL(63))
//
// [Decode] does the same without a test around it. [Unwrap] takes a packet out
// of a packet first.
//
// # Limits
//
// It is for tests and for tools of the lab: it allocates, and it panics on
// addresses that don't parse.
package packettest
