package node

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// newDenyList returns a list and what it has last put in force.
func newDenyList() (d *denyList, inForce *[]netip.Prefix) {
	inForce = new([]netip.Prefix)
	return &denyList{set: func(all []netip.Prefix) error {
		slices.SortFunc(all, netip.Prefix.Compare)
		*inForce = all
		return nil
	}}, inForce
}

// What is in force is what the configuration and operators say together, at each
// step.
func TestDenyList(t *testing.T) {
	d, inForce := newDenyList()
	a, b, c := prefix("10.0.0.0/8"), prefix("198.51.100.0/24"), prefix("2001:db8::/32")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []struct {
		name string
		do   func() error
		want []netip.Prefix // in force
		err  string
	}{
		{"configured", func() error { return d.configure([]netip.Prefix{a}) }, []netip.Prefix{a}, ""},
		{"added for a minute", func() error { return d.add(b, now.Add(time.Minute)) }, []netip.Prefix{a, b}, ""},
		{"added without end", func() error { return d.add(c, time.Time{}) }, []netip.Prefix{a, b, c}, ""},
		{"reloaded", func() error { return d.configure(nil) }, []netip.Prefix{b, c}, ""},
		{"too early", func() error { return d.expire(now.Add(time.Minute - 1)) }, []netip.Prefix{b, c}, ""},
		{"added again, for longer", func() error { return d.add(b, now.Add(time.Hour)) }, []netip.Prefix{b, c}, ""},
		{"its first time is over", func() error { return d.expire(now.Add(time.Minute)) }, []netip.Prefix{b, c}, ""},
		{"over", func() error { return d.expire(now.Add(time.Hour)) }, []netip.Prefix{c}, ""},
		{"removed", func() error { return d.remove(c) }, nil, ""},
		{"removed again", func() error { return d.remove(c) }, nil, "is not denied"},
		{"configured and added", func() error { return errors.Join(d.configure([]netip.Prefix{a}), d.add(a, time.Time{})) }, []netip.Prefix{a, a}, ""},
		{"removed though configured", func() error { return d.remove(a) }, []netip.Prefix{a, a}, "take it out there and reload"},
		{"out of the configuration", func() error { return d.configure(nil) }, []netip.Prefix{a}, ""},
		{"now it can be", func() error { return d.remove(a) }, nil, ""},
	} {
		if err := s.do(); (err == nil) != (s.err == "") || err != nil && !strings.Contains(err.Error(), s.err) {
			t.Errorf("%s: error %v, want %q in it", s.name, err, s.err)
		}
		if !slices.Equal(*inForce, s.want) {
			t.Errorf("%s: in force are %v, want %v", s.name, *inForce, s.want)
		}
	}
}

func TestDenyListSays(t *testing.T) {
	d, _ := newDenyList()
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b, c := prefix("2001:db8::/32"), prefix("198.51.100.0/24"), prefix("10.0.0.0/8")
	err := errors.Join(d.configure([]netip.Prefix{a, b}), d.add(b, until), d.add(c, time.Time{}))
	want := []Denial{{Prefix: c, Added: true}, {Prefix: b, Configured: true, Added: true, Until: until}, {Prefix: a, Configured: true}}
	if got := d.list(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
}

// A list that the kernel refuses leaves the one before it in force.
func TestDenyListRefused(t *testing.T) {
	d, inForce := newDenyList()
	a, b := prefix("10.0.0.0/8"), prefix("11.0.0.0/8")
	if err := d.configure([]netip.Prefix{a}); err != nil {
		t.Fatal(err)
	}
	set := d.set
	d.set = func(all []netip.Prefix) error {
		if err := set(all); slices.Contains(all, b) {
			return errors.Join(err, errors.New("no"))
		}
		return nil
	}
	if d.add(b, time.Time{}) == nil || d.configure([]netip.Prefix{b}) == nil {
		t.Error("no error")
	}
	if got := d.list(); len(got) != 1 || got[0].Prefix != a || !slices.Equal(*inForce, []netip.Prefix{a}) {
		t.Errorf("listed are %v and in force %v, want %v", got, *inForce, a)
	}
}
