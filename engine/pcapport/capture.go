package pcapport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// maxFrame is the longest frame that a capture is read or written with.
const maxFrame = 1<<16 - 1

// A source yields the frames of a capture: what pcapgo's readers have in common.
type source interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

// newSource opens a capture of either format.
func newSource(r io.Reader) (source, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("capture is too short: %w", err)
	}
	if binary.BigEndian.Uint32(magic) == ngSection {
		whole, err := io.ReadAll(b)
		if err != nil {
			return nil, err
		}
		if err := checkBlocks(whole); err != nil {
			return nil, err
		}
		return pcapgo.NewNgReader(bytes.NewReader(whole), pcapgo.DefaultNgReaderOptions)
	}
	plain, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, err
	}
	plain.SetSnaplen(maxFrame) // a file's own may be anything, and sizes a buffer
	return plain, nil
}

// readCapture returns the frames of a capture, none of which may be longer than
// longest bytes.
func readCapture(r io.Reader, longest int) (frames [][]byte, err error) {
	defer func() {
		// pcapgo divides by and indexes with what a pcapng file says.
		if panicked := recover(); panicked != nil {
			frames, err = nil, fmt.Errorf("malformed capture: %v", panicked)
		}
	}()
	src, err := newSource(r)
	if err != nil {
		return nil, err
	}
	if link := src.LinkType(); link != layers.LinkTypeEthernet {
		return nil, fmt.Errorf("capture of link type %v, want Ethernet", link)
	}
	for {
		data, info, err := src.ReadPacketData()
		n := len(frames) + 1
		switch {
		case err == io.EOF && len(data) == 0: // else it ends behind a frame's header
			return frames, nil
		case err != nil:
			return nil, fmt.Errorf("frame %d: %w", n, err)
		case info.CaptureLength < info.Length:
			return nil, fmt.Errorf("frame %d was captured in part: %d of %d bytes", n, info.CaptureLength, info.Length)
		case len(data) > longest:
			return nil, fmt.Errorf("frame %d has %d bytes, frames of this arena hold %d", n, len(data), longest)
		}
		frames = append(frames, data)
	}
}

// A recorder writes frames to a capture. After an error it writes nothing more
// and keeps the error.
type recorder struct {
	buf   *bufio.Writer
	pcap  *pcapgo.Writer
	stamp func() time.Time
	err   error
}

// newRecorder begins a capture. With a nil writer the recorder forgets frames.
func newRecorder(w io.Writer, stamp func() time.Time) (*recorder, error) {
	r := &recorder{stamp: stamp}
	if w == nil {
		w = io.Discard
	}
	r.buf = bufio.NewWriter(w)
	r.pcap = pcapgo.NewWriter(r.buf)
	if r.err = r.pcap.WriteFileHeader(maxFrame, layers.LinkTypeEthernet); r.err == nil {
		r.flush()
	}
	return r, r.err
}

func (r *recorder) write(frame []byte) {
	if r.err == nil {
		info := gopacket.CaptureInfo{Timestamp: r.stamp(), CaptureLength: len(frame), Length: len(frame)}
		r.err = r.pcap.WritePacket(info, frame)
	}
}

func (r *recorder) flush() {
	if r.err == nil {
		r.err = r.buf.Flush()
	}
}

// counter returns a clock that says how often it was asked, in microseconds
// since 1970.
func counter() func() time.Time {
	n := int64(-1)
	return func() time.Time {
		n++
		return time.UnixMicro(n)
	}
}
