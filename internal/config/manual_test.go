package config

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const manual = "../../appliance.toml"

// noDefault are the keys whose value in the manual is an example, because they
// have no default (or, those of the further virtual servers, to show what else
// there is).
var noDefault = []string{
	"node.name", "interface[0].name", "nat.snips", "encap.sources",
	"vserver[0].name", "vserver[0].vip", "vserver[0].port",
	"vserver[0].backend[0].name", "vserver[0].backend[0].address",
	"vserver[1].name", "vserver[1].vip", "vserver[1].port", "vserver[1].health.type",
	"vserver[1].backend[0].name", "vserver[1].backend[0].address",
	"vserver[1].backend[1].name", "vserver[1].backend[1].address",
	"vserver[2].name", "vserver[2].vip", "vserver[2].port", "vserver[2].health.type",
	"vserver[2].backend[0].name", "vserver[2].backend[0].address",
	"vserver[3].name", "vserver[3].vip", "vserver[3].port", "vserver[3].protocol", "vserver[3].health.type",
	"vserver[3].backend[0].name", "vserver[3].backend[0].address",
	"vserver[4].name", "vserver[4].vip", "vserver[4].port", "vserver[4].protocol", "vserver[4].health.type",
	"vserver[4].backend[0].name", "vserver[4].backend[0].address",
}

func readManual(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A file with the manual's names and addresses alone is the same configuration:
// every other value in the manual is the default.
func TestManualGivesDefaults(t *testing.T) {
	full, err := Load(manual)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if _, err := toml.Decode(readManual(t), &tree); err != nil {
		t.Fatal(err)
	}
	var short bytes.Buffer
	if err := toml.NewEncoder(&short).Encode(prune("", tree)); err != nil {
		t.Fatal(err)
	}
	defaults, err := Parse("short.toml", short.Bytes())
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, short.String())
	}
	changes, _ := Diff(defaults, full)
	for _, c := range changes {
		t.Errorf("the manual says otherwise than the default: %s", c)
	}
	if !reflect.DeepEqual(full, defaults) {
		t.Errorf("the manual gives %+v\nthe defaults are %+v", full, defaults)
	}
}

// prune returns the tree with the keys of noDefault alone.
func prune(path string, tree map[string]any) map[string]any {
	kept := make(map[string]any)
	for key, value := range tree {
		at := join(path, key)
		switch v := value.(type) {
		case map[string]any:
			kept[key] = prune(at, v)
		case []map[string]any:
			var list []map[string]any
			for i, elem := range v {
				list = append(list, prune(element(at, i), elem))
			}
			kept[key] = list
		default:
			if slices.Contains(noDefault, at) {
				kept[key] = value
			}
		}
	}
	return kept
}

var indices = regexp.MustCompile(`\[\d+\]`)

// Every key is in the manual, under a comment of its own or together with the
// key above it.
func TestManualExplainsEveryKey(t *testing.T) {
	doc := readManual(t)
	text := strings.Split(doc, "\n")
	explained := make(map[string]bool)
	located, _ := locate(doc)
	for path, line := range located {
		if line > 1 && text[line-2] != "" { // the line above it
			explained[indices.ReplaceAllString(path, "")] = true
		}
	}
	var visit func(path string, table reflect.Type)
	visit = func(path string, table reflect.Type) {
		for i, key := range keysOf(table) {
			at := join(path, key)
			if !explained[at] {
				t.Errorf("the manual doesn't explain %s", at)
			}
			inner := table.Field(i).Type
			if inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if isTable(inner) {
				visit(at, inner)
			}
		}
	}
	visit("", reflect.TypeFor[Config]())
}

// Every line of a comment fits a terminal.
func TestManualFitsTerminal(t *testing.T) {
	for i, line := range strings.Split(readManual(t), "\n") {
		if len(line) > 80 {
			t.Errorf("%s:%d: %d characters, want 80 at most", manual, i+1, len(line))
		}
	}
}
