package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// network returns where a frame's IP header begins and ends, without IPv4
// options or IPv6 extension headers, which none of the frames here has.
func network(frame []byte) (l3, l4 int) {
	l3 = 14
	if binary.BigEndian.Uint16(frame[12:]) == 0x8100 {
		l3 += 4
	}
	if frame[l3]>>4 == 6 {
		return l3, l3 + 40
	}
	return l3, l3 + 20
}

// Cut cuts the whole packet in frame into fragments with identification id, as
// its sender would: before the bytes in at, which count from the transport
// header, ascend and are multiples of 8. The packet has neither IPv4 options nor
// IPv6 extension headers.
func Cut(frame []byte, id uint32, at ...int) [][]byte {
	l3, l4 := network(frame)
	data := frame[l4:]
	var all [][]byte
	from := 0
	for _, to := range append(slices.Clone(at), len(data)) {
		all = append(all, piece(frame[:l4], l3, id, data[from:to], from, to < len(data)))
		from = to
	}
	return all
}

// piece returns one fragment: headers, whose IP header is at l3, around data.
func piece(headers []byte, l3 int, id uint32, data []byte, offset int, more bool) []byte {
	if offset%8 != 0 || more && len(data)%8 != 0 {
		panic(fmt.Sprintf("packettest: cut a packet at byte %d", offset))
	}
	f := slices.Clone(headers)
	ip := f[l3:]
	word, m := uint16(offset), uint16(0)
	if more {
		m = 1
	}
	if ip[0]>>4 == 4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(data)))
		binary.BigEndian.PutUint16(ip[4:], uint16(id))
		binary.BigEndian.PutUint16(ip[6:], word/8|m<<13)
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], SlowChecksum(ip))
		return append(f, data...)
	}
	proto := ip[6]
	binary.BigEndian.PutUint16(ip[4:], uint16(8+len(data)))
	ip[6] = 44
	f = append(f, proto, 0)
	f = binary.BigEndian.AppendUint16(f, word|m)
	f = binary.BigEndian.AppendUint32(f, id)
	return append(f, data...)
}

// Join puts the packet together of which the frames are fragments, in any order,
// some of them possibly more than once. It fails when a byte is missing, or
// differs between two of them, or when they are of different packets. The frame
// that it returns has the link-layer addresses and the TTL of the first fragment.
func Join(frames [][]byte) ([]byte, error) {
	if len(frames) == 0 {
		return nil, errors.New("packettest: join: no fragments")
	}
	var head, whole []byte
	var have []bool
	size := -1
	for _, f := range frames {
		data, offset, more, err := part(f, frames[0])
		if err != nil {
			return nil, err
		}
		if offset == 0 {
			head = f
		}
		if !more {
			size = offset + len(data)
		}
		for len(whole) < offset+len(data) {
			whole, have = append(whole, 0), append(have, false)
		}
		for i, b := range data {
			if have[offset+i] && whole[offset+i] != b {
				return nil, fmt.Errorf("packettest: join: two bytes for place %d", offset+i)
			}
			whole[offset+i], have[offset+i] = b, true
		}
	}
	if head == nil || size != len(whole) || slices.Contains(have, false) {
		return nil, fmt.Errorf("packettest: join: %d fragments have %d bytes of %d, not all", len(frames), len(whole), size)
	}
	return wrap(head, whole), nil
}

// part reads a fragment, and fails unless it is of the same packet as like.
func part(f, like []byte) (data []byte, offset int, more bool, err error) {
	l3, l4 := network(f)
	key := func(f []byte) string {
		l3, l4 := network(f)
		if f[l3]>>4 == 4 {
			return string(f[l3+12:l4]) + string(f[l3+4:l3+6]) + string(f[l3+9])
		}
		return string(f[l3+8:l4]) + string(f[l4+4:l4+8]) + string(f[l4])
	}
	if key(f) != key(like) {
		return nil, 0, false, errors.New("packettest: join: fragments of two packets")
	}
	if f[l3]>>4 == 4 {
		word := binary.BigEndian.Uint16(f[l3+6:])
		return f[l4 : l3+int(binary.BigEndian.Uint16(f[l3+2:]))], int(word&0x1fff) * 8, word&0x2000 != 0, nil
	}
	if f[l3+6] != 44 {
		return nil, 0, false, errors.New("packettest: join: no fragment header")
	}
	word := binary.BigEndian.Uint16(f[l4+2:])
	return f[l4+8 : l4+int(binary.BigEndian.Uint16(f[l3+4:]))], int(word &^ 7), word&1 != 0, nil
}

// wrap returns the whole packet: the first fragment's headers around data.
func wrap(head, data []byte) []byte {
	l3, l4 := network(head)
	f := slices.Clone(head[:l4])
	ip := f[l3:]
	if ip[0]>>4 == 4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(data)))
		binary.BigEndian.PutUint16(ip[6:], 0)
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], SlowChecksum(ip))
	} else {
		ip[6] = head[l4]
		binary.BigEndian.PutUint16(ip[4:], uint16(len(data)))
	}
	return append(f, data...)
}
