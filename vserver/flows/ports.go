package flows

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"appliance/rss"
)

// firstPort is the lowest source port that nat uses: those below are the
// well-known ports (RFC 6335 section 6), which backends may trust or refuse.
const firstPort = 1024

// v4Mapped is how an IPv4-mapped IPv6 address begins (RFC 4291 section 2.5.5.2).
var v4Mapped = [12]byte{10: 0xff, 11: 0xff}

// Ports knows which source ports of nat lead return packets into which bucket.
// It is immutable; any number of engines may share one.
type Ports struct {
	hasher *rss.Hasher
	v4, v6 *rss.Ports
}

// NewPorts returns the Ports of a key and a number of buckets. The error is
// that of rss.NewPorts: the number is not allowed, or the key degenerate.
func NewPorts(hasher *rss.Hasher, buckets int) (*Ports, error) {
	v4, err := rss.NewPorts(hasher, false, buckets)
	if err != nil {
		return nil, fmt.Errorf("flows: ports: IPv4: %w", err)
	}
	v6, err := rss.NewPorts(hasher, true, buckets)
	if err != nil {
		return nil, fmt.Errorf("flows: ports: IPv6: %w", err)
	}
	return &Ports{hasher: hasher, v4: v4, v6: v6}, nil
}

// A Path is what is known of a flow's return packets before their destination
// port is: from where they come and to which SNIP they go.
type Path struct {
	Backend     [16]byte // IPv4 as IPv4-mapped IPv6 address
	Address     [16]byte // the SNIP; likewise, and of the same family
	BackendPort uint16
	SNIP        uint16 // the SNIP's number
	Proto       uint8
}

// hash returns the hash of return packets to a port.
func (p *Path) hash(h *rss.Hasher, port uint16) uint32 {
	ports := uint32(p.BackendPort)<<16 | uint32(port)
	if p.isIPv4() {
		addrs := uint64(binary.BigEndian.Uint32(p.Backend[12:]))<<32 | uint64(binary.BigEndian.Uint32(p.Address[12:]))
		return h.IPv4(addrs, ports)
	}
	var addrs [32]byte
	copy(addrs[:16], p.Backend[:])
	copy(addrs[16:], p.Address[:])
	return h.IPv6(&addrs, ports)
}

// isIPv4 reports whether the path's packets are IPv4.
func (p *Path) isIPv4() bool { return [12]byte(p.Address[:12]) == v4Mapped }

// PickPort chooses the source port that nat shall use toward a backend for a
// flow whose client packets have this hash. It returns the port and the hash of
// the return packets, which lies in the same bucket. The port is taken only by
// the Insert that follows.
//
// Of the bucket's ports, about 64,512 / buckets, it takes one that no flow
// holds. If there is none, and it may reclaim one, it takes that whose closed
// flow has been silent longest; else, of those that were never answered or never
// finished their handshake, the oldest's: a flood of SYNs must not keep others
// out. That flow ends. A port of a flow in use is never taken: then the error
// is ErrNoPort. The search starts anywhere, so that a port rests for a while
// also when its flow expired.
func (t *Table) PickPort(ports *Ports, path *Path, hash uint32, reclaim bool) (port uint16, returnHash uint32, err error) {
	candidates := ports.v6
	if path.isIPv4() {
		candidates = ports.v4
	}
	key := ReturnKey{Backend: path.Backend, BackendPort: path.BackendPort, SNIP: path.SNIP, Proto: path.Proto}
	want := path.hash(ports.hasher, 0) ^ hash
	start := t.draw()
	for i := range min(eager, candidates.Len()) {
		key.SNIPPort = candidates.Candidate(want, start+i)
		if key.SNIPPort < firstPort {
			continue
		}
		returnHash = path.hash(ports.hasher, key.SNIPPort)
		if t.occupant(returnHash, &key) == nil {
			return key.SNIPPort, returnHash, nil
		}
	}
	s := portSearch{path: path, hasher: ports.hasher, candidates: candidates, want: want, start: start, key: key}
	return t.searchPort(&s, reclaim)
}

const (
	// eager is how many candidates PickPort looks up one after the other: one or
	// two are enough as a rule.
	eager = 3

	// portBatch is how many it looks up together when they were not, so that their
	// cache misses overlap: all there are, with 4096 buckets.
	portBatch = 16
)

// A portSearch is what PickPort knows.
type portSearch struct {
	path       *Path
	hasher     *rss.Hasher
	candidates *rss.Ports
	want       uint32
	start      int
	key        ReturnKey
}

// searchPort is PickPort among all candidates.
func (t *Table) searchPort(s *portSearch, reclaim bool) (port uint16, returnHash uint32, err error) {
	var victim *Record
	var ports [portBatch]uint16
	var hashes [portBatch]uint32
	for done := 0; done < s.candidates.Len(); done += portBatch {
		n := min(portBatch, s.candidates.Len()-done)
		for i := range n {
			ports[i] = s.candidates.Candidate(s.want, s.start+done+i)
			hashes[i] = s.path.hash(s.hasher, ports[i])
			t.Touch(hashes[i])
		}
		for i := range n {
			t.Probe(hashes[i])
		}
		for i := range n {
			if s.key.SNIPPort = ports[i]; s.key.SNIPPort < firstPort {
				continue
			}
			r := t.occupant(hashes[i], &s.key)
			if r == nil {
				return ports[i], hashes[i], nil
			}
			if reclaim && r.State.yields() > 0 && (victim == nil || yieldsBefore(r, victim)) {
				victim = r
			}
		}
	}
	if victim == nil {
		return 0, 0, ErrNoPort
	}
	port, returnHash = victim.SNIPPort, victim.ReturnHash
	t.release(victim)
	t.evicted++
	return port, returnHash, nil
}

// draw returns a number that nobody outside can foresee: the next of a Weyl
// sequence, mixed with the seed.
func (t *Table) draw() int {
	t.drawn += 0x9e3779b97f4a7c15
	hi, lo := bits.Mul64(t.drawn^t.seed, 0xbf58476d1ce4e5b9)
	return int(hi^lo) & (1<<16 - 1)
}
