package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"appliance/engine"
	"appliance/engine/xdp"
	"appliance/engine/xsk"
	"appliance/rss"
	"appliance/vserver"
	"appliance/vserver/health"
)

// A Driver is the implementation of AF_XDP ports.
type Driver string

// The drivers.
const (
	DriverXSK    Driver = "xsk"    // engine/xsk
	DriverAsavie Driver = "asavie" // engine/asavie: github.com/asavie/xdp, for comparison
)

// Finish says when transport checksums that senders left to hardware are
// finished.
type Finish string

// The choices.
const (
	FinishAuto   Finish = "auto" // if an interface is a veth, whose other end may leave them so
	FinishAlways Finish = "always"
	FinishNever  Finish = "never"
)

// Config describes a node. Fields are as in appliance.toml, which documents
// them.
type Config struct {
	Version string // of the program, for status
	Name    string
	ID      int

	Engine       engine.Config // Interfaces is set by Start
	Driver       Driver
	Attach       xdp.Mode
	ZeroCopy     xsk.ZeroCopy
	RxRing       int
	TxRing       int
	FrameSize    int // bytes; 0: the smallest that holds the interfaces' MTU
	Frames       int // 0: enough for every ring to be full at once
	FlowCapacity int // flows an engine
	VerifyL4     bool
	FinishL4     Finish
	HardwareRSS  HardwareRSS

	Key        rss.Key
	Interfaces []Interface
	Services

	Log *slog.Logger // required
}

// Services are what Reload can change: all that flows survive.
type Services struct {
	Services vserver.Config
	Checks   map[string]health.Check // by service; the backends of a service without one count as up
	Denied   []netip.Prefix          // whose packets to VIPs are dropped; more may be added to them, see Node.Deny
}

// An Interface is a network interface that the node serves.
type Interface struct {
	Name   string
	Client bool // client plane: VIPs are reached through it
	Server bool // server plane: backends are reached through it, SNIPs live on it
}

// planes names the planes of an interface, for status.
func (i *Interface) planes() []string {
	var p []string
	if i.Client {
		p = append(p, "client")
	}
	if i.Server {
		p = append(p, "server")
	}
	return p
}

// validate checks what no room checks for itself.
func (c *Config) validate() error {
	if len(c.Interfaces) == 0 {
		return errors.New("node: no interfaces")
	}
	if c.Driver != DriverXSK && c.Driver != DriverAsavie {
		return fmt.Errorf("node: driver %q is neither %s nor %s", c.Driver, DriverXSK, DriverAsavie)
	}
	if c.Driver == DriverAsavie && c.ZeroCopy == xsk.ZeroCopyRequire {
		return fmt.Errorf("node: driver %s copies: zero-copy can't be required of it", DriverAsavie)
	}
	return nil
}
