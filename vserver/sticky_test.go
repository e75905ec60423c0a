package vserver

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	pt "appliance/engine/packet/packettest"
	"appliance/vserver/flows"

	"pgregory.net/rapid"
)

// A memory must answer as a map with expiry does, but for those that find their
// set full, which it may not know.
func TestStickyAgainstMap(t *testing.T) {
	type entry struct {
		ref flows.Ref
		end uint32
	}
	rapid.Check(t, func(rt *rapid.T) {
		m, model := newSticky(), map[uint64]entry{}
		now := rapid.SampledFrom([]uint32{1000, 1<<32 - 50}).Draw(rt, "start") // seconds wrap
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			key := uint64(rapid.IntRange(0, 2).Draw(rt, "set")) + uint64(rapid.IntRange(1, 6).Draw(rt, "which"))<<40
			switch rapid.SampledFrom([]string{"keep", "find", "time"}).Draw(rt, "step") {
			case "keep":
				ref, seconds := flows.MakeRef(rapid.Uint32Range(0, 3).Draw(rt, "backend"), 1), rapid.Uint32Range(10, 100).Draw(rt, "seconds")
				held := 0
				for k, e := range model {
					if k%stickySets == key%stickySets && k != key && int32(e.end-now) > 0 {
						held++
					}
				}
				was, known := model[key]
				m.keep(key, ref, now, seconds)
				if got := m.find(key, now); got != ref && (held < 4 || known && int32(was.end-now) > 0) {
					rt.Fatalf("kept %#x for %#x, found %#x", ref, key, got)
				} else if got == ref && !(known && was.ref == ref && now+seconds-was.end <= seconds/16) {
					model[key] = entry{ref, now + seconds}
				}
			case "find":
				e, ok := model[key]
				want := flows.Ref(0)
				if ok && int32(e.end-now) > 0 {
					want = e.ref
				}
				if got := m.find(key, now); got != want {
					rt.Fatalf("at %d: %#x is at %#x, want %#x until %d", now, key, got, want, e.end)
				}
			case "time":
				now += rapid.Uint32Range(0, 60).Draw(rt, "passes")
			}
		}
	})
}

// A network is remembered for the time, and not a second longer.
func TestStickyExpires(t *testing.T) {
	m := newSticky()
	m.keep(1, 1<<24, 100, 10)
	if m.find(1, 109) == 0 || m.find(1, 110) != 0 {
		t.Errorf("after 9 s %#x, after 10 s %#x", m.find(1, 109), m.find(1, 110))
	}
}

// Engines that write and read at once never see what nobody wrote.
func TestStickyUnderContention(t *testing.T) {
	m := newSticky()
	const keys, second = 8, 1000
	ref := func(key uint64) flows.Ref { return flows.MakeRef(uint32(key>>40), uint8(key>>40)) }
	var wg sync.WaitGroup
	for e := range 4 {
		wg.Go(func() {
			for i := range 50_000 {
				key := uint64((i*7+e*3)%keys+1) << 40 // all in one set of four
				if i%2 == 0 {
					m.keep(key, ref(key), second+uint32(i), 1)
				} else if got := m.find(key, second+uint32(i)); got != 0 && got != ref(key) {
					t.Errorf("%#x is at %#x, want %#x", key, got, ref(key))
					return
				}
			}
		})
	}
	wg.Wait()
}

// stickyConfig keeps clients for a minute.
func stickyConfig(mode Mode, n int) Config {
	cfg := sourceConfig(mode, n, 32, 64)
	for i := range cfg.Services {
		cfg.Services[i].Persistence.Timeout = time.Minute
	}
	return cfg
}

// client is a path of one of many clients, from one of many ports.
func (p path) as(client, port int) path {
	p.client = fmt.Sprintf("192.0.2.%d:%d", 1+client, 1024+port)
	if p.name[3:] == "6" {
		p.client = fmt.Sprintf("[2001:db8:c:%x::1]:%d", client, 1024+port)
	}
	return p
}

// While a client goes on opening flows, it stays where it is when backends come
// back, whichever engine its flows go through; a minute after the last it is
// where the hash says.
func TestStickyClients(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, p := range []path{paths[0], paths[3]} {
			n := newNode(t, stickyConfig(mode, 4))
			engines := []*testNode{n, n.peer()}
			port := 0
			visit := func(client int) byte {
				t.Helper()
				port++
				return engines[port%2].one(clientSide, p.as(client, port).open()).sent(t, serverSide).frame[5]
			}
			change := func(down bool) {
				takeDown(n, "b2")
				if !down {
					clear(n.down)
				}
				n.load(stickyConfig(mode, 4))
				engines[1].snapshot.App = n.snapshot.App
			}
			pass := func(d time.Duration) { n.pass(d); engines[1].pass(d) }
			const clients = 60
			var hashed, now [clients]byte
			for i := range hashed {
				hashed[i] = visit(i)
			}
			change(true)
			moved := 0
			for i := range now {
				if now[i] = visit(i); now[i] != hashed[i] {
					moved++
				}
				if now[i] == 2 || hashed[i] != 2 && now[i] != hashed[i] {
					t.Errorf("%v, %s: with 2 down, client %d went from %d to %d", mode, p.name, i, hashed[i], now[i])
				}
			}
			if moved == 0 {
				t.Fatal("nobody was at the backend that went down: nothing tested")
			}
			change(false)
			for range 3 {
				pass(50 * time.Second)
				for i := range now {
					if at := visit(i); at != now[i] {
						t.Errorf("%v, %s: with 2 back, client %d went from %d to %d", mode, p.name, i, now[i], at)
					}
				}
			}
			pass(61 * time.Second)
			for i := range now {
				if at := visit(i); at != hashed[i] {
					t.Errorf("%v, %s: after a minute, client %d is at %d, the hash says %d", mode, p.name, i, at, hashed[i])
				}
			}
		}
	}
}

// In dsr, the middle of a connection that isn't known goes where its client has
// been, too.
func TestStickyMidFlow(t *testing.T) {
	n := newNode(t, stickyConfig(DSR, 4))
	takeDown(n, "b2")
	n.load(stickyConfig(DSR, 4))
	var at [30]byte
	for i := range at {
		at[i] = n.one(clientSide, paths[0].as(i, 1).open()).sent(t, serverSide).frame[5]
	}
	clear(n.down)
	n.load(stickyConfig(DSR, 4))
	for i := range at {
		if now := n.one(clientSide, paths[0].as(i, 2).open(pt.Flags("A"))).sent(t, serverSide).frame[5]; now != at[i] {
			t.Errorf("client %d: %d, then %d", i, at[i], now)
		}
	}
}

// A backend that leaves, drains or is full loses its clients; where says that a
// client is remembered, and since a service is remembered by its ref, a reload
// forgets nobody.
func TestStickyLosesBackends(t *testing.T) {
	for name, change := range map[string]func(*ServiceConfig, int){
		"leaves": func(s *ServiceConfig, b int) { s.Backends = append(s.Backends[:b:b], s.Backends[b+1:]...) },
		"drains": func(s *ServiceConfig, b int) { s.Backends[b].Weight = 0 },
		"full":   func(s *ServiceConfig, b int) { s.Backends[b].MaxFlows = 1 },
		"none":   func(s *ServiceConfig, b int) {},
	} {
		cfg := stickyConfig(NAT, 3)
		n := newNode(t, cfg)
		first := n.dial(paths[0], 0)
		n.load(cfg)
		n.pass(time.Second)
		e := n.services().Where(n.snapshot.Hasher, n.snapshot.Cores, tupleOf(paths[0].from(1)))
		if e.Backend == nil || e.Backend.Address != first.backend.Addr() || !strings.Contains(e.Why, "has been lately") {
			t.Errorf("%s: where says %+v", name, e)
		}
		change(&cfg.Services[0], int(lastByte(first.backend))-1)
		n.load(cfg)
		second := n.dial(paths[0], 1)
		if stays := second.backend == first.backend; stays != (name == "none") {
			t.Errorf("%s: %v, then %v", name, first.backend, second.backend)
		}
		if third := n.dial(paths[0], 2); third.backend != second.backend {
			t.Errorf("%s: %v, then %v", name, second.backend, third.backend)
		}
	}
}
