package packet

import (
	"os"
	"strings"
	"testing"
)

// Operators meet reasons by name: docs/operations.md says what each means.
func TestEveryReasonIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for r := OK + 1; r < Reasons; r++ {
		if !strings.Contains(string(page), "| `"+r.String()+"` |") {
			t.Errorf("docs/operations.md does not explain %s", r)
		}
	}
}
