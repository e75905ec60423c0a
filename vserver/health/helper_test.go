package health

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

var errRefused = errors.New("refused")

func target(i int) Target {
	a := netip.AddrFrom4([4]byte{192, 0, byte(2 + i/250), byte(1 + i%250)})
	return Target{Service: "web", Backend: fmt.Sprintf("b%d", i), Addr: netip.AddrPortFrom(a, 80), Check: DefaultCheck(TCP)}
}

func set(t *testing.T, c *Checker, targets ...Target) {
	t.Helper()
	if err := c.SetTargets(targets); err != nil {
		t.Fatal(err)
	}
}
