package vserver

import (
	"fmt"
	"strings"

	"appliance/vserver/maglev"
)

// A pool says which of a service's eligible backends a new flow goes to, by
// their index among them. It is immutable, and services with equal backends
// share one.
type pool struct {
	table *maglev.Table // by hash
	turns []uint16      // in turn; nil unless the method is RoundRobin
}

// Sizes of Maglev tables: primes, at least 128 slots a backend, so that shares
// are right within 1 %. The size depends on how many backends are configured,
// not on how many are up: a table of another size is another table altogether.
const (
	smallPool  = 128    // backends
	smallTable = 16381  // 32 KiB: a node may have thousands
	largeTable = 131071 // for MaxBackends
)

func tableSize(configured int) int {
	if configured <= smallPool {
		return smallTable
	}
	return largeTable
}

// A member is an eligible backend as its pool sees it.
type member struct {
	name   string
	weight int
}

// memberOf returns backend b of service s as a member of this weight. Its name is its address,
// so that renaming a backend moves no flow, and has a port only where that
// differs from the service's, so that the services of several ports on the same
// machines share a pool.
func memberOf(s *ServiceConfig, b *BackendConfig, weight int) member {
	name := b.Address.String()
	if b.Port != 0 && PortRange(b.Port) != s.Port {
		name = fmt.Sprintf("%s port %d", name, b.Port)
	}
	return member{name, weight}
}

// poolKey returns what tells pools apart.
func poolKey(method Method, size int, members []member) string {
	var key strings.Builder
	fmt.Fprintf(&key, "%s %d", method, size)
	for _, m := range members {
		fmt.Fprintf(&key, ",%s*%d", m.name, m.weight)
	}
	return key.String()
}

// newPool returns the pool of members, of which there is at least one and each
// has a weight. A round robin has a table too: modes without nat fall back on it for packets
// in the middle of connections that it doesn't know.
func newPool(method Method, size int, members []member) (*pool, error) {
	backends := make([]maglev.Backend, len(members))
	for i, m := range members {
		backends[i] = maglev.Backend{Name: m.name, Weight: uint32(m.weight)}
	}
	table, err := maglev.Build(backends, size)
	if err != nil {
		return nil, err
	}
	p := &pool{table: table}
	if method == RoundRobin {
		p.turns = turns(members)
	}
	return p, nil
}

// turns returns a sequence in which every member has as many turns as it has
// weight (weights reduced by their common divisor), spread evenly: in each step
// all members earn their weight, and the richest has its turn and pays what all
// have earned (nginx's smooth weighted round robin).
func turns(members []member) []uint16 {
	divisor, sum := 0, 0
	for _, m := range members {
		divisor = gcd(m.weight, divisor)
		sum += m.weight
	}
	sequence := make([]uint16, sum/divisor)
	credit := make([]int, len(members))
	for step := range sequence {
		richest := 0
		for i, m := range members {
			credit[i] += m.weight
			if credit[i] > credit[richest] {
				richest = i
			}
		}
		credit[richest] -= sum
		sequence[step] = uint16(richest)
	}
	return sequence
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
