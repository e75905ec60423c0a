package nic

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"appliance/rss"
)

// config is that of a node whose queues are dealt out to its engines in turn.
func config(t testing.TB, engines, queues int) Config {
	t.Helper()
	cores, err := rss.NewCoreTable(engines)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Key: rss.MicrosoftKey, Cores: cores}
	for queue := range queues {
		cfg.Engines = append(cfg.Engines, queue%engines)
	}
	return cfg
}

// restores checks that Restore brings back what was, closes the card, and has
// nothing to do a second time.
func restores(t *testing.T, c *card, r *RSS, was settings, fields map[flow]uint64) {
	t.Helper()
	if err := r.Restore(); err != nil {
		t.Errorf("restore: %v", err)
	}
	if !reflect.DeepEqual(c.now, was) || !maps.Equal(c.hashed, fields) {
		t.Errorf("restored to %+v, %v\nwas %+v, %v", c.now, c.hashed, was, fields)
	}
	written := c.written
	if err := r.Restore(); err != nil || c.written != written || !c.closed {
		t.Errorf("restored twice: error %v, %d writes more, closed %v", err, c.written-written, c.closed)
	}
}

// Cards of all common sizes are programmed, and every hash comes to its owner.
func TestProgram(t *testing.T) {
	for _, c := range []struct{ table, key, engines, queues int }{
		{128, 40, 1, 1}, {128, 40, 2, 2}, {128, 40, 3, 8}, {512, 52, 4, 4}, {2048, 52, 3, 3}, {4096, 40, 7, 16},
		{64, 40, 2, 4}, {64, 40, 64, 64}, {16, 64, 4, 4}, {1, 40, 1, 1},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			nic, cfg := newCard(c.table, c.key, c.queues), config(t, c.engines, c.queues)
			was, fields := nic.state()
			r := program(nic, cfg)
			if r.State != Hardware || r.Why != "" {
				t.Fatalf("%s: %s", r.State, r.Why)
			}
			for hash := range uint32(8192) {
				queue := nic.now.table[hash%uint32(c.table)]
				if got, want := cfg.Engines[queue], int(cfg.Cores.Engine(hash)); got != want {
					t.Fatalf("hash %d comes to engine %d, and engine %d owns it", hash, got, want)
				}
			}
			if !bytes.Equal(nic.now.key[:rss.KeySize], cfg.Key[:]) || nic.now.function != toeplitz {
				t.Errorf("key % x, function %d", nic.now.key, nic.now.function)
			}
			for _, f := range flows {
				if nic.hashed[f] != tuple {
					t.Errorf("%s is hashed by %#x", f.name, nic.hashed[f])
				}
			}
			restores(t, nic, r, was, fields)
		})
	}
}

// Every queue of an engine gets its share of the engine's entries, as even as
// whole numbers allow.
func TestQueuesShareEvenly(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		engines := rapid.IntRange(1, 16).Draw(r, "engines")
		queues := rapid.IntRange(engines, 64).Draw(r, "queues")
		size := 128 << rapid.IntRange(0, 5).Draw(r, "doublings")
		cfg := config(t, engines, queues)
		table, err := indirection(size, cfg.Cores, cfg.Engines)
		if err != nil {
			r.Fatal(err)
		}
		entries := make([]int, queues)
		for i, queue := range table {
			if cfg.Engines[queue] != int(cfg.Cores.Engine(uint32(i))) {
				r.Fatalf("entry %d is not with its owner", i)
			}
			entries[queue]++
		}
		for a := range queues {
			if b := (a + engines) % queues; cfg.Engines[a] == cfg.Engines[b] && entries[a]-entries[b] > 1 {
				r.Fatalf("queues %d and %d of one engine: %v entries", a, b, entries)
			}
		}
	})
}

// What a card can't do leaves it untouched, and says why.
func TestCardsThatCannot(t *testing.T) {
	for _, c := range []struct {
		name string
		card *card
		want string
	}{
		{"no table", newCard(0, 40, 4), "no indirection table"},
		{"no key", newCard(128, 0, 4), "key has 0 bytes"},
		{"short key", newCard(128, 39, 4), "key has 39 bytes, and the hash needs 40"},
		{"odd table", newCard(96, 40, 4), "96 entries, and low bits"},
		{"small table", newCard(64, 40, 4), "64 entries, too few"},
		{"unsupported", &card{onSettings: func() error { return unix.EOPNOTSUPP }}, "the driver has no receive side scaling"},
		{"unreadable", &card{onSettings: func() error { return unix.EPERM }}, "read key and indirection table: operation not permitted"},
	} {
		r := program(c.card, config(t, 3, 4))
		if r.State != Software || !strings.Contains(r.Why, c.want) {
			t.Errorf("%s: %s: %s", c.name, r.State, r.Why)
		}
		if c.card.written != 0 || !c.card.closed || r.Restore() != nil {
			t.Errorf("%s: %d writes, closed %v", c.name, c.card.written, c.card.closed)
		}
	}
}

// Whatever goes wrong with the key or the table, both are as before, and so are
// the fields.
func TestFailuresAreUndone(t *testing.T) {
	broken := errors.New("broken")
	once := func(c *card, do func(s settings) (bool, error)) {
		c.onSet = func(s settings) (bool, error) { c.onSet = nil; return do(s) }
	}
	for _, c := range []struct {
		name   string
		breaks func(*card)
		want   string
	}{
		{"refused", func(c *card) { once(c, func(settings) (bool, error) { return true, broken }) }, "set key and indirection table: broken"},
		{"half done", func(c *card) {
			once(c, func(s settings) (bool, error) { copy(c.now.table, s.table); return true, broken })
		}, "set key and indirection table: broken"},
		{"another key", func(c *card) {
			once(c, func(s settings) (bool, error) { c.set(s); c.now.key[0]++; return true, nil })
		}, "another key"},
		{"another table", func(c *card) {
			once(c, func(s settings) (bool, error) { copy(c.now.key, s.key); return true, nil })
		}, "another indirection table"},
		{"another function", func(c *card) {
			once(c, func(s settings) (bool, error) { c.set(s); c.now.function = 2; return true, nil })
		}, "Toeplitz"},
		{"a symmetric hash", func(c *card) {
			once(c, func(s settings) (bool, error) { c.set(s); c.now.transform = 1; return true, nil })
		}, "Toeplitz"},
		{"not read back", func(c *card) {
			once(c, func(s settings) (bool, error) {
				c.set(s)
				c.onSettings = func() error { c.onSettings = nil; return broken }
				return true, nil
			})
		}, "read key and indirection table back: broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nic := newCard(128, 40, 4)
			was, fields := nic.state()
			c.breaks(nic)
			r := program(nic, config(t, 3, 4))
			if r.State != Software || !strings.Contains(r.Why, c.want) {
				t.Errorf("%s: %s, want %q", r.State, r.Why, c.want)
			}
			restores(t, nic, r, was, fields)
		})
	}
}

// A card that hashes some flows by its own fields does what it can.
func TestPartial(t *testing.T) {
	udp4 := flows[1]
	for _, c := range []struct {
		name   string
		breaks func(*card)
		want   string
	}{
		{"fields unknown", func(c *card) { c.onFields = func(flow) error { return unix.EOPNOTSUPP } },
			"tcp4: read fields: operation not supported, udp4: read fields"},
		{"fields refused", func(c *card) {
			c.onSetFields = func(f flow, _ uint64) (bool, error) { return true, unix.EINVAL }
		}, "not hashed by addresses and ports: udp4: set fields: invalid argument, udp6: set"},
		{"one refused", func(c *card) {
			c.onSetFields = func(f flow, _ uint64) (bool, error) {
				if f == udp4 {
					return true, unix.EINVAL
				}
				return false, nil
			}
		}, "not hashed by addresses and ports: udp4: set fields: invalid argument"},
		{"other fields taken", func(c *card) {
			c.onSetFields = func(f flow, _ uint64) (bool, error) { c.onSetFields = nil; c.hashed[f] = 1 << 4; return true, nil }
		}, "udp4: the card has taken other fields than were set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nic, cfg := newCard(128, 40, 4), config(t, 2, 4)
			was, fields := nic.state()
			c.breaks(nic)
			r := program(nic, cfg)
			if r.State != Partial || !strings.Contains(r.Why, c.want) {
				t.Errorf("%s: %s, want %q", r.State, r.Why, c.want)
			}
			if !bytes.Equal(nic.now.key, cfg.Key[:]) {
				t.Error("the key is not in force")
			}
			restores(t, nic, r, was, fields)
		})
	}
}

// A card with another hash function gets Toeplitz, and its own back.
func TestOtherFunction(t *testing.T) {
	nic := newCard(128, 40, 4)
	nic.now.function, nic.now.transform = 2, 1
	was, fields := nic.state()
	r := program(nic, config(t, 2, 4))
	if r.State != Hardware || nic.now.function != toeplitz || nic.now.transform != 0 {
		t.Errorf("%s: %s; function %d, transform %d", r.State, r.Why, nic.now.function, nic.now.transform)
	}
	restores(t, nic, r, was, fields)
}

// Only what differs is written, and old drivers, which take no hash function at
// all, are given none.
func TestWritesWhatDiffersOnly(t *testing.T) {
	nic := newCard(128, 40, 4)
	nic.onSet = func(s settings) (bool, error) {
		if s.function != 0 {
			return true, unix.EINVAL
		}
		return false, nil
	}
	was, fields := nic.state()
	r := program(nic, config(t, 4, 4))
	if r.State != Hardware || nic.written != 3 { // key and table, udp4, udp6
		t.Errorf("%s: %s, %d writes", r.State, r.Why, nic.written)
	}
	restores(t, nic, r, was, fields)
}

// The kernel's default table is restored by asking for the default, an
// operator's own as it was.
func TestRestoreOfTheTable(t *testing.T) {
	for _, own := range []bool{false, true} {
		nic := newCard(128, 40, 4)
		if own {
			nic.now.table[5] = 3
		}
		was, fields := nic.state()
		r := program(nic, config(t, 3, 4))
		var last settings
		nic.onSet = func(s settings) (bool, error) { last = s; return false, nil }
		restores(t, nic, r, was, fields)
		if entries := len(last.table); (entries == 128) != own {
			t.Errorf("an operator's table: %v, and %d entries were written", own, entries)
		}
	}
}

// What couldn't be put back is said, and tried again.
func TestRestoreFailsAtFirst(t *testing.T) {
	broken := errors.New("broken")
	nic := newCard(128, 40, 4)
	was, fields := nic.state()
	r := program(nic, config(t, 3, 4))
	nic.onSet = func(settings) (bool, error) { nic.onSet = nil; return true, broken }
	nic.onSetFields = func(flow, uint64) (bool, error) { nic.onSetFields = nil; return true, broken }
	err := r.Restore()
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "fields of udp4 back") || !strings.Contains(err.Error(), "table back") || nic.closed {
		t.Errorf("error %v, closed %v", err, nic.closed)
	}
	restores(t, nic, r, was, fields)
}

// A failure that can't be undone at once is undone at the end.
func TestUndoFailsAtFirst(t *testing.T) {
	broken := errors.New("broken")
	nic := newCard(128, 40, 4)
	was, fields := nic.state()
	writes := 0
	nic.onSet = func(s settings) (bool, error) {
		if writes++; writes == 1 {
			copy(nic.now.table, s.table)
		}
		if writes <= 2 {
			return true, broken
		}
		return false, nil
	}
	r := program(nic, config(t, 3, 4))
	if r.State != Software || !strings.Contains(r.Why, "table: broken; nic: put key and indirection table back: broken") {
		t.Errorf("%s: %s", r.State, r.Why)
	}
	restores(t, nic, r, was, fields)
}

// An interface that has gone meanwhile needs nothing.
func TestRestoreOfWhatIsGone(t *testing.T) {
	nic := newCard(128, 40, 4)
	r := program(nic, config(t, 3, 4))
	gone := func() error { return unix.ENODEV }
	nic.onSettings, nic.onFields = gone, func(flow) error { return gone() }
	if err := r.Restore(); err != nil || !nic.closed {
		t.Errorf("error %v, closed %v", err, nic.closed)
	}
	if err := InSoftware("no").Restore(); err != nil {
		t.Error(err)
	}
}
