package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	Line int    // in the file, from 1; 0 when it is the file as a whole
	Key  string // as "vserver[2].backend[0].port", indices from 0; empty for bad syntax
	Text string // what is wrong, and what would be right
}

// An Error is all that is wrong with a configuration file, in the order of its
// lines.
type Error struct {
	File     string
	Problems []Problem
}

// Error returns one line a problem: "file:line: key: what is wrong: what would
// be right".
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts := []string{e.File, p.Key, p.Text}
		if p.Line > 0 {
			parts[0] = fmt.Sprintf("%s:%d", e.File, p.Line)
		}
		lines[i] = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong, with the line where the file says it.
type problems struct {
	lines map[string]int  // key path -> line
	known map[string]bool // key path -> it is in list
	list  []Problem
}

// add notes a problem of the value at path. Only the first problem of a value
// is kept: the others mostly follow from it.
func (p *problems) add(path, format string, args ...any) {
	if p.known[path] {
		return
	}
	p.known[path] = true
	p.list = append(p.list, Problem{p.line(path), path, fmt.Sprintf(format, args...)})
}

// line returns the line of path or, if the file doesn't mention it, of the
// table that it is missing from.
func (p *problems) line(path string) int {
	for path != "" {
		if line, ok := p.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// seeAlso returns " (line n)" for the value at path, nothing if there is none.
func (p *problems) seeAlso(path string) string {
	if line := p.line(path); line > 0 {
		return fmt.Sprintf(" (line %d)", line)
	}
	return ""
}

// given reports whether the file sets the value at path.
func (p *problems) given(path string) bool { return p.lines[path] != 0 }

// err returns all problems as an *Error, or nil if there are none.
func (p *problems) err(file string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: file, Problems: p.list}
}

// nearest returns " (did you mean ...?)" if one of the choices is a slip of the
// fingers away from word, else nothing.
func nearest(word string, choices []string) string {
	best, distance := "", 3
	for _, c := range choices {
		if d := edits(word, c); d < distance && 2*d < len(c) {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// edits returns how many insertions, deletions, replacements and exchanges of
// neighbours lead from a to b (optimal string alignment), by dynamic
// programming over prefixes.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64 // no key is that long
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
