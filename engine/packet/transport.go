package packet

import "encoding/binary"

// TCP flags as in byte 13 of the header (RFC 9293 section 3.1).
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce
	TCPCwr
)

// A TCP is a segment seen from its header (RFC 9293 section 3.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          source port          |       destination port        |  0
//	+-------------------------------+-------------------------------+
//	|                        sequence number                        |  4
//	|                     acknowledgment number                     |  8
//	+-------+-------+---------------+-------------------------------+
//	|offset |   0   |     flags     |            window             | 12
//	+-------+-------+---------------+-------------------------------+
//	|           checksum            |        urgent pointer         | 16
//	+-------------------------------+-------------------------------+
//	|                    options, if offset > 5                     | 20
//	+---------------------------------------------------------------+
type TCP []byte

// SrcPort returns the source port.
func (h TCP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:]) }

// DstPort returns the destination port.
func (h TCP) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// Seq returns the sequence number.
func (h TCP) Seq() uint32 { return binary.BigEndian.Uint32(h[4:]) }

// Ack returns the acknowledgment number.
func (h TCP) Ack() uint32 { return binary.BigEndian.Uint32(h[8:]) }

// HeaderLen returns the header's length in bytes, options included.
func (h TCP) HeaderLen() int { return int(h[12]>>4) << 2 }

// Flags returns the flags.
func (h TCP) Flags() uint8 { return h[13] }

// Checksum returns the checksum.
func (h TCP) Checksum() uint16 { return binary.BigEndian.Uint16(h[16:]) }

// SetSrcPort sets the source port.
func (h TCP) SetSrcPort(p uint16) { binary.BigEndian.PutUint16(h[0:], p) }

// SetDstPort sets the destination port.
func (h TCP) SetDstPort(p uint16) { binary.BigEndian.PutUint16(h[2:], p) }

// SetChecksum sets the checksum.
func (h TCP) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[16:], sum) }

// A UDP is a datagram seen from its header (RFC 768):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          source port          |       destination port        |  0
//	+-------------------------------+-------------------------------+
//	|            length             |           checksum            |  4
//	+-------------------------------+-------------------------------+
type UDP []byte

// SrcPort returns the source port.
func (h UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:]) }

// DstPort returns the destination port.
func (h UDP) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// Len returns the datagram's length in bytes, header included. It may be less
// than IP carries: UDP options fill the rest (RFC 9868).
func (h UDP) Len() uint16 { return binary.BigEndian.Uint16(h[4:]) }

// Checksum returns the checksum; 0 says that there is none (IPv4 only).
func (h UDP) Checksum() uint16 { return binary.BigEndian.Uint16(h[6:]) }

// SetSrcPort sets the source port.
func (h UDP) SetSrcPort(p uint16) { binary.BigEndian.PutUint16(h[0:], p) }

// SetDstPort sets the destination port.
func (h UDP) SetDstPort(p uint16) { binary.BigEndian.PutUint16(h[2:], p) }

// SetChecksum sets the checksum. See Delta.ApplyUDP for what zero means.
func (h UDP) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[6:], sum) }

// setLen sets the datagram's length in bytes, header included.
func (h UDP) setLen(n uint16) { binary.BigEndian.PutUint16(h[4:], n) }
