package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"appliance/rss"
)

// restartKeys are the keys, and the tables with all their keys, that a running
// node can't change: engines, sockets, packet memory and flow tables were made
// by them.
var restartKeys = []string{"node", "engine", "rss", "interface", "api", "log.format"}

// A Change is one setting that differs between two configurations.
type Change struct {
	Key string // as "engine.batch" or "vserver[web].backend[b1].weight"
	Old string // empty: added
	New string // empty: removed
}

// String returns the change in one line.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s: added (%s)", c.Key, c.New)
	case c.New == "":
		return fmt.Sprintf("%s: removed (%s)", c.Key, c.Old)
	}
	return fmt.Sprintf("%s: %s, was %s", c.Key, c.New, c.Old)
}

// Diff returns what differs between two configurations, and the keys among it
// that a running node can't change. Interfaces, virtual servers and backends
// are compared by name.
func Diff(old, new *Config) (changes []Change, restart []string) {
	compare(&changes, "", reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem())
	for _, c := range changes {
		if needsRestart(c.Key) {
			restart = append(restart, c.Key)
		}
	}
	return changes, restart
}

func needsRestart(key string) bool {
	return slices.ContainsFunc(restartKeys, func(r string) bool {
		rest, ok := strings.CutPrefix(key, r)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// compare appends the differences of two values of one type.
func compare(changes *[]Change, path string, old, new reflect.Value) {
	if reflect.DeepEqual(old.Interface(), new.Interface()) {
		return
	}
	switch {
	case isTable(old.Type()):
		for i, key := range keysOf(old.Type()) {
			compare(changes, join(path, key), old.Field(i), new.Field(i))
		}
	case old.Kind() == reflect.Slice && isTable(old.Type().Elem()):
		compareTables(changes, path, old, new)
	default:
		*changes = append(*changes, Change{path, show(old), show(new)})
	}
}

// compareTables compares arrays of tables that have names.
func compareTables(changes *[]Change, path string, old, new reflect.Value) {
	before, after := names(old), names(new)
	for i, name := range before {
		if !slices.Contains(after, name) {
			*changes = append(*changes, Change{Key: path + "[" + name + "]", Old: show(old.Index(i))})
		}
	}
	for i, name := range after {
		at := path + "[" + name + "]"
		if j := slices.Index(before, name); j >= 0 {
			compare(changes, at, old.Index(j), new.Index(i))
		} else {
			*changes = append(*changes, Change{Key: at, New: show(new.Index(i))})
		}
	}
	gone := func(from []string) func(string) bool {
		return func(name string) bool { return !slices.Contains(from, name) }
	}
	was, is := slices.DeleteFunc(slices.Clone(before), gone(after)), slices.DeleteFunc(after, gone(before))
	if !slices.Equal(was, is) {
		*changes = append(*changes, Change{path, strings.Join(was, ", "), strings.Join(is, ", ")})
	}
}

// names returns the names of an array of tables.
func names(tables reflect.Value) []string {
	list := make([]string, tables.Len())
	for i := range list {
		list[i] = tables.Index(i).FieldByName("Name").String()
	}
	return list
}

// isTable reports whether a type is one of this package's tables.
func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isText(reflect.New(t).Elem())
}

// show returns a value for people: never empty, and never a key.
func show(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case rss.Key:
		if value == (rss.Key{}) {
			return "none"
		}
		return "a key"
	case Interface:
		return fmt.Sprint(value.Planes)
	case VServer:
		return fmt.Sprintf("%s port %s/%s", value.VIP, value.Port, value.Protocol)
	case Backend:
		return fmt.Sprintf("%s port %d", value.Address, value.Port)
	case string:
		return fmt.Sprintf("%q", value)
	default:
		return fmt.Sprint(value)
	}
}
