package node

import (
	"strings"
	"testing"
)

func TestMissingRightsAreNamed(t *testing.T) {
	if err := missing(^uint64(0)); err != nil {
		t.Errorf("all rights: %v", err)
	}
	err := missing(0)
	if err == nil {
		t.Fatal("no rights at all are enough")
	}
	for _, n := range needed {
		if !strings.Contains(err.Error(), n.name) {
			t.Errorf("%v does not name %s", err, n.name)
		}
		if err := missing(^uint64(0) &^ (1 << n.bit)); err == nil || !strings.Contains(err.Error(), n.name) {
			t.Errorf("without %s: %v", n.name, err)
		}
	}
}
