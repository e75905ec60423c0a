package origin

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// NameHeader is the HTTP header that names the backend.
const NameHeader = "X-Backend"

// The ports of the services.
const (
	HTTPPort   = 80
	EchoPort   = 7
	StreamPort = 19
)

// MaxBody bounds the HTTP body that a client may ask for: 64 MiB.
const MaxBody = 64 << 20

// Body returns the HTTP body of size bytes that the backend sends for a token:
// the line "NAME TOKEN\n" over and over. A token that is used once makes every
// body different from any other, so that a stray one is noticed.
func Body(name, token string, size int) []byte {
	line := []byte(name + " " + token + "\n")
	return bytes.Repeat(line, size/len(line)+1)[:size]
}

// Stream returns the endless byte stream with a given number: the same bytes
// whenever it is asked for, with no period that a lost or repeated part could
// hide in.
func Stream(number uint64) *rand.ChaCha8 {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], number)
	return rand.NewChaCha8(seed)
}
