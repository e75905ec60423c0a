package pcapport

import (
	"encoding/binary"
	"fmt"
)

// Block types of pcapng, and its byte-order magic (draft-ietf-opsawg-pcapng,
// section 4).
const (
	ngSection   = 0x0a0d0d0a // reads the same in either byte order
	ngByteOrder = 0x1a2b3c4d
	ngPacket    = 2 // obsolete
	ngSimple    = 3
	ngEnhanced  = 6
)

// checkBlocks checks that a pcapng file consists of whole blocks, each as long
// as it says in front and behind, and that no frame is longer than maxFrame.
// pcapgo takes a file that is cut short for one that has come to its end, and
// makes a buffer of any size that a frame claims.
func checkBlocks(file []byte) error {
	var order binary.ByteOrder = binary.LittleEndian
	for at := 0; at < len(file); {
		b := file[at:]
		if len(b) < 12 {
			return fmt.Errorf("block at byte %d is cut short", at)
		}
		if binary.BigEndian.Uint32(b) == ngSection {
			order = binary.LittleEndian
			if binary.BigEndian.Uint32(b[8:]) == ngByteOrder {
				order = binary.BigEndian
			}
		}
		n := int(order.Uint32(b[4:]))
		if n < 12 || n > len(b) {
			return fmt.Errorf("block at byte %d is cut short: %d of %d bytes", at, len(b), n)
		}
		if behind := int(order.Uint32(b[n-4:])); behind != n {
			return fmt.Errorf("block at byte %d has %d bytes in front and %d behind", at, n, behind)
		}
		if frame := frameLen(b[:n], order); frame > maxFrame {
			return fmt.Errorf("block at byte %d holds a frame of %d bytes", at, frame)
		}
		at += n
	}
	return nil
}

// frameLen returns how long the frame in a block claims to be, 0 when there is
// none.
func frameLen(block []byte, order binary.ByteOrder) uint32 {
	at := 20 // captured length
	switch order.Uint32(block) {
	case ngSimple:
		at = 8 // original length
	case ngPacket, ngEnhanced:
	default:
		return 0
	}
	if len(block) < at+4 {
		return 0 // pcapgo finds that there is too little
	}
	return order.Uint32(block[at:])
}
