package gen

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// A StandIn takes the TCP segments of a Generator off an interface, which it
// knows by their type of service, and may answer SYNs among them: it stands in
// for servers that have processors of their own, on a machine where they would
// take those of what is measured. All other frames pass.
type StandIn struct {
	objs standinObjects
	link link.Link // nil: not attached
}

// Taken is what a StandIn has taken off since it was made.
type Taken struct {
	SYNs   uint64
	Others uint64 // other segments
}

// NewStandIn loads the program. mark is the Generator's TOS, not 0. It needs
// CAP_BPF and CAP_NET_ADMIN.
func NewStandIn(mark uint8, answers bool) (*StandIn, error) {
	if mark == 0 {
		return nil, errors.New("gen: a stand-in for frames without a mark would take them all")
	}
	spec, err := loadStandin()
	if err != nil {
		return nil, fmt.Errorf("gen: %w", err)
	}
	var v standinVariableSpecs
	if err := spec.Assign(&v); err != nil {
		return nil, fmt.Errorf("gen: configure the stand-in: %w", err)
	}
	yes := uint8(0)
	if answers {
		yes = 1
	}
	if err := errors.Join(v.Mark.Set(mark), v.Answers.Set(yes)); err != nil {
		return nil, fmt.Errorf("gen: configure the stand-in: %w", err)
	}
	s := new(StandIn)
	if err := spec.LoadAndAssign(&s.objs, nil); err != nil {
		return nil, fmt.Errorf("gen: load the stand-in: %w", err)
	}
	return s, nil
}

// Attach puts the stand-in onto an interface of the calling thread's network
// namespace, into its driver.
func (s *StandIn) Attach(ifindex int) error {
	l, err := link.AttachXDP(link.XDPOptions{Program: s.objs.StandIn, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("gen: attach the stand-in: %w", err)
	}
	s.link = l
	return nil
}

// Taken returns the counters, summed over the CPUs.
func (s *StandIn) Taken() (Taken, error) {
	var cpus []standinTaken
	if err := s.objs.Taken.Lookup(uint32(0), &cpus); err != nil {
		return Taken{}, fmt.Errorf("gen: read the stand-in's counters: %w", err)
	}
	var sum Taken
	for _, c := range cpus {
		sum.SYNs += c.Syns
		sum.Others += c.Others
	}
	return sum, nil
}

// Test runs one frame through the program. It returns what becomes of it, nil if
// it passes or is dropped, and whether it was taken.
func (s *StandIn) Test(frame []byte) (answer []byte, taken bool, err error) {
	out := make([]byte, len(frame))
	verdict, err := s.objs.StandIn.Run(&ebpf.RunOptions{Data: frame, DataOut: out, Repeat: 1})
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("gen: test the stand-in: %w", err)
	case verdict == xdpTx:
		return out, true, nil
	}
	return nil, verdict == xdpDrop, nil
}

// xdpTx is XDP_TX of include/uapi/linux/bpf.h.
const xdpTx = 3

// Close detaches and unloads the program.
func (s *StandIn) Close() error {
	var err error
	if s.link != nil {
		err = s.link.Close()
	}
	return errors.Join(err, s.objs.Close())
}
