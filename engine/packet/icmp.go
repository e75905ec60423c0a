package packet

import "encoding/binary"

// ICMP types (RFC 792) and the codes of ICMPUnreachable that are sent here.
const (
	ICMPEchoReply        = 0
	ICMPUnreachable      = 3
	ICMPSourceQuench     = 4
	ICMPRedirect         = 5
	ICMPEcho             = 8
	ICMPTimeExceeded     = 11
	ICMPParameterProblem = 12
)

// ICMPv6 types (RFC 4443, RFC 4861). Those below ICMPv6Echo are errors.
const (
	ICMPv6Unreachable      = 1
	ICMPv6PacketTooBig     = 2
	ICMPv6TimeExceeded     = 3
	ICMPv6ParameterProblem = 4
	ICMPv6Echo             = 128
	ICMPv6EchoReply        = 129
	ICMPv6Redirect         = 137
)

// An ICMP is an ICMP or ICMPv6 message seen from its header (RFC 792, RFC 4443
// section 2.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+---------------+-------------------------------+
//	|     type      |     code      |           checksum            |  0
//	+---------------+---------------+-------------------------------+
//	|     rest: echo identifier and sequence number, MTU, unused    |  4
//	+---------------------------------------------------------------+
type ICMP []byte

// Type returns the type.
func (h ICMP) Type() uint8 { return h[0] }

// Code returns the code.
func (h ICMP) Code() uint8 { return h[1] }

// Checksum returns the checksum.
func (h ICMP) Checksum() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// Rest returns the four bytes whose meaning depends on type and code.
func (h ICMP) Rest() uint32 { return binary.BigEndian.Uint32(h[4:]) }

// SetType sets the type.
func (h ICMP) SetType(t uint8) { h[0] = t }

// SetCode sets the code.
func (h ICMP) SetCode(c uint8) { h[1] = c }

// SetChecksum sets the checksum.
func (h ICMP) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[2:], sum) }

// SetRest sets the four bytes whose meaning depends on type and code.
func (h ICMP) SetRest(v uint32) { binary.BigEndian.PutUint32(h[4:], v) }
