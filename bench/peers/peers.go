package peers

import (
	"errors"
	"time"

	"appliance/bench/rig"
)

// Which processor does what, see package rig.
const (
	GeneratorCPU = 0
	NodeCPU      = 1
)

// What all peers have in common.
const (
	Rings = 2048 // descriptors in each rx and tx ring; fill rings have twice as many
	Batch = 64   // packets a pass at most
	Port  = 9000 // of the service and of the backends; UDP
)

// ErrAbsent reports that a peer cannot run on this machine, as a rule because
// something isn't installed. It is nobody's fault, and the others still run.
var ErrAbsent = errors.New("cannot run here")

// A Peer forwards the test's frames from rig.CliIf to rig.SrvIf.
type Peer struct {
	Name  string
	start func(*rig.Rig) (Running, error)
}

// Start starts the peer in the rig's node namespace and returns when it
// forwards. The error wraps ErrAbsent when the peer cannot run on this machine.
func (p *Peer) Start(r *rig.Rig) (Running, error) { return p.start(r) }

// A Running peer forwards until it is stopped.
type Running interface {
	// CPU returns the processor time of the peer's own threads since they
	// started; zero for a peer inside the kernel.
	CPU() (time.Duration, error)
	// Stop stops the peer, undoes what Start did, and returns what the peer
	// counted.
	Stop() (Report, error)
}

// A Report is what a peer counted itself, over its whole life.
type Report struct {
	Received uint64            `json:"received"`
	Sent     uint64            `json:"sent"`
	Dropped  map[string]uint64 `json:"dropped"` // by reason
}

// Lost returns how many frames the peer says that it dropped.
func (r *Report) Lost() uint64 {
	var n uint64
	for _, d := range r.Dropped {
		n += d
	}
	return n
}

// All returns the peers in the order in which a round runs them.
func All() []*Peer {
	return []*Peer{
		child("bare"),
		child("appliance_dsr"),
		child("appliance_nat"),
		child("asavie"),
		{Name: "nftables", start: startNftables},
		{Name: "testpmd", start: startTestpmd},
	}
}
