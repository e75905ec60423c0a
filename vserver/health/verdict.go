package health

import "encoding"

// A State is the verdict on a target.
type State uint8

// The states; doc.go draws how they follow each other.
const (
	Unknown State = iota // no success yet, nor Fall failures: counts as down
	Up
	Down
)

var _ encoding.TextMarshaler = Up

// String returns the state's name as status pages show it.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "unknown"
}

// MarshalText returns the state's name, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A verdict is a State with the evidence against it: a pure state machine.
type verdict struct {
	state   State
	against int // results in a row that contradict state
}

// record takes the result of one check into account and reports whether the
// state changed.
func (v *verdict) record(ok bool, rise, fall int) bool {
	if ok == (v.state == Up) && v.state != Unknown {
		v.against = 0
		return false
	}
	if ok && v.state == Unknown {
		*v = verdict{state: Up}
		return true
	}
	v.against++
	limit, next := fall, Down
	if ok {
		limit, next = rise, Up
	}
	if v.against < limit {
		return false
	}
	*v = verdict{state: next}
	return true
}
