package pcapport

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"appliance/engine"
	"appliance/engine/packet/packettest"
	"appliance/engine/porttest"
	"appliance/rss"
)

func newArena(t testing.TB, frames int) *engine.Arena {
	t.Helper()
	a, err := engine.NewArena(frames, 2048)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// somePackets returns n frames, no two the same.
func somePackets(n int) (frames [][]byte) {
	for i := range n {
		frames = append(frames, packettest.UDP("192.0.2.1:40000", "192.0.2.2:80",
			packettest.ID(uint16(i)), packettest.PayloadSize(i%1400)))
	}
	return frames
}

func infoOf(frame []byte) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: time.UnixMicro(0), CaptureLength: len(frame), Length: len(frame)}
}

func pcapOf(t testing.TB, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	err := w.WriteFileHeader(65535, link)
	for _, f := range frames {
		err = errors.Join(err, w.WritePacket(infoOf(f), f))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pcapngOf(t testing.TB, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		err = errors.Join(err, w.WritePacket(infoOf(f), f))
	}
	if err := errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := w.Write(b)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func TestOwnership(t *testing.T) {
	capture := pcapOf(t, layers.LinkTypeEthernet, somePackets(300)...)
	porttest.Ownership(t, func(t *testing.T) []porttest.Side {
		a := newArena(t, 128)
		p, err := Open(a, Config{In: bytes.NewReader(capture), Out: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		return []porttest.Side{{Arena: a, Port: p}}
	})
}

// echo sends everything back where it came from, unless it says otherwise.
type echo struct{}

func (echo) Decide(_ *engine.Snapshot, _ int64, batch []engine.Packet) {
	for i := range batch {
		batch[i].Verdict, batch[i].Out = engine.Transmit, batch[i].In
	}
}

func (echo) Housekeep(*engine.Snapshot, int64) {}

// replay runs a capture through an engine that sends everything back, and
// returns what it wrote.
func replay(t *testing.T, capture []byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	arena := newArena(t, 600)
	g, err := engine.NewGroup(arena, engine.DefaultConfig(), []engine.Handler{echo{}})
	if err != nil {
		t.Fatal(err)
	}
	cores, err := rss.NewCoreTable(1)
	if err != nil {
		t.Fatal(err)
	}
	g.Publish(&engine.Snapshot{Hasher: rss.NewHasher(rss.MicrosoftKey), Cores: cores})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	port, err := Open(arena, Config{In: bytes.NewReader(capture), Out: &out, Deterministic: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Engines()[0].AddPort(ctx, 0, port); err != nil {
		t.Fatal(err)
	}
	select {
	case <-port.Done():
	case <-ctx.Done():
		t.Fatal("the capture did not come to its end")
	}
	if err := g.Close(); err != nil { // ends the pass, closes the port
		t.Fatal(err)
	}
	return out.Bytes()
}

// A capture of any format goes in, and the same frames come out, stamped with
// their numbers.
func TestReplay(t *testing.T) {
	frames := somePackets(1000)
	var want bytes.Buffer
	w := pcapgo.NewWriter(&want)
	err := w.WriteFileHeader(maxFrame, layers.LinkTypeEthernet)
	for i, f := range frames {
		info := infoOf(f)
		info.Timestamp = time.UnixMicro(int64(i))
		err = errors.Join(err, w.WritePacket(info, f))
	}
	if err != nil {
		t.Fatal(err)
	}
	plain := pcapOf(t, layers.LinkTypeEthernet, frames...)
	for name, capture := range map[string][]byte{
		"pcap":         plain,
		"pcapng":       pcapngOf(t, frames...),
		"gzipped pcap": gzipped(t, plain),
	} {
		if got := replay(t, capture); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: wrote %d bytes, want %d", name, len(got), want.Len())
		}
	}
}

func TestDone(t *testing.T) {
	arena := newArena(t, 64)
	isDone := func(p *Port) bool {
		select {
		case <-p.Done():
			return true
		default:
			return false
		}
	}
	for _, in := range []io.Reader{nil, bytes.NewReader(pcapOf(t, layers.LinkTypeEthernet))} {
		p, err := Open(arena, Config{In: in})
		if err != nil {
			t.Fatal(err)
		}
		if !isDone(p) {
			t.Errorf("nothing to receive from %v, yet not done", in)
		}
	}
	p, err := Open(arena, Config{In: bytes.NewReader(pcapOf(t, layers.LinkTypeEthernet, somePackets(3)...))})
	if err != nil {
		t.Fatal(err)
	}
	free := engine.NewFrames(64)
	for f := range 64 {
		free.Push(uint32(f))
	}
	p.Refill(free)
	segs := make([]engine.Segment, 2)
	if n := p.Receive(segs); n != 2 || isDone(p) {
		t.Errorf("received %d of 3 frames; done: %v", n, isDone(p))
	}
	if n := p.Receive(segs); n != 1 || !isDone(p) {
		t.Errorf("received %d, the last; done: %v", n, isDone(p))
	}
	if n := p.Receive(segs); n != 0 {
		t.Errorf("received %d frames after the end", n)
	}
}

func TestTimestamps(t *testing.T) {
	arena := newArena(t, 8)
	var out bytes.Buffer
	p, err := Open(arena, Config{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Truncate(time.Microsecond)
	p.Transmit([]engine.Segment{{Frame: 1, Off: engine.Headroom, Len: 60}})
	p.Flush()
	r, err := pcapgo.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := r.ReadPacketData()
	if err != nil || info.Timestamp.Before(began) || info.Timestamp.After(time.Now()) {
		t.Errorf("written at %v: stamped %v, error %v", began, info.Timestamp, err)
	}
}

func TestBadCaptures(t *testing.T) {
	good := pcapOf(t, layers.LinkTypeEthernet, somePackets(2)...)
	partial := slices.Clone(good)
	partial[24+12]++ // the first frame's original length, little-endian
	ng := pcapngOf(t, somePackets(2)...)
	for _, c := range []struct {
		name    string
		capture []byte
		want    string // part of the error
	}{
		{"empty file", nil, "too short"},
		{"no capture", []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), "magic"},
		{"not Ethernet", pcapOf(t, layers.LinkTypeRaw), "want Ethernet"},
		{"ends inside a frame", good[:len(good)-1], "frame 2"},
		{"ends behind a frame's header", good[:24+16], "frame 1"},
		{"ends inside a frame's header", good[:24+15], "frame 1"},
		{"frame longer than the arena's", pcapOf(t, layers.LinkTypeEthernet, make([]byte, 60), make([]byte, 1793)), "frame 2 has 1793 bytes"},
		{"frame captured in part", partial, "frame 1 was captured in part: 42 of 43 bytes"},
		{"pcapng cut short", ng[:len(ng)-1], "cut short"},
		{"pcapng cut in a block's header", append(slices.Clone(ng), 1, 2, 3), "cut short"},
		{"pcapng block of two lengths", slices.Replace(slices.Clone(ng), len(ng)-4, len(ng), 1, 0, 0, 0), "and 1 behind"},
		{"pcapng without an interface", ng[:binary.LittleEndian.Uint32(ng[4:])], "EOF"},
		{"pcapng frame of any length", longFrame(ng), "a frame of 4294967295 bytes"},
		{"pcapng that pcapgo panics on", brokenClock(ng), "malformed capture"},
	} {
		_, err := Open(newArena(t, 8), Config{In: bytes.NewReader(c.capture)})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "pcapport: ") {
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
	}
}

// brokenClock returns a pcapng file with an interface whose time resolution is
// one that pcapgo divides by zero for.
func brokenClock(ng []byte) []byte {
	ng = slices.Clone(ng)
	at := binary.LittleEndian.Uint32(ng[4:]) // the interface's block
	at += uint32(bytes.Index(ng[at:], []byte{9, 0, 1, 0}))
	ng[at+4] = 0x40 // option if_tsresol: 10^-64 seconds
	return ng
}

// longFrame returns a pcapng file whose last frame claims to be long.
func longFrame(ng []byte) []byte {
	ng = slices.Clone(ng)
	n := binary.LittleEndian.Uint32(ng[len(ng)-4:])
	last := ng[len(ng)-int(n):]
	binary.LittleEndian.PutUint32(last[20:], 1<<32-1)
	return ng
}

var errFull = errors.New("disk full")

// disk takes room bytes.
type disk struct{ room int }

func (d *disk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		return 0, errFull
	}
	d.room -= len(b)
	return len(b), nil
}

func TestWriteFails(t *testing.T) {
	arena := newArena(t, 8)
	if _, err := Open(arena, Config{Out: &disk{room: 23}}); !errors.Is(err, errFull) {
		t.Errorf("no room for the file header: error %v", err)
	}
	p, err := Open(arena, Config{Out: &disk{room: 24 + 100}})
	if err != nil {
		t.Fatal(err)
	}
	seg := func(f uint32) []engine.Segment {
		return []engine.Segment{{Frame: f, Off: engine.Headroom, Len: 60}}
	}
	if n := p.Transmit(seg(1)); n != 1 || !p.Pending() {
		t.Errorf("took %d frames, pending %v", n, p.Pending())
	}
	if p.Flush(); p.Err() != nil || p.Pending() {
		t.Errorf("error %v, pending %v", p.Err(), p.Pending())
	}
	p.Transmit(seg(2))
	p.Flush()
	if err := p.Err(); !errors.Is(err, engine.ErrPortGone) || !errors.Is(err, errFull) {
		t.Errorf("error %v, want both ErrPortGone and the disk's", err)
	}
	if n := p.Transmit(seg(3)); n != 0 || p.Pending() {
		t.Errorf("took %d frames after the failure, pending %v", n, p.Pending())
	}
	free := engine.NewFrames(8)
	if err := p.Close(free); !errors.Is(err, errFull) {
		t.Errorf("close: %v", err)
	}
	if free.Len() != 2 {
		t.Errorf("%d frames came back, want 2", free.Len())
	}
}

func FuzzReadCapture(f *testing.F) {
	f.Add(pcapOf(f, layers.LinkTypeEthernet, somePackets(2)...))
	f.Add(pcapngOf(f, somePackets(2)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := readCapture(bytes.NewReader(b), 1792)
		for i, f := range frames {
			if err != nil || len(f) > 1792 {
				t.Fatalf("frame %d has %d bytes, error %v", i, len(f), err)
			}
		}
	})
}
