package xdp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"appliance/internal/privtest"
)

// TestGenerated compiles redirect.c again, elsewhere, and compares the result
// with what is committed.
func TestGenerated(t *testing.T) {
	for _, tool := range []string{"clang-14", "llvm-strip-14"} {
		if _, err := exec.LookPath(tool); err != nil {
			privtest.Unable(t, "compile BPF programs", err)
		}
	}
	// Inside of the module, for `go tool`, but where go build doesn't look.
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("testdata", "generated-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, source := range []string{"generate.go", "redirect.c"} {
		b, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, source), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	generate := exec.Command("go", "generate")
	generate.Dir = dir
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("go generate: %v\n%s", err, out)
	}
	for _, name := range []string{"redirect_bpfel.go", "redirect_bpfel.o", "redirect_bpfeb.go", "redirect_bpfeb.o"} {
		committed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(committed, fresh) {
			t.Errorf("%s is not what redirect.c compiles to: run go generate", name)
		}
	}
}
