package config

import (
	"testing"

	"pgregory.net/rapid"
)

// slowEdits is edits, straight from its definition.
func slowEdits(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	change := 1
	if a[0] == b[0] {
		change = 0
	}
	best := min(slowEdits(a[1:], b)+1, slowEdits(a, b[1:])+1, slowEdits(a[1:], b[1:])+change)
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		best = min(best, slowEdits(a[2:], b[2:])+1)
	}
	return best
}

func TestEdits(t *testing.T) {
	words := rapid.StringOfN(rapid.SampledFrom([]rune("abc")), 0, 6, -1)
	rapid.Check(t, func(r *rapid.T) {
		a, b := words.Draw(r, "a"), words.Draw(r, "b")
		if got, want := edits(a, b), slowEdits(a, b); got != want {
			r.Fatalf("edits(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}

func TestNearest(t *testing.T) {
	keys := []string{"vip", "port", "protocol", "weight"}
	for word, want := range map[string]string{
		"prot": "port", "Port": "port", "wieght": "weight", "weights": "weight", "protocl": "protocol", "ip": "vip",
		"xyz": "", "address": "", "": "",
	} {
		got := nearest(word, keys)
		if want != "" {
			want = ` (did you mean "` + want + `"?)`
		}
		if got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
