package config

import (
	"log/slog"

	"appliance/engine"
)

// Settings that take one of a few words are strings with a list of choices,
// which the decoder enforces: a Config that Parse returns holds no other.

// Idle is an idle strategy, by its name in package engine.
type Idle string

func (Idle) choices() []string {
	return []string{engine.Adaptive.String(), engine.Busy.String(), engine.BusyPoll.String()}
}

// Driver is what opens AF_XDP sockets.
type Driver string

// The drivers.
const (
	DriverXSK    Driver = "xsk"    // package engine/xsk
	DriverAsavie Driver = "asavie" // package engine/asavie, on github.com/asavie/xdp
)

func (Driver) choices() []string { return []string{string(DriverXSK), string(DriverAsavie)} }

// XDPMode is where XDP programs run.
type XDPMode string

// The modes.
const (
	ModeAuto    XDPMode = "auto"    // native where the driver can, else generic
	ModeNative  XDPMode = "native"  // in the driver, or the node doesn't start
	ModeGeneric XDPMode = "generic" // in the kernel's receive path
)

func (XDPMode) choices() []string {
	return []string{string(ModeAuto), string(ModeNative), string(ModeGeneric)}
}

// ZeroCopy is whether drivers receive into the node's packet memory.
type ZeroCopy string

// The choices.
const (
	ZeroCopyAuto    ZeroCopy = "auto"
	ZeroCopyOff     ZeroCopy = "off"
	ZeroCopyRequire ZeroCopy = "require"
)

func (ZeroCopy) choices() []string {
	return []string{string(ZeroCopyAuto), string(ZeroCopyOff), string(ZeroCopyRequire)}
}

// Checksums is which checksums of received packets are verified.
type Checksums string

// The choices.
const (
	VerifyL3  Checksums = "l3"  // IPv4 headers
	VerifyAll Checksums = "all" // TCP, UDP and ICMP too
)

func (Checksums) choices() []string { return []string{string(VerifyL3), string(VerifyAll)} }

// Finish is when transport checksums that senders left to hardware are finished.
type Finish string

// The choices.
const (
	FinishAuto   Finish = "auto" // if an interface is a veth
	FinishAlways Finish = "always"
	FinishNever  Finish = "never"
)

func (Finish) choices() []string {
	return []string{string(FinishAuto), string(FinishAlways), string(FinishNever)}
}

// HardwareRSS is whether network cards deliver packets to their engines.
type HardwareRSS string

// The choices.
const (
	HardwareRSSAuto    HardwareRSS = "auto"
	HardwareRSSOff     HardwareRSS = "off"
	HardwareRSSRequire HardwareRSS = "require"
)

func (HardwareRSS) choices() []string {
	return []string{string(HardwareRSSAuto), string(HardwareRSSOff), string(HardwareRSSRequire)}
}

// Plane is what an interface is for.
type Plane string

// The planes.
const (
	PlaneClient Plane = "client" // VIP traffic arrives here
	PlaneServer Plane = "server" // backends are here
)

func (Plane) choices() []string { return []string{string(PlaneClient), string(PlaneServer)} }

// Level is the least severe level that is logged.
type Level string

var levels = map[Level]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func (Level) choices() []string { return []string{"debug", "info", "warn", "error"} }

// Slog returns the level as log/slog knows it.
func (l Level) Slog() slog.Level { return levels[l] }

// Format is how log records are written.
type Format string

// The formats.
const (
	FormatText Format = "text" // key=value
	FormatJSON Format = "json" // one object a line
)

func (Format) choices() []string { return []string{string(FormatText), string(FormatJSON)} }

// HealthType is what a health check does. When the file doesn't say, it is
// HealthTCP for virtual servers of protocol tcp and HealthNone for others.
type HealthType string

// The types.
const (
	HealthNone  HealthType = "none"  // backends count as up
	HealthTCP   HealthType = "tcp"   // open a connection
	HealthHTTP  HealthType = "http"  // GET a path
	HealthHTTPS HealthType = "https" // GET a path over TLS
	HealthUDP   HealthType = "udp"   // send a datagram
	HealthDNS   HealthType = "dns"   // ask a name server
)

func (HealthType) choices() []string {
	return []string{string(HealthNone), string(HealthTCP), string(HealthHTTP), string(HealthHTTPS), string(HealthUDP), string(HealthDNS)}
}
