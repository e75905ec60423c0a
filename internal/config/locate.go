package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxDepth bounds how deep tables and arrays may be nested. Real files need
// five levels; the decoder recurses and would exhaust the stack at millions.
const maxDepth = 32

// locate returns the line of every key, table and array element of a TOML
// document, by path: "vserver[2].backend[0].port". The decoder doesn't say
// where it found a value, and this is no second decoder: it splits the document
// into keys and values and takes their validity for granted. On a document that
// is no TOML it returns something, and never fails.
//
// tooDeep is the line where values are nested deeper than maxDepth, else 0.
func locate(doc string) (lines map[string]int, tooDeep int) {
	l := locator{
		rest:   strings.TrimPrefix(doc, "\ufeff"),
		line:   1,
		lines:  make(map[string]int),
		tables: make(map[string]int),
	}
	l.document()
	return l.lines, l.tooDeep
}

// join returns the path of key in the table at path. Keys that are not bare
// are quoted, so that different keys have different paths.
func join(path, key string) string {
	if key == "" || strings.Trim(key, bareKey) != "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// bareKey are the characters of keys that need no quotes.
const bareKey = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// element returns the path of element i of the array at path.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// A locator walks over a document once.
type locator struct {
	rest    string // of the document
	line    int    // that rest begins in
	lines   map[string]int
	tables  map[string]int // arrays of tables -> how many elements they have so far
	tooDeep int
}

func (l *locator) document() {
	table := ""
	for {
		l.blank(true)
		switch l.peek() {
		case 0:
			return
		case '[':
			table = l.header()
		default:
			l.pair(table, 0)
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table it opens.
func (l *locator) header() (path string) {
	opening := 1
	if strings.HasPrefix(l.rest, "[[") {
		opening = 2
	}
	l.skip(opening)
	keys := l.key()
	l.nested(len(keys))
	for i, key := range keys {
		path = join(path, key)
		last := i == len(keys)-1
		if last && opening == 1 {
			delete(l.lines, path) // a table's own header beats what mentioned it before
		}
		l.note(path)
		if last && opening == 2 {
			l.tables[path]++
		}
		if n := l.tables[path]; n > 0 {
			path = element(path, n-1)
			l.note(path)
		}
	}
	l.blank(false)
	for range opening {
		if l.peek() == ']' {
			l.skip(1)
		}
	}
	return path
}

// pair reads key = value, of the table at path.
func (l *locator) pair(path string, depth int) {
	before := len(l.rest)
	keys := l.key()
	for _, key := range keys {
		path = join(path, key)
		l.note(path)
	}
	if l.blank(false); l.peek() == '=' {
		l.skip(1)
		l.blank(false)
		l.value(path, depth+len(keys))
	}
	l.advance(before)
}

// value reads a value, whose path is path.
func (l *locator) value(path string, depth int) {
	if !l.nested(depth) {
		return
	}
	switch l.peek() {
	case '"', '\'':
		l.text()
	case '[':
		l.skip(1)
		for i := 0; l.more(']'); i++ {
			before := len(l.rest)
			l.note(element(path, i))
			l.value(element(path, i), depth+1)
			l.advance(before)
		}
	case '{':
		l.skip(1)
		for l.more('}') {
			l.pair(path, depth+1)
		}
	default:
		l.until(",]}#\n")
	}
}

// more skips to the next element of an array or inline table. At its end it
// skips that too and returns false.
func (l *locator) more(end byte) bool {
	if l.blank(true); l.peek() == ',' {
		l.skip(1)
		l.blank(true)
	}
	if l.peek() == end {
		l.skip(1)
		return false
	}
	return l.rest != ""
}

// key reads a dotted key.
func (l *locator) key() (keys []string) {
	for {
		l.blank(false)
		if c := l.peek(); c == '"' || c == '\'' {
			keys = append(keys, unquote(l.text()))
		} else {
			keys = append(keys, l.until(" \t\r\n.=[]{},#\"'"))
		}
		if l.blank(false); l.peek() != '.' || !l.nested(len(keys)) {
			return keys
		}
		l.skip(1)
	}
}

// unquote returns what a quoted key stands for; the decoder knows the escapes.
func unquote(quoted string) string {
	var v struct{ Key string }
	if _, err := toml.Decode("key = "+quoted, &v); err != nil {
		return quoted
	}
	return v.Key
}

// text reads a string of any of the four kinds and returns it, with its quotes.
func (l *locator) text() string {
	quote := l.rest[:1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(l.rest, long) {
		quote = long
	}
	end := len(quote)
	for end < len(l.rest) && !strings.HasPrefix(l.rest[end:], quote) {
		if quote[0] == '"' && l.rest[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end+len(quote), len(l.rest))
	if len(quote) == 3 { // up to two quotes may stand before the closing three
		for range 2 {
			if strings.HasPrefix(l.rest[end:], quote[:1]) {
				end++
			}
		}
	}
	return l.skip(end)
}

// blank skips white space and, with newlines, line ends and comments.
func (l *locator) blank(newlines bool) {
	for {
		switch c := l.peek(); {
		case c == ' ', c == '\t', c == '\r', c == '\n' && newlines:
			l.skip(1)
		case c == '#' && newlines:
			l.until("\n")
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end (and for a NUL, which no TOML
// document has).
func (l *locator) peek() byte {
	if l.rest == "" {
		return 0
	}
	return l.rest[0]
}

// until skips to the first of the bytes in stop and returns what it skipped.
func (l *locator) until(stop string) string {
	if n := strings.IndexAny(l.rest, stop); n >= 0 {
		return l.skip(n)
	}
	return l.skip(len(l.rest))
}

// skip skips n bytes and returns them.
func (l *locator) skip(n int) string {
	skipped := l.rest[:n]
	l.line += strings.Count(skipped, "\n")
	l.rest = l.rest[n:]
	return skipped
}

// advance makes sure that something was read since rest had before bytes.
func (l *locator) advance(before int) {
	if len(l.rest) == before && before > 0 {
		l.skip(1)
	}
}

// note remembers the line in which path was first mentioned.
func (l *locator) note(path string) {
	if _, known := l.lines[path]; !known {
		l.lines[path] = l.line
	}
}

// nested returns true, unless depth is too much: then it ends the walk.
func (l *locator) nested(depth int) bool {
	if depth <= maxDepth {
		return true
	}
	if l.tooDeep == 0 {
		l.tooDeep = l.line
	}
	l.rest = ""
	return false
}
