package gen

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// sample is one in how many frames has its checksums verified.
const sample = 1024

// A Sink counts and drops the test's frames on one interface. Other frames, such
// as ARP, go on to the kernel.
type Sink struct {
	objs sinkObjects
	link link.Link // nil: not attached
}

// Counts is what a Sink has seen since it was made.
type Counts struct {
	Frames, Bytes uint64 // the test's
	Verified      uint64 // frames whose checksums were looked at
	BadIP, BadL4  uint64 // of those, with a wrong IPv4 header or TCP/UDP checksum
	Unexpected    uint64 // not the test's
}

// NewSink loads the program; frames to port are the test's. It needs CAP_BPF and
// CAP_NET_ADMIN.
func NewSink(port uint16) (*Sink, error) {
	return newSink(port, sample)
}

func newSink(port uint16, every uint64) (*Sink, error) {
	spec, err := loadSink()
	if err != nil {
		return nil, fmt.Errorf("gen: %w", err)
	}
	var v sinkVariableSpecs
	if err := spec.Assign(&v); err != nil {
		return nil, fmt.Errorf("gen: configure the sink: %w", err)
	}
	if err := errors.Join(v.DstPort.Set(bigEndian(port)), v.SampleMask.Set(every-1)); err != nil {
		return nil, fmt.Errorf("gen: configure the sink: %w", err)
	}
	s := new(Sink)
	if err := spec.LoadAndAssign(&s.objs, nil); err != nil {
		return nil, fmt.Errorf("gen: load the sink: %w", err)
	}
	return s, nil
}

// Attach puts the sink onto an interface of the calling thread's network
// namespace, into its driver.
func (s *Sink) Attach(ifindex int) error {
	l, err := link.AttachXDP(link.XDPOptions{Program: s.objs.Count, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("gen: attach the sink: %w", err)
	}
	s.link = l
	return nil
}

// Counts returns the counters, summed over the CPUs.
func (s *Sink) Counts() (Counts, error) {
	var cpus []sinkCounts
	if err := s.objs.Counts.Lookup(uint32(0), &cpus); err != nil {
		return Counts{}, fmt.Errorf("gen: read the sink's counters: %w", err)
	}
	var sum Counts
	for _, c := range cpus {
		sum.Frames += c.Frames
		sum.Bytes += c.Bytes
		sum.Verified += c.Verified
		sum.BadIP += c.BadIp
		sum.BadL4 += c.BadL4
		sum.Unexpected += c.Unexpected
	}
	return sum, nil
}

// Test runs one frame through the program and reports whether it is the test's.
func (s *Sink) Test(frame []byte) (bool, error) {
	verdict, err := s.objs.Count.Run(&ebpf.RunOptions{Data: frame, Repeat: 1})
	if err != nil {
		return false, fmt.Errorf("gen: test the sink: %w", err)
	}
	return verdict == xdpDrop, nil
}

// xdpDrop is XDP_DROP of include/uapi/linux/bpf.h.
const xdpDrop = 1

// Close detaches and unloads the program.
func (s *Sink) Close() error {
	var err error
	if s.link != nil {
		err = s.link.Close()
	}
	return errors.Join(err, s.objs.Close())
}
