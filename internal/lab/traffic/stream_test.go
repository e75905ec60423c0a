package traffic

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"appliance/internal/lab/origin"
)

func TestStreams(t *testing.T) {
	_, echo, stream, _ := backend(t, "b1")
	for _, download := range []bool{false, true} {
		cfg := StreamsConfig{Dial: dial, Target: echo, Streams: 3, Rate: 300, Chunk: 1 << 20, Download: download}
		if download {
			cfg.Target = stream
		}
		s := NewStreams(cfg)
		driveFor(t, 300*time.Millisecond, s.Run)
		r := s.Report()
		if r.Failed() != 0 || r.Opened != 3 || r.Broken != 0 || r.OK < 45 {
			t.Errorf("download %v: %d chunks, failures %v, %d opened, %d broken, want about 90 on 3 streams",
				download, r.OK, r.Failures, r.Opened, r.Broken)
		}
	}
}

// TestStreamFaults breaks a stream at one place in every way that matters.
func TestStreamFaults(t *testing.T) {
	const at = 10_000 // the byte where the stream breaks
	for _, c := range []struct {
		name string
		want Reason
		next func(c *net.TCPConn, s io.Reader) // what is sent from there on
	}{
		{"altered", WrongContent, func(c *net.TCPConn, s io.Reader) {
			b := make([]byte, 1)
			io.ReadFull(s, b)
			c.Write([]byte{b[0] ^ 1})
			io.Copy(c, s)
		}},
		{"lost", WrongContent, func(c *net.TCPConn, s io.Reader) {
			io.CopyN(io.Discard, s, 1)
			io.Copy(c, s)
		}},
		{"closed", ShortBody, func(*net.TCPConn, io.Reader) {}},
		{"reset", Reset, func(c *net.TCPConn, _ io.Reader) {
			time.Sleep(50 * time.Millisecond) // a reset overtakes what wasn't read yet
			c.SetLinger(0)
		}},
		{"silent", ReadTimeout, func(*net.TCPConn, io.Reader) { time.Sleep(time.Second) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var streams atomic.Uint64
			target := listen(t, func(conn *net.TCPConn) {
				var number uint64
				fmt.Fscanf(conn, "%d\n", &number)
				source := origin.Stream(number)
				if streams.Add(1) > 1 {
					io.Copy(conn, source)
					return
				}
				io.CopyN(conn, source, at)
				c.next(conn, source)
			})
			s := NewStreams(StreamsConfig{Dial: dial, Target: target, Streams: 1, Rate: 100, Download: true,
				Timeout: 200 * time.Millisecond})
			driveFor(t, 500*time.Millisecond, s.Run)
			r := s.Report()
			if r.Failed() != 1 || r.Failures[c.want] != 1 || r.Broken != 1 || r.Opened != 2 {
				t.Errorf("failures %v, %d opened, %d broken, want one %s and a second stream",
					r.Failures, r.Opened, r.Broken, c.want)
			}
			if r.OK < 2+5 {
				t.Errorf("%d chunks, want two before the fault and more after it", r.OK)
			}
		})
	}
}
