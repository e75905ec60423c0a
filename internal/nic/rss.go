package nic

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"appliance/rss"
)

// A State is who sees to it that packets come to their owners.
type State string

// The states.
const (
	Hardware State = "hardware" // the card, all those with ports
	Partial  State = "partial"  // the card, some of them
	Software State = "software" // the engines, by handing over
)

// Config says what a card is to do.
type Config struct {
	Interface string
	Index     int // of the interface: another one with its name is let alone
	Key       rss.Key
	Cores     *rss.CoreTable
	Engines   []int // the engine of each receive queue
}

// An RSS is the receive side scaling of one interface. It is not safe for
// concurrent use; State and Why don't change after Program.
type RSS struct {
	State State
	Why   string // why it isn't Hardware; empty when it is

	dev    device // nil: nothing is to be put back
	queues int
	was    *settings       // before they were changed; nil: they were not
	fields map[flow]uint64 // likewise, of flows whose fields were changed
}

// InSoftware returns the RSS of an interface whose card is let alone.
func InSoftware(why string) *RSS { return &RSS{State: Software, Why: why} }

// Program programs the card of an interface, reads back what it has taken, and
// tells how far that came. If the key or the table are refused, all is as it was
// before. Needs CAP_NET_ADMIN; works in the caller's network namespace, in which
// Restore works too, wherever it is called.
func Program(cfg Config) *RSS {
	dev, err := open(cfg.Interface, cfg.Index)
	if err != nil {
		return InSoftware(err.Error())
	}
	return program(dev, cfg)
}

// program is Program for any device, which it closes unless there is something
// to put back.
func program(dev device, cfg Config) *RSS {
	r := &RSS{State: Hardware, dev: dev, queues: len(cfg.Engines), fields: map[flow]uint64{}}
	if err := r.place(&cfg); err != nil {
		r.State, r.Why = Software, err.Error()
		if err := r.Restore(); err != nil {
			r.Why += "; " + err.Error()
		}
		return r
	}
	var refused []string
	for _, f := range flows {
		if err := r.hash(f); err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", f.name, err))
		}
	}
	if len(refused) > 0 {
		r.State, r.Why = Partial, "not hashed by addresses and ports: "+strings.Join(refused, ", ")
	}
	return r
}

// place sets key and table.
func (r *RSS) place(cfg *Config) error {
	was, err := r.dev.settings()
	if errors.Is(err, errors.ErrUnsupported) {
		return errors.New("the driver has no receive side scaling that can be programmed")
	}
	if err != nil {
		return fmt.Errorf("read key and indirection table: %w", err)
	}
	want := settings{}
	if want.key, err = pad(cfg.Key, len(was.key)); err != nil {
		return err
	}
	if want.table, err = indirection(len(was.table), cfg.Cores, cfg.Engines); err != nil {
		return err
	}
	if was.function != toeplitz {
		want.function = toeplitz
	}
	r.was = &was
	if err := r.dev.set(want); err != nil {
		return fmt.Errorf("set key and indirection table: %w", err)
	}
	is, err := r.dev.settings()
	switch {
	case err != nil:
		return fmt.Errorf("read key and indirection table back: %w", err)
	case !bytes.Equal(is.key, want.key):
		return errors.New("the card has taken another key than was set")
	case !slices.Equal(is.table, want.table):
		return errors.New("the card has taken another indirection table than was set")
	case is.function != toeplitz || is.transform != 0:
		return errors.New("the card does not hash by Toeplitz alone")
	}
	return nil
}

// hash sets the fields that packets of f are hashed by.
func (r *RSS) hash(f flow) error {
	was, err := r.dev.fields(f)
	if err != nil {
		return fmt.Errorf("read fields: %w", err)
	}
	if was == tuple {
		return nil
	}
	r.fields[f] = was
	if err := r.dev.setFields(f, tuple); err != nil {
		return fmt.Errorf("set fields: %w", err)
	}
	is, err := r.dev.fields(f)
	if err != nil {
		return fmt.Errorf("read fields back: %w", err)
	}
	if is != tuple {
		return errors.New("the card has taken other fields than were set")
	}
	return nil
}

// Restore puts back what Program has changed, and reports what couldn't be. An
// interface that is gone has nothing to put back. A second call does nothing,
// unless the first one failed: then it tries the rest again.
func (r *RSS) Restore() error {
	if r.dev == nil {
		return nil
	}
	var errs []error
	for _, f := range flows {
		if err := r.restoreFields(f); err != nil {
			errs = append(errs, fmt.Errorf("nic: put the fields of %s back: %w", f.name, err))
		}
	}
	if err := r.restoreSettings(); err != nil {
		errs = append(errs, fmt.Errorf("nic: put key and indirection table back: %w", err))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	dev := r.dev
	r.dev = nil
	return dev.close()
}

func (r *RSS) restoreFields(f flow) error {
	was, changed := r.fields[f]
	if !changed {
		return nil
	}
	is, err := r.dev.fields(f)
	if err == nil && is != was {
		err = r.dev.setFields(f, was)
	}
	return unlessGone(err)
}

// restoreSettings puts back a table that was the kernel's default by asking for
// the default: so the kernel is free again to make another one for another
// number of queues.
func (r *RSS) restoreSettings() error {
	if r.was == nil {
		return nil
	}
	is, err := r.dev.settings()
	if err != nil {
		return unlessGone(err)
	}
	back := *r.was
	if bytes.Equal(is.key, back.key) && slices.Equal(is.table, back.table) && is.function == back.function && is.transform == back.transform {
		return nil
	}
	if is.function == back.function {
		back.function = 0
	}
	if isDefault(back.table, r.queues) {
		back.table = nil
	}
	return unlessGone(r.dev.set(back))
}

// unlessGone returns err, or nil if it says that the interface is gone.
func unlessGone(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
