package nic

import (
	"errors"
	"maps"
	"slices"
)

// A card is a device in memory. Its hooks, where they are set, replace what it
// does.
type card struct {
	now     settings
	hashed  map[flow]uint64
	queues  int
	written int // calls that changed something, or tried to
	closed  bool

	onSettings  func() error
	onSet       func(settings) (done bool, err error)
	onFields    func(flow) error
	onSetFields func(flow, uint64) (done bool, err error)
}

// newCard returns a card as its driver sets it up: the kernel's default table, a
// key of its own, UDP by addresses only.
func newCard(table, key, queues int) *card {
	c := &card{queues: queues, hashed: map[flow]uint64{}}
	for i := range table {
		c.now.table = append(c.now.table, uint32(i%queues))
	}
	for i := range key {
		c.now.key = append(c.now.key, byte(100+i))
	}
	c.now.function = toeplitz
	for i, f := range flows {
		if c.hashed[f] = tuple; i%2 == 1 {
			c.hashed[f] = 1<<4 | 1<<5
		}
	}
	return c
}

// state returns a copy of all that the card has been told.
func (c *card) state() (settings, map[flow]uint64) {
	s := c.now
	s.table, s.key = slices.Clone(s.table), slices.Clone(s.key)
	return s, maps.Clone(c.hashed)
}

func (c *card) settings() (settings, error) {
	if c.onSettings != nil {
		if err := c.onSettings(); err != nil {
			return settings{}, err
		}
	}
	s, _ := c.state()
	return s, nil
}

// set checks what the kernel checks (ethtool_set_rxfh in net/ethtool/ioctl.c).
func (c *card) set(s settings) error {
	c.written++
	if c.onSet != nil {
		if done, err := c.onSet(s); done || err != nil {
			return err
		}
	}
	if len(s.table) != 0 && len(s.table) != len(c.now.table) || len(s.key) != 0 && len(s.key) != len(c.now.key) {
		return errors.New("wrong size")
	}
	for i := range c.now.table {
		queue := uint32(i % c.queues)
		if len(s.table) != 0 {
			queue = s.table[i]
		}
		if int(queue) >= c.queues {
			return errors.New("no such queue")
		}
		c.now.table[i] = queue
	}
	copy(c.now.key, s.key)
	if s.function != 0 {
		c.now.function = s.function
	}
	c.now.transform = s.transform
	return nil
}

func (c *card) fields(f flow) (uint64, error) {
	if c.onFields != nil {
		if err := c.onFields(f); err != nil {
			return 0, err
		}
	}
	return c.hashed[f], nil
}

func (c *card) setFields(f flow, fields uint64) error {
	c.written++
	if c.onSetFields != nil {
		if done, err := c.onSetFields(f, fields); done || err != nil {
			return err
		}
	}
	c.hashed[f] = fields
	return nil
}

func (c *card) close() error {
	if c.closed {
		return errors.New("closed twice")
	}
	c.closed = true
	return nil
}
