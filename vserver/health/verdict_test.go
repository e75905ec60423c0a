package health

import (
	"testing"

	"pgregory.net/rapid"
)

func TestVerdict(t *testing.T) {
	const rise, fall = 2, 3
	cases := []struct{ name, results, states string }{
		{"first success is enough", "+", "U"},
		{"unknown failures count, then success is enough", "--+", "??U"},
		{"fall failures end being unknown", "---", "??D"},
		{"then rise successes are needed", "---++", "??DDU"},
		{"up survives fall-1 failures", "+--+--+", "UUUUUUU"},
		{"up falls", "+---", "UUUD"},
		{"one failure restarts rising", "---+-++", "??DDDDU"},
		{"round trip", "+---++---", "UUUDDUUUD"},
	}
	letter := map[State]byte{Unknown: '?', Up: 'U', Down: 'D'}
	for _, c := range cases {
		var v verdict
		var got []byte
		for _, r := range c.results {
			was := v.state
			if changed := v.record(r == '+', rise, fall); changed != (v.state != was) {
				t.Errorf("%s: record said changed = %v, state %v to %v", c.name, changed, was, v.state)
			}
			got = append(got, letter[v.state])
		}
		if string(got) != c.states {
			t.Errorf("%s: %s gave %s, want %s", c.name, c.results, got, c.states)
		}
	}
}

// slowState reads the state off the whole history, as doc.go states the rules.
func slowState(results []bool, rise, fall int) State {
	state, from := Unknown, 0 // from: first result since the state was entered
	for i := range results {
		tail := func(want bool) int { // length of the run of want that ends at i
			n := 0
			for j := i; j >= from && results[j] == want; j-- {
				n++
			}
			return n
		}
		next := state
		switch {
		case state == Unknown && results[i]:
			next = Up
		case state == Down && tail(true) >= rise:
			next = Up
		case state != Down && tail(false) >= fall:
			next = Down
		}
		if next != state {
			state, from = next, i+1
		}
	}
	return state
}

func TestVerdictMatchesSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rise := rapid.IntRange(1, 4).Draw(t, "rise")
		fall := rapid.IntRange(1, 4).Draw(t, "fall")
		results := rapid.SliceOfN(rapid.Bool(), 1, 40).Draw(t, "results")
		var v verdict
		for i, ok := range results {
			v.record(ok, rise, fall)
			if want := slowState(results[:i+1], rise, fall); v.state != want {
				t.Fatalf("after %v: %v, want %v", results[:i+1], v.state, want)
			}
		}
	})
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{Unknown: "unknown", Up: "up", Down: "down"} {
		if text, err := s.MarshalText(); err != nil || string(text) != want {
			t.Errorf("state %d is %q (%v), want %q", s, text, err, want)
		}
	}
}
