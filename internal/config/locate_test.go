package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		name string
		doc  string
		want string // path:line, sorted by path
	}{
		{"empty", "", ""},
		{"comments", "# a = 1\n\n  # b\na = 1 # = 2\nb = 2", "a:4 b:5"},
		{"tables", "[a]\nb = 1\n[c.d]\ne = 1", "a:1 a.b:2 c:3 c.d:3 c.d.e:4"},
		{"table after its child", "[a.b]\nc = 1\n[a]\nd = 1", "a:3 a.b:1 a.b.c:2 a.d:4"},
		{"dotted", "a.b . c = 1\na.d = 2", "a:1 a.b:1 a.b.c:1 a.d:2"},
		{"quoted", "\"a.b\" = 1\n'c/d'.e = 2\n\"\\u0066\" = 3", `"a.b":1 "c/d":2 "c/d".e:2 f:3`},
		{"array", "a = [\n  1, # one\n  2,\n]\nb = 1", "a:1 a[0]:2 a[1]:3 b:5"},
		{"array of arrays", "a = [[1], [\n2]]", "a:1 a[0]:1 a[0][0]:1 a[1]:1 a[1][0]:2"},
		{"inline table", "a = { b = 1, c.d = [1] }\ne = 1", "a:1 a.b:1 a.c:1 a.c.d:1 a.c.d[0]:1 e:2"},
		{"inline table on several lines", "a = {\n b = 1,\n c = 2,\n}", "a:1 a.b:2 a.c:3"},
		{"arrays of tables", "[[a]]\nb = 1\n[[a.c]]\nd = 1\n[[a.c]]\nd = 2\n[a.e]\n[[a]]\nb = 2\n[[a.c]]\nd = 3",
			"a:1 a[0]:1 a[0].b:2 a[0].c:3 a[0].c[0]:3 a[0].c[0].d:4 a[0].c[1]:5 a[0].c[1].d:6 a[0].e:7 " +
				"a[1]:8 a[1].b:9 a[1].c:10 a[1].c[0]:10 a[1].c[0].d:11"},
		{"strings", "a = \"[b] # \\\" \\\\\"\nb = 'c = \\'\nd = 1", "a:1 b:2 d:3"},
		{"strings of several lines", "a = \"\"\"\nx = 1\n\\\"\"\" y\"\"\"\"\"\nb = '''\n''\\'''\nc = 1", "a:1 b:4 c:6"},
		{"values", "a = 1979-05-27 07:32:00 # x\nb = -inf\nc = true", "a:1 b:2 c:3"},
		{"Windows", "\ufeffa = 1\r\n[b]\r\nc = [\r\n1]\r\n", "a:1 b:2 b.c:3 b.c[0]:4"},
	} {
		var tree map[string]any
		if _, err := toml.Decode(c.doc, &tree); err != nil {
			t.Errorf("%s: the test is wrong: %v", c.name, err)
		}
		lines, tooDeep := locate(c.doc)
		var got []string
		for _, path := range slices.Sorted(maps.Keys(lines)) {
			got = append(got, fmt.Sprintf("%s:%d", path, lines[path]))
		}
		want := strings.Fields(c.want)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || tooDeep != 0 {
			t.Errorf("%s: got  %s, too deep %d\nwant %s", c.name, got, tooDeep, want)
		}
	}
}

func TestLocateStopsWhenTooDeep(t *testing.T) {
	const many = 100_000
	for _, doc := range []string{
		"a = 1\nb = " + strings.Repeat("[", many),
		"a = 1\nb = " + strings.Repeat("{a = ", many),
		"a = 1\n" + strings.Repeat("a.", many) + "a = 1",
		"a = 1\n[" + strings.Repeat("a.", many) + "a]",
	} {
		if _, tooDeep := locate(doc); tooDeep != 2 {
			t.Errorf("%.20s...: too deep in line %d, want 2", doc, tooDeep)
		}
	}
}

// paths adds the paths of all keys, tables and elements below v.
func paths(set map[string]bool, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			set[join(path, key)] = true
			paths(set, join(path, key), value)
		}
	case []map[string]any:
		for i, value := range v {
			set[element(path, i)] = true
			paths(set, element(path, i), value)
		}
	case []any:
		for i, value := range v {
			set[element(path, i)] = true
			paths(set, element(path, i), value)
		}
	}
}

// The locator finds exactly what the decoder finds, and survives what the
// decoder refuses.
func FuzzLocate(f *testing.F) {
	for _, doc := range []string{
		"a = 1", "[a]\nb.c = [1, {d = 2}]\n[[e]]\n[[e.f]]\n\"g h\" = '''\n'''", "a = {b = 1,\n\"c\" = \"\"\"\"\"\"}", "\ufeff[[a]]\n[[a]]",
		"a = [\n# x\n]\n'' = \"\\\"\"", "= ]", "[", "a = \"\\", "[[", "a = {", "a = '''", "a = [[]", "a b", "\"", "a = \x00",
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		lines, tooDeep := locate(doc)
		last := strings.Count(doc, "\n") + 1
		for path, line := range lines {
			if line < 1 || line > last {
				t.Errorf("%s is in line %d of %d", path, line, last)
			}
		}
		if tooDeep != 0 || !utf8.ValidString(doc) {
			return
		}
		var tree map[string]any
		if _, err := toml.Decode(doc, &tree); err != nil {
			return
		}
		want := make(map[string]bool)
		paths(want, "", tree)
		for path := range want {
			if lines[path] == 0 {
				t.Errorf("%s is not located", path)
			}
		}
		for path := range lines {
			if !want[path] {
				t.Errorf("%s is located, but isn't there", path)
			}
		}
	})
}
