package xdp

import "testing"

func TestReasonNames(t *testing.T) {
	seen := make(map[string]bool)
	for r := range Reasons {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d has the name %q", r, name)
		} else {
			seen[name] = true
		}
	}
	if got := Reasons.String(); got != "reason(8)" {
		t.Errorf("a number that is no reason is called %q", got)
	}
}
