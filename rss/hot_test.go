package rss

import (
	"os/exec"
	"strings"
	"testing"
)

func TestNoAllocs(t *testing.T) {
	h := NewHasher(MicrosoftKey)
	ports, err := NewPorts(h, true, 4096)
	if err != nil {
		t.Fatal(err)
	}
	cores, err := NewCoreTable(4)
	if err != nil {
		t.Fatal(err)
	}
	var addrs [32]byte
	var hash uint32
	var port uint16
	var engine uint8
	for name, f := range map[string]func(){
		"IPv4":      func() { hash += h.IPv4(uint64(hash), hash) },
		"IPv4Addrs": func() { hash += h.IPv4Addrs(uint64(hash)) },
		"IPv6":      func() { hash += h.IPv6(&addrs, hash) },
		"IPv6Addrs": func() { hash += h.IPv6Addrs(&addrs) },
		"Candidate": func() { port += ports.Candidate(hash, int(port)) },
		"Engine":    func() { engine += cores.Engine(hash) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}

// The helpers that the hot half is made of must stay inlined, and its file
// free of bounds checks. If this fails after a change, measure before touching
// the list.
func TestCompiledAsMeant(t *testing.T) {
	// -a would rebuild all; the go tool replays a cached build's messages.
	out, err := exec.Command("go", "build", "-gcflags=-m=1 -d=ssa/check_bce", "appliance/rss").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, f := range []string{"(*word).sum", "(*Hasher).Key", "(*Ports).Candidate", "(*Ports).Len", "(*CoreTable).Engine"} {
		if !strings.Contains(string(out), "can inline "+f+"\n") {
			t.Errorf("%s is not inlined any more", f)
		}
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "toeplitz.go") && strings.Contains(line, "InBounds") {
			t.Errorf("bounds check: %s", line)
		}
	}
}
