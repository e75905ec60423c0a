package xsk

import (
	"os/exec"
	"strings"
	"testing"
)

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string // part of the error; "" for none
	}{
		{"defaults", Config{Interface: "eth0"}, ""},
		{"smallest", Config{Interface: "eth0", RxRing: 64, TxRing: 64, Fill: 64, Completion: 64}, ""},
		{"no name", Config{}, "no interface name"},
		{"negative queue", Config{Interface: "eth0", Queue: -1}, "queue -1 is negative"},
		{"rx ring no power of two", Config{Interface: "eth0", RxRing: 1000}, "rx ring of 1000"},
		{"tx ring too small", Config{Interface: "eth0", TxRing: 32}, "tx ring of 32"},
		{"fill ring too large", Config{Interface: "eth0", Fill: 1 << 16}, "fill ring of 65536"},
		{"negative completion ring", Config{Interface: "eth0", Completion: -64}, "completion ring of -64"},
		{"tx budget over the ring", Config{Interface: "eth0", TxRing: 64, TxBudget: 65}, "tx budget 65"},
		{"tx budget too small", Config{Interface: "eth0", TxBudget: 31}, "tx budget 31"},
		{"busy budget", Config{Interface: "eth0", BusyBudget: -1}, "busy poll budget -1"},
	} {
		err := c.cfg.withDefaults().check()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestFrames(t *testing.T) {
	if got, want := (Config{}).Frames(), 2*DefaultRing+DefaultRing; got != want {
		t.Errorf("by default a socket owns up to %d frames, want %d", got, want)
	}
	if got := (Config{RxRing: 64, TxRing: 128, Fill: 64}).Frames(); got != 64+128 {
		t.Errorf("Frames() = %d", got)
	}
}

func TestMaxMTU(t *testing.T) {
	// 2048-byte frames carry 1792 bytes behind the headroom, 26 of them headers and FCS.
	for frame, want := range map[int]int{2048: 1766, 4096: 3814} {
		if got := MaxMTU(frame); got != want {
			t.Errorf("MaxMTU(%d) = %d, want %d", frame, got, want)
		}
	}
}

// TestInlining holds the compiler to inlining what runs once a packet.
func TestInlining(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, call := range []string{
		"(*producer[go.shape.struct { Addr uint64; Len uint32; Options uint32 }]).put",
		"(*consumer[go.shape.struct { Addr uint64; Len uint32; Options uint32 }]).take",
		"(*producer[go.shape.uint64]).put", "(*consumer[go.shape.uint64]).take",
		"(*Socket).received", "(*Socket).sendable",
	} {
		if !strings.Contains(string(out), "inlining call to "+call) {
			t.Errorf("%s is not inlined", call)
		}
	}
}
