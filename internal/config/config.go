package config

import (
	"net/netip"
	"time"

	"appliance/engine"
	"appliance/engine/xsk"
	"appliance/rss"
	"appliance/vserver"
	"appliance/vserver/health"
)

// Config is a whole configuration file. Field names follow its keys;
// appliance.toml at the top of the source tree says what each means. Parse
// makes one; it is a value that nobody changes afterwards.
type Config struct {
	Node       Node        `toml:"node"`
	Engine     Engine      `toml:"engine"`
	RSS        RSS         `toml:"rss"`
	Interfaces []Interface `toml:"interface"`
	NAT        NAT         `toml:"nat"`
	Encap      Encap       `toml:"encap"`
	Answers    Answers     `toml:"answers"`
	Deny       Deny        `toml:"deny"`
	Limits     Limits      `toml:"limits"`
	API        API         `toml:"api"`
	Log        Log         `toml:"log"`
	VServers   []VServer   `toml:"vserver"`
}

// Node says which machine this is.
type Node struct {
	ID   int    `toml:"id"`
	Name string `toml:"name"` // empty: the machine's host name
}

// Engine is the packet path of the node.
type Engine struct {
	Engines         int       `toml:"engines"`
	Idle            Idle      `toml:"idle"`
	CPUs            []int     `toml:"cpus"` // empty: not pinned
	Batch           int       `toml:"batch"`
	FrameSize       int       `toml:"frame_size"` // bytes; 0: what the interfaces' MTU needs
	Frames          int       `toml:"frames"`     // 0: what all sockets and engines need
	RxRing          int       `toml:"rx_ring"`
	TxRing          int       `toml:"tx_ring"`
	Driver          Driver    `toml:"driver"`
	Mode            XDPMode   `toml:"mode"`
	ZeroCopy        ZeroCopy  `toml:"zero_copy"`
	FlowCapacity    int       `toml:"flow_capacity"` // of each engine
	VerifyChecksums Checksums `toml:"verify_checksums"`
	FinishChecksums Finish    `toml:"finish_checksums"`
}

// RSS is the hash that says who owns a flow. At most one of Key and SecretFile
// is set; with neither the node draws a key, and keeps it in StateFile.
type RSS struct {
	Key        rss.Key `toml:"key"` // zero: not given
	SecretFile string  `toml:"secret_file"`
	Cluster    string  `toml:"cluster"`
	StateFile  string  `toml:"state_file"` // empty: a key for each start
	Buckets    int     `toml:"buckets"`

	Hardware HardwareRSS `toml:"hardware"`
}

// Interface is a network interface that the node takes packets from. Its
// number is its place in the file.
type Interface struct {
	Name   string  `toml:"name"`
	Planes []Plane `toml:"planes"`
}

// NAT is what the virtual servers in mode nat share.
type NAT struct {
	SNIPs          []netip.Addr `toml:"snips"`
	ReturnToSender bool         `toml:"return_to_sender"`
}

// Encap is what the virtual servers in modes ipip and gue share. Its fields are
// those of vserver.EncapConfig.
type Encap struct {
	Sources []netip.Prefix `toml:"sources"`
	GUEPort uint16         `toml:"gue_port"`
}

// Answers are the packets that the node makes up itself.
type Answers struct {
	OnNoService vserver.Refusal `toml:"on_no_service"`
	Rate        int             `toml:"rate"` // per second and engine
}

// Limits bound the new flows of an engine. Its fields are those of
// vserver.Limits.
type Limits struct {
	NewFlows          int `toml:"new_flows"`            // a second; 0: no limit
	NewFlowsPerSource int `toml:"new_flows_per_source"` // likewise
	SourcePrefix4     int `toml:"source_prefix_ipv4"`
	SourcePrefix6     int `toml:"source_prefix_ipv6"`
}

// API is the door for operators.
type API struct {
	Socket string `toml:"socket"`
}

// Log is what the node writes to standard error.
type Log struct {
	Level  Level  `toml:"level"`
	Format Format `toml:"format"`
}

// VServer is one virtual server.
type VServer struct {
	Name          string            `toml:"name"`
	VIP           netip.Addr        `toml:"vip"`
	Port          vserver.PortRange `toml:"port"`
	Protocol      vserver.Protocol  `toml:"protocol"`
	Mode          vserver.Mode      `toml:"mode"`
	Method        vserver.Method    `toml:"method"`
	OnNoBackend   vserver.Refusal   `toml:"on_no_backend"`
	OnNoFlow      vserver.Refusal   `toml:"on_no_flow"`
	OnBackendDown vserver.Demise    `toml:"on_backend_down"`
	MaxFlows      int               `toml:"max_flows"` // 0: no limit
	MinHealthy    int               `toml:"min_healthy"`
	SlowStart     time.Duration     `toml:"slow_start"` // 0: none
	MSSClamp      uint16            `toml:"mss_clamp"`  // 0: none
	Backends      []Backend         `toml:"backend"`
	Health        Health            `toml:"health"`
	Timeouts      Timeouts          `toml:"timeouts"`
	Persistence   Persistence       `toml:"persistence"`
}

// Backend is one real server of a virtual server. Its fields are those of
// vserver.BackendConfig.
type Backend struct {
	Name     string     `toml:"name"`
	Address  netip.Addr `toml:"address"`
	Port     uint16     `toml:"port"` // 0: the virtual server's, or that which the client asks for
	Weight   int        `toml:"weight"`
	MaxFlows int        `toml:"max_flows"` // 0: no limit
	Backup   bool       `toml:"backup"`
}

// Persistence says which flows of a virtual server go to the same backend. Its
// fields are those of vserver.Persistence.
type Persistence struct {
	By      vserver.Affinity `toml:"by"`
	Prefix4 int              `toml:"prefix4"`
	Prefix6 int              `toml:"prefix6"`
	Timeout time.Duration    `toml:"timeout"` // 0: none
}

// Health is how the backends of a virtual server are checked.
type Health struct {
	Type      HealthType    `toml:"type"`
	Port      uint16        `toml:"port"` // 0: the backend's
	Interval  time.Duration `toml:"interval"`
	Timeout   time.Duration `toml:"timeout"`
	Rise      int           `toml:"rise"`
	Fall      int           `toml:"fall"`
	Path      string        `toml:"path"`
	Host      string        `toml:"host"`
	StatusMin int           `toml:"status_min"`
	StatusMax int           `toml:"status_max"`

	Source        Source    `toml:"source"`
	ServerName    string    `toml:"server_name"`
	CAFile        CAFile    `toml:"ca_file"`
	Insecure      bool      `toml:"insecure"`
	Expect        Payload   `toml:"expect"`
	ExpectRegexp  string    `toml:"expect_regexp"`
	Send          Payload   `toml:"send"`
	RequireAnswer bool      `toml:"require_answer"`
	Query         string    `toml:"query"`
	QueryType     QueryType `toml:"query_type"`
	RCode         RCode     `toml:"rcode"`
}

// Timeouts say how long a silent flow is remembered. Its fields are those of
// vserver.Timeouts.
type Timeouts struct {
	Handshake   time.Duration `toml:"handshake"`
	Established time.Duration `toml:"established"`
	HalfClosed  time.Duration `toml:"half_closed"`
	Unreplied   time.Duration `toml:"unreplied"`
	Replied     time.Duration `toml:"replied"`
}

// Default returns the configuration of an empty file. It is not valid: it has
// no interfaces.
func Default() *Config {
	e := engine.DefaultConfig()
	return &Config{
		Node: Node{ID: 1},
		Engine: Engine{
			Engines: e.Engines, Idle: Idle(e.Idle.String()), CPUs: []int{}, Batch: e.Batch,
			RxRing: xsk.DefaultRing, TxRing: xsk.DefaultRing,
			Driver: DriverXSK, Mode: ModeAuto, ZeroCopy: ZeroCopyAuto,
			FlowCapacity: 1 << 20, VerifyChecksums: VerifyL3, FinishChecksums: FinishAuto,
		},
		RSS:     RSS{StateFile: "/var/lib/appliance/rss.key", Buckets: vserver.DefaultBuckets, Hardware: HardwareRSSAuto},
		NAT:     NAT{SNIPs: []netip.Addr{}},
		Encap:   Encap{Sources: []netip.Prefix{}, GUEPort: vserver.DefaultGUEPort},
		Answers: Answers{Rate: vserver.DefaultAnswerRate},
		Deny:    Deny{Prefixes: []Denied{}},
		Limits:  Limits{SourcePrefix4: vserver.DefaultSourcePrefix4, SourcePrefix6: vserver.DefaultSourcePrefix6},
		API:     API{Socket: "/run/appliance/api.sock"},
		Log:     Log{Level: "info", Format: FormatText},
	}
}

// preset gives a virtual server its defaults, before its keys are read. The
// type of health check is left open: it depends on the protocol.
func (s *VServer) preset() {
	check, dns := health.DefaultCheck(health.HTTP), health.DefaultCheck(health.DNS)
	*s = VServer{
		Protocol: vserver.TCP, MinHealthy: vserver.DefaultMinHealthy,
		Health: Health{
			Interval: check.Interval, Timeout: check.Timeout, Rise: check.Rise, Fall: check.Fall,
			Path: check.Path, StatusMin: check.StatusMin, StatusMax: check.StatusMax,
			RequireAnswer: true, Query: dns.Query, QueryType: QueryType(dns.QueryType), RCode: RCode(dns.RCode),
		},
		Timeouts:    Timeouts(vserver.DefaultTimeouts()),
		Persistence: Persistence{Prefix4: vserver.DefaultPrefix4, Prefix6: vserver.DefaultPrefix6},
	}
}

// preset gives a backend its defaults.
func (b *Backend) preset() { *b = Backend{Weight: vserver.DefaultWeight} }

// preset gives an interface its defaults.
func (i *Interface) preset() { *i = Interface{Planes: []Plane{PlaneClient, PlaneServer}} }
