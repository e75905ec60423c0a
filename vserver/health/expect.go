package health

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// MaxBytes is the most that a check sends in a datagram or looks for in an
// answer, in bytes.
const MaxBytes = 1024

var errUnexpected = errors.New("the answer is not what is expected")

// An expectation is what an answer must hold. The zero expectation is met by
// every answer.
type expectation struct {
	text    []byte
	pattern *regexp.Regexp
}

// validateExpect checks what an answer is held against.
func (c Check) validateExpect() error {
	if c.Expect != "" && c.ExpectRegexp != "" {
		return fmt.Errorf("%w: text and regular expression to expect, want one of them", ErrBadTarget)
	}
	if len(c.Expect) > MaxBytes || len(c.ExpectRegexp) > MaxBytes {
		return fmt.Errorf("%w: more than %d bytes to expect", ErrBadTarget, MaxBytes)
	}
	if _, err := regexp.Compile(c.ExpectRegexp); err != nil {
		return fmt.Errorf("%w: %w", ErrBadTarget, err)
	}
	return nil
}

// expectation returns what answers to a valid check must hold.
func (c Check) expectation() expectation {
	e := expectation{text: []byte(c.Expect)}
	if c.ExpectRegexp != "" {
		e.pattern = regexp.MustCompile(c.ExpectRegexp)
	}
	return e
}

// none reports whether every answer will do.
func (e *expectation) none() bool { return len(e.text) == 0 && e.pattern == nil }

// check returns nil if a whole answer is what is expected.
func (e *expectation) check(answer []byte) error {
	if !bytes.Contains(answer, e.text) || e.pattern != nil && !e.pattern.Match(answer) {
		return errUnexpected
	}
	return nil
}

// read reads an answer of any length, and returns nil if what is expected is in
// its first most bytes. Text is found as soon as it is there, though the answer
// never ends; a regular expression is held against all of it.
func (e *expectation) read(answer io.Reader, most int) error {
	seen := make([]byte, 0, most)
	for len(seen) < most {
		n, err := answer.Read(seen[len(seen):most])
		from := max(0, len(seen)-len(e.text)+1) // text may begin in what was read before
		seen = seen[:len(seen)+n]
		if e.pattern == nil && bytes.Contains(seen[from:], e.text) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return e.check(seen)
		}
		if err != nil {
			return err
		}
	}
	if err := e.check(seen); err != nil {
		return fmt.Errorf("%w within %d bytes", err, most)
	}
	return nil
}
