package health

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestExpectation(t *testing.T) {
	broken := errors.New("broken")
	long := strings.Repeat("x", 50)
	cases := []struct {
		name         string
		text, regexp string
		answer       io.Reader
		want         error
	}{
		{"text at the start", "ok", "", strings.NewReader("ok " + long), nil},
		{"text at the bound", "ok", "", strings.NewReader(long + strings.Repeat("x", 48) + "ok"), nil},
		{"text across the bound", "ok", "", strings.NewReader(long + strings.Repeat("x", 49) + "ok"), errUnexpected},
		{"text that never comes", "ok", "", strings.NewReader("no"), errUnexpected},
		{"nothing at all", "ok", "", strings.NewReader(""), errUnexpected},
		{"text, then a broken connection", "ok", "", io.MultiReader(strings.NewReader("ok"), iotest.ErrReader(broken)), nil},
		{"text in pieces, then a broken connection", "ok", "", io.MultiReader(strings.NewReader("o"), strings.NewReader("k"), iotest.ErrReader(broken)), nil},
		{"broken before the text", "ok", "", io.MultiReader(strings.NewReader("o"), iotest.ErrReader(broken)), broken},
		{"text byte by byte", "okay", "", iotest.OneByteReader(strings.NewReader("ok okokay")), nil},
		{"text with the end", "ok", "", iotest.DataErrReader(strings.NewReader("ok")), nil},
		{"pattern", "", "^o.$", strings.NewReader("ok"), nil},
		{"pattern against the whole", "", "^o.$", iotest.OneByteReader(strings.NewReader("okay")), errUnexpected},
		{"pattern within the bound", "", "x$", strings.NewReader(long + long + "yyy"), nil},
		{"pattern before the answer breaks", "", "ok", io.MultiReader(strings.NewReader("ok"), iotest.ErrReader(broken)), broken},
	}
	for _, c := range cases {
		e := Check{Expect: c.text, ExpectRegexp: c.regexp}.expectation()
		if err := e.read(c.answer, 100); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// However an answer comes in pieces, it is judged like the whole of it.
func TestExpectationOfPiecesIsThatOfTheWhole(t *testing.T) {
	letters := rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 30, -1)
	rapid.Check(t, func(r *rapid.T) {
		answer := letters.Draw(r, "answer")
		e := Check{Expect: rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 1, 5, -1).Draw(r, "text")}.expectation()
		most := rapid.IntRange(1, 40).Draw(r, "most")
		var pieces []io.Reader
		for rest := answer; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(r, "piece")
			pieces = append(pieces, strings.NewReader(rest[:n]))
			rest = rest[n:]
		}
		got, want := e.read(io.MultiReader(pieces...), most), e.check([]byte(answer[:min(most, len(answer))]))
		if (got == nil) != (want == nil) {
			r.Fatalf("in pieces: %v, whole: %v", got, want)
		}
	})
}
