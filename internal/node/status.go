package node

import (
	"net/netip"
	"time"

	"appliance/vserver"
)

// Status is what a node says of itself: the answer of GET /status and of
// `appliance status --json`. Field names are part of the interface.
type Status struct {
	Version    string            `json:"version"`
	Node       string            `json:"node"`
	ID         int               `json:"id"`
	PID        int               `json:"pid"`
	Started    time.Time         `json:"started"`
	Generation uint64            `json:"generation"` // of the published snapshot
	Totals     Totals            `json:"totals"`
	Engines    []EngineStatus    `json:"engines"`
	Interfaces []InterfaceStatus `json:"interfaces"`
	Services   []ServiceStatus   `json:"vservers"`
	Frames     FrameStatus       `json:"frames"`
	Reload     ReloadStatus      `json:"reload"`

	DeniedPrefixes int `json:"denied_prefixes"` // that VIPs get nothing from
}

// Totals are the engines' counters added up.
type Totals struct {
	RxPackets      uint64            `json:"rx_packets"`
	OwnedPackets   uint64            `json:"owned_packets"`
	SteeredPackets uint64            `json:"steered_packets"` // sent to another node of the cluster
	TxPackets      uint64            `json:"tx_packets"`
	Flows          uint64            `json:"flows"`
	Dropped        map[string]uint64 `json:"dropped"`  // by reason; reasons with none are left out
	Answered       map[string]uint64 `json:"answered"` // packets refused by a reset or an ICMP error instead, likewise
}

// EngineStatus is one engine. Stuck engines have only ID and Stuck.
type EngineStatus struct {
	ID            int               `json:"id"`
	Stuck         bool              `json:"stuck"` // didn't answer within a second
	Passes        uint64            `json:"passes"`
	IdlePasses    uint64            `json:"idle_passes"`
	Sleeps        uint64            `json:"sleeps"`
	LongestPassUS float64           `json:"longest_pass_us"`
	RxPackets     uint64            `json:"rx_packets"`
	RxBytes       uint64            `json:"rx_bytes"`
	TxPackets     uint64            `json:"tx_packets"`
	TxBytes       uint64            `json:"tx_bytes"`
	OwnedPackets  uint64            `json:"owned_packets"`
	HandedOff     uint64            `json:"handed_off_packets"`
	TakenOver     uint64            `json:"taken_over_packets"`
	Held          uint64            `json:"held_packets"` // fragments that wait for their datagram's first one
	Pings         uint64            `json:"pings"`        // echo requests answered
	ICMPErrors    uint64            `json:"icmp_errors"`  // ICMP errors about flows passed on
	Flows         int               `json:"flows"`
	FlowCapacity  int               `json:"flow_capacity"`
	EvictedFlows  uint64            `json:"evicted_flows"`  // half-open or closed ones that gave way to new ones
	UnlistedFlows uint64            `json:"unlisted_flows"` // packets in all modes but nat balanced by hash alone, for want of room or over the limits of new flows
	Dropped       map[string]uint64 `json:"dropped"`
	Answered      map[string]uint64 `json:"answered"`
}

// InterfaceStatus is one configured interface.
type InterfaceStatus struct {
	Name   string       `json:"name"`
	Planes []string     `json:"planes"`
	State  string       `json:"state"` // "up", "down", "gone" or "failed"
	Error  string       `json:"error,omitempty"`
	MTU    int          `json:"mtu"`
	MAC    string       `json:"mac"`
	XDP    string       `json:"xdp"` // "native" or "generic"
	RSS    string       `json:"rss"` // who brings packets to their engines: "hardware", "partial" or "software"
	RSSWhy string       `json:"rss_why,omitempty"`
	Filter FilterStatus `json:"filter"`
	Ports  []PortStatus `json:"ports"`
}

// FilterStatus are the counters of an interface's XDP program since it was
// attached.
type FilterStatus struct {
	Passed     uint64 `json:"passed"`     // left to the kernel
	Redirected uint64 `json:"redirected"` // given to an AF_XDP socket
	NoSocket   uint64 `json:"no_socket"`  // ours, but its queue has no socket: dropped
	Denied     uint64 `json:"denied"`     // to a VIP, from a denied source: dropped
}

// PortStatus is one AF_XDP socket since it was opened.
type PortStatus struct {
	Queue      int    `json:"queue"`
	Engine     int    `json:"engine"`
	ZeroCopy   bool   `json:"zero_copy"`
	RxPackets  uint64 `json:"rx_packets"`
	RxBytes    uint64 `json:"rx_bytes"`
	TxPackets  uint64 `json:"tx_packets"`
	TxBytes    uint64 `json:"tx_bytes"`
	TxErrors   uint64 `json:"tx_errors"`
	TxRetries  uint64 `json:"tx_retries"`
	RxDropped  uint64 `json:"rx_dropped"`
	RxRingFull uint64 `json:"rx_ring_full"`
	FillEmpty  uint64 `json:"fill_ring_empty"`
	TxInvalid  uint64 `json:"tx_invalid"`
	Bad        uint64 `json:"bad_descriptors"`
	Kicks      uint64 `json:"kicks"`
}

// ServiceStatus is one virtual server, summed over the engines.
type ServiceStatus struct {
	Name        string            `json:"name"`
	VIP         netip.Addr        `json:"vip"`
	Port        vserver.PortRange `json:"port"` // a number, or a string for several: "8000-8099", "*"
	Protocol    string            `json:"protocol"`
	Mode        string            `json:"mode"`
	Method      string            `json:"method"`
	Persistence vserver.Affinity  `json:"persistence"` // "none" or "source"
	Packets     uint64            `json:"packets"`
	Bytes       uint64            `json:"bytes"`
	NewFlows    uint64            `json:"new_flows"`
	Flows       uint64            `json:"flows"`
	Open        uint64            `json:"open_flows"` // of flows, those not closed yet: what leastconn and limits go by
	MaxFlows    int               `json:"max_flows"`  // 0: no limit
	State       vserver.State     `json:"state"`      // "up", "degraded": serves with fewer backends than min_healthy, or "down"
	Eligible    int               `json:"eligible"`   // backends that new flows go to
	MinHealthy  int               `json:"min_healthy"`
	OnBackups   bool              `json:"on_backups"` // these are backups
	Backends    []BackendStatus   `json:"backends"`
}

// BackendStatus is one backend of a virtual server, summed over the engines.
type BackendStatus struct {
	Name      string         `json:"name"`
	Address   netip.AddrPort `json:"address"` // port 0: the one that clients ask for
	Weight    int            `json:"weight"`
	Up        bool           `json:"up"`
	Reachable string         `json:"next_hop"`        // "found", or what is missing to reach it
	Check     string         `json:"check,omitempty"` // type of its health check; empty: it isn't checked
	Since     time.Time      `json:"since,omitzero"`  // of the last change between up and down
	Error     string         `json:"error,omitempty"` // of the last failed health check
	Packets   uint64         `json:"packets"`
	Bytes     uint64         `json:"bytes"`
	NewFlows  uint64         `json:"new_flows"`
	Flows     uint64         `json:"flows"`
	Open      uint64         `json:"open_flows"`
	MaxFlows  int            `json:"max_flows"`
	Backup    bool           `json:"backup"`
	Ramp      float64        `json:"ramp"` // part of its weight that its slow start has come to; 0: not up
}

// FrameStatus is the frame ledger: Total is what the arena has, and the rest
// adds up to it.
type FrameStatus struct {
	Total    int `json:"total"`
	Free     int `json:"free"`
	Fill     int `json:"fill"`
	Transmit int `json:"transmit"`
	Handoff  int `json:"handoff"`
	Held     int `json:"held"` // fragments that wait for their datagram's first one
}

// ReloadStatus says how the last reload went. The zero value: there was none.
type ReloadStatus struct {
	At    time.Time `json:"at,omitzero"`
	Error string    `json:"error,omitempty"` // the last good configuration is still in force
}
