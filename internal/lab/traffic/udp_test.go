package traffic

import (
	"net"
	"testing"
	"time"
)

func TestUDP(t *testing.T) {
	_, _, _, at := backend(t, "b3")
	u := NewUDP(UDPConfig{Dial: dial, Target: at, Flows: 4, Rate: 400, PerFlow: 10, Size: 1000})
	driveFor(t, 500*time.Millisecond, u.Run)
	r := u.Report()
	if r.Failed() != 0 || r.OK < 100 || r.Backends["b3"] != r.OK {
		t.Errorf("%d answers, failures %v, by backend %v, want about 200 from b3", r.OK, r.Failures, r.Backends)
	}
	if want := r.OK / 10; r.Opened < want || r.Opened > want+4 {
		t.Errorf("%d sockets for %d datagrams, want one for each 10", r.Opened, r.OK)
	}
}

// TestUDPSizes draws small and large datagrams alike, within the bounds.
func TestUDPSizes(t *testing.T) {
	u := NewUDP(UDPConfig{Size: 100, MaxSize: 60_000})
	small, large := 0, 0
	for range 10_000 {
		switch n := u.size(); {
		case n < 100 || n > 60_000:
			t.Fatalf("a datagram of %d bytes", n)
		case n < 1000:
			small++
		case n >= 6000:
			large++
		}
	}
	if small < 3000 || large < 3000 {
		t.Errorf("%d datagrams below 1,000 bytes and %d from 6,000, want a third of each", small, large)
	}
	if n := NewUDP(UDPConfig{Size: 1000}).size(); n != 1000 {
		t.Errorf("a datagram of %d bytes, want 1000", n)
	}
}

// TestUDPFaults lets a server treat each tenth datagram badly.
func TestUDPFaults(t *testing.T) {
	reply := func(payload []byte) []byte { return append([]byte("b "), payload...) }
	for _, c := range []struct {
		name   string
		want   Reason // of each tenth; "" for none
		answer func(payload []byte) (delay time.Duration, answer []byte)
	}{
		{"lost", Lost, func([]byte) (time.Duration, []byte) { return 0, nil }},
		{"late", Lost, func(p []byte) (time.Duration, []byte) { return 75 * time.Millisecond, reply(p) }},
		{"altered", WrongContent, func(p []byte) (time.Duration, []byte) {
			p[len(p)-1] ^= 1
			return 0, reply(p)
		}},
		{"cut", WrongContent, func(p []byte) (time.Duration, []byte) { return 0, reply(p[:10]) }},
		{"slow", "", func(p []byte) (time.Duration, []byte) { return 10 * time.Millisecond, reply(p) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go func() {
				buf := make([]byte, 2000)
				for count := 1; ; count++ {
					n, client, err := server.ReadFrom(buf)
					if err != nil {
						return
					}
					payload := append([]byte(nil), buf[:n]...)
					if count%10 != 0 {
						server.WriteTo(reply(payload), client)
						continue
					}
					delay, answer := c.answer(payload)
					if answer != nil {
						time.AfterFunc(delay, func() { server.WriteTo(answer, client) })
					}
				}
			}()
			u := NewUDP(UDPConfig{Dial: dial, Target: target(server.LocalAddr()), Flows: 1, Rate: 200,
				Timeout: 50 * time.Millisecond})
			driveFor(t, 500*time.Millisecond, u.Run)
			r := u.Report()
			if c.want == "" {
				if r.Failed() != 0 || r.OK < 20 {
					t.Errorf("%d answers, failures %v, want none", r.OK, r.Failures)
				}
				return
			}
			total := r.OK + r.Failed()
			if r.Failures[c.want] != total/10 || r.Failed() != total/10 || total < 20 {
				t.Errorf("%d datagrams, failures %v, want a tenth %s", total, r.Failures, c.want)
			}
		})
	}
}

func TestUDPRefused(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := target(server.LocalAddr())
	server.Close()
	u := NewUDP(UDPConfig{Dial: dial, Target: at, Flows: 1, Rate: 100})
	driveFor(t, 100*time.Millisecond, u.Run)
	if r := u.Report(); r.Failures[ConnectRefused] < 3 || r.Failures[ConnectRefused] != r.Failed() {
		t.Errorf("failures %v, want only %s", r.Failures, ConnectRefused)
	}
}

func TestMerge(t *testing.T) {
	var all, one tally
	one.opened()
	one.ok("b1", time.Millisecond)
	one.fail(&Failure{Reason: Lost}, true)
	var sum Report
	sum.Merge(all.Report())
	sum.Merge(one.Report())
	sum.Merge(one.Report())
	if sum.OK != 2 || sum.Opened != 2 || sum.Broken != 2 || sum.Failures[Lost] != 2 ||
		sum.Backends["b1"] != 2 || sum.Latency.Count() != 2 {
		t.Errorf("the sum of two is %+v", sum)
	}
	if r := one.Report(); r.Failures[Lost] != 1 {
		t.Errorf("merging changed what was merged: %v", r.Failures)
	}
}
