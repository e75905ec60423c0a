package xdp

import (
	"encoding/binary"
	"net/netip"
)

// slowKind is the readable twin of the program's look at the destination: the
// kind of the address that a frame goes to, 0 if it is none of ours.
func slowKind(f []byte) Kind {
	at := 12
	if binary.BigEndian.Uint16(f[at:]) == 0x8100 {
		at += 4
	}
	if len(f) < at+2 {
		return 0
	}
	etherType := binary.BigEndian.Uint16(f[at:])
	ip := f[at+2:]
	switch {
	case etherType == 0x0800 && len(ip) >= 20:
		return ourAddresses()[netip.AddrFrom4([4]byte(ip[16:20]))]
	case etherType == 0x86dd && len(ip) >= 40:
		return ourAddresses()[netip.AddrFrom16([16]byte(ip[24:40])).Unmap()]
	}
	return 0
}
