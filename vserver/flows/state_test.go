package flows

import (
	"strings"
	"testing"
	"time"
)

func TestStateNames(t *testing.T) {
	seen := map[string]bool{}
	for s := range states {
		name := s.String()
		if name == "" || strings.HasPrefix(name, "state(") || seen[name] {
			t.Errorf("state %d is called %q", uint8(s), name)
		}
		seen[name] = true
	}
	if got := State(255).String(); got != "state(255)" {
		t.Errorf("a state that there isn't is called %q", got)
	}
}

func TestTicks(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		0: 0, 62 * time.Millisecond: 0, 62500 * time.Microsecond: 1, time.Second: TicksPerSecond, time.Minute: Rest,
	} {
		if got := Ticks(d); got != want {
			t.Errorf("%v is %d ticks, want %d", d, got, want)
		}
	}
}

func TestTimeoutsValidate(t *testing.T) {
	if err := DefaultTimeouts.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for text, spoil := range map[string]func(*Timeouts){
		"handshake is 0s, want 2 s to 24 h":      func(to *Timeouts) { to.Handshake = 0 },
		"established is 24h0m0.0625s":            func(to *Timeouts) { to.Established = Ticks(24*time.Hour) + 1 },
		"half closed is 1s":                      func(to *Timeouts) { to.HalfClosed = TicksPerSecond },
		"half closed is longer than established": func(to *Timeouts) { to.HalfClosed = to.Established + 1 },
		"unreplied is 1.9375s, want 2 s to 24 h": func(to *Timeouts) { to.Unreplied = 2*TicksPerSecond - 1 },
		"replied is 0s, want 2 s to 24 h":        func(to *Timeouts) { to.Replied = 0 },
	} {
		to := DefaultTimeouts
		spoil(&to)
		if err := to.Validate(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want an error with %q", err, text)
		}
	}
}
