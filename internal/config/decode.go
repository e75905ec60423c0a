package config

import (
	"encoding"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"appliance/rss"
	"appliance/vserver"
)

// A decoder moves the values of a parsed TOML document into a Config. The TOML
// library could do that too, but it ends at the first value that doesn't fit.
type decoder struct {
	problems
}

// table moves tree, the table at path, into a struct.
func (d *decoder) table(path string, into reflect.Value, tree map[string]any) {
	if p, ok := into.Addr().Interface().(interface{ preset() }); ok {
		p.preset()
	}
	keys := keysOf(into.Type())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if i := slices.Index(keys, key); i >= 0 {
			d.value(join(path, key), into.Field(i), tree[key])
			continue
		}
		where := "the file"
		if path != "" {
			where = path
		}
		d.add(join(path, key), "unknown key%s: %s has %s", nearest(key, keys), where, strings.Join(keys, ", "))
	}
}

// keysOf returns the keys of the table that a struct stands for, by field.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("toml")
	}
	return keys
}

// value moves one value into a field.
func (d *decoder) value(path string, into reflect.Value, v any) {
	if isText(into) {
		d.text(path, into, v)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		if tree, ok := v.(map[string]any); ok {
			d.table(path, into, tree)
			return
		}
		d.add(path, "%s: make it a table, [%s]", describe(v), path)
	case reflect.Slice:
		d.array(path, into, v)
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			into.SetBool(b)
			return
		}
		d.add(path, "%s: give true or false", describe(v))
	default:
		d.number(path, into, v)
	}
}

// array moves an array, or an array of tables, into a slice.
func (d *decoder) array(path string, into reflect.Value, v any) {
	elems, ok := v.([]any)
	if tables, isTables := v.([]map[string]any); isTables {
		for _, t := range tables {
			elems = append(elems, t)
		}
	} else if !ok {
		form := "an array, [...]"
		if into.Type().Elem().Kind() == reflect.Struct && !isText(reflect.New(into.Type().Elem()).Elem()) {
			form = fmt.Sprintf("a table in double brackets, [[%s]]", path)
		}
		d.add(path, "%s: give %s", describe(v), form)
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(elems), len(elems)))
	for i, elem := range elems {
		d.value(element(path, i), into.Index(i), elem)
	}
}

// number moves an integer into a field of some size, signed or not.
func (d *decoder) number(path string, into reflect.Value, v any) {
	n, ok := v.(int64)
	if !ok {
		d.add(path, "%s: give a whole number", describe(v))
		return
	}
	if into.CanInt() {
		into.SetInt(n) // int: as wide as TOML's integers
		return
	}
	switch most := int64(1)<<into.Type().Bits() - 1; {
	case n < 0:
		d.add(path, "%d: give no less than 0", n)
	case n > most:
		d.add(path, "%d: give no more than %d", n, most)
	default:
		into.SetUint(uint64(n))
	}
}

// isText reports whether a field is written as a string.
func isText(into reflect.Value) bool {
	switch into.Addr().Interface().(type) {
	case *time.Duration, *rss.Key, encoding.TextUnmarshaler:
		return true
	}
	return into.Kind() == reflect.String
}

// text moves a string into a field that is one, or that is written as one.
func (d *decoder) text(path string, into reflect.Value, v any) {
	s, ok := v.(string)
	if n, isNumber := v.(int64); isNumber && into.Type() == reflect.TypeFor[vserver.PortRange]() {
		s, ok = strconv.FormatInt(n, 10), true // the only setting that is a number or a string
	}
	if !ok {
		d.add(path, "%s: give a string, like %s", describe(v), example(into))
		return
	}
	switch to := into.Addr().Interface().(type) {
	case *time.Duration:
		duration, err := time.ParseDuration(s)
		if err != nil {
			d.add(path, "%q is no duration: give a number and a unit, like %s", s, example(into))
			return // with its default, other settings make sense
		}
		*to = duration
	case *rss.Key:
		key, err := rss.ParseKey(s)
		if err != nil && s != "" {
			d.add(path, "%d characters that are no key: give %d hexadecimal digits", len(s), 2*rss.KeySize)
		}
		*to = key
	case *netip.Addr:
		addr, err := netip.ParseAddr(s)
		if err != nil {
			d.add(path, "%q is no IP address: give one, like %s", s, example(into))
		}
		*to = addr
	case *netip.Prefix:
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			d.add(path, "%q is no prefix: give an address and its length in bits, like %s", s, example(into))
		}
		*to = prefix
	case encoding.TextUnmarshaler:
		if err := to.UnmarshalText([]byte(s)); err != nil {
			d.add(path, "%v", err)
		}
	default:
		into.SetString(s)
		d.choice(path, into, s)
	}
}

// choice checks a setting that takes one of a few words.
func (d *decoder) choice(path string, into reflect.Value, s string) {
	c, ok := into.Interface().(interface{ choices() []string })
	if !ok || slices.Contains(c.choices(), s) {
		return
	}
	d.add(path, "%q is none of %s%s", s, strings.Join(c.choices(), ", "), nearest(s, c.choices()))
}

// example returns a string that a field takes.
func example(into reflect.Value) string {
	switch to := into.Addr().Interface().(type) {
	case *time.Duration:
		return `"2s" or "500ms"`
	case *netip.Addr:
		return `"192.0.2.1" or "2001:db8::1"`
	case *vserver.PortRange:
		return `"8000-8099", or a port without quotes`
	case *netip.Prefix:
		return `"10.200.1.0/24" or "fd00:200::/64"`
	case interface{ choices() []string }:
		return fmt.Sprintf("%q", to.choices()[0])
	case encoding.TextUnmarshaler:
		if _, names, ok := strings.Cut(fmt.Sprint(to.UnmarshalText(nil)), "is none of "); ok {
			return strings.Join(strings.Split(names, ", "), " or ")
		}
	}
	return `"text"`
}

// describe names a TOML value for people.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", v)
	case int64, bool:
		return fmt.Sprintf("%v without quotes", v)
	case float64:
		return fmt.Sprintf("%v", v)
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	}
	return "an array"
}
