package node

import (
	"context"
	"net/netip"

	"appliance/vserver"
	"appliance/vserver/health"
)

// serviceStatus puts together what the engines counted and what health checks
// found.
func (n *Node) serviceStatus(services *vserver.Services, readings []reading) []ServiceStatus {
	var counted []*vserver.Counters
	for i := range readings {
		if readings[i].err == nil {
			counted = append(counted, readings[i].services)
		}
	}
	verdicts := map[[2]string]health.Status{}
	for _, v := range n.checker.Status() {
		verdicts[[2]string{v.Service, v.Backend}] = v
	}
	reports := services.Report(counted)
	all := make([]ServiceStatus, len(reports))
	for i, r := range reports {
		c, t := r.Config, r.Traffic
		all[i] = ServiceStatus{
			Name: c.Name, VIP: c.VIP, Port: c.Port, Protocol: c.Protocol.String(),
			Mode: c.Mode.String(), Method: c.Method.String(), Persistence: c.Persistence.By,
			Packets: t.Packets, Bytes: t.Bytes, NewFlows: t.NewFlows, Flows: t.Flows,
			Open: r.Open, MaxFlows: c.MaxFlows,
			State: r.State, Eligible: r.Eligible, MinHealthy: c.MinHealthy, OnBackups: r.Backups,
		}
		for _, b := range r.Backends {
			all[i].Backends = append(all[i].Backends, backendStatus(b, verdicts[[2]string{c.Name, b.Config.Name}]))
		}
	}
	return all
}

func backendStatus(b vserver.BackendReport, v health.Status) BackendStatus {
	return BackendStatus{
		Name: b.Config.Name, Address: netip.AddrPortFrom(b.Config.Address, b.Config.Port),
		Weight: b.Config.Weight, Up: b.Up, Reachable: b.Next.String(), Check: string(v.Type), Since: v.Since, Error: v.Error,
		Packets: b.Traffic.Packets, Bytes: b.Traffic.Bytes, NewFlows: b.Traffic.NewFlows, Flows: b.Traffic.Flows,
		Open: b.Open, MaxFlows: b.Config.MaxFlows, Backup: b.Config.Backup, Ramp: b.Ramp,
	}
}

// A Flow names a flow by its client's packets.
type Flow struct {
	Protocol string // tcp or udp
	From, To netip.AddrPort
}

// Where says who has a flow, and why.
type Where struct {
	Hash      uint32            `json:"hash"`
	Bucket    int               `json:"bucket"`
	CoreEntry int               `json:"core_entry"`
	Engine    int               `json:"engine"`
	Service   string            `json:"vserver,omitempty"`
	Ports     vserver.PortRange `json:"vserver_port,omitempty"`
	Backend   string            `json:"backend,omitempty"`
	Source    netip.AddrPort    `json:"source,omitzero"` // toward the backend: SNIP and port, or in ipip (port 0) and gue the outer source
	State     string            `json:"state,omitempty"` // of the flow's record, if there is one
	ExpiresS  float64           `json:"expires_s,omitempty"`
	Why       string            `json:"why"`
}

// Where asks the engine that owns a flow for its record, and explains where
// its packets go.
func (n *Node) Where(ctx context.Context, flow Flow) (Where, error) {
	t := vserver.Tuple{Client: flow.From, VIP: flow.To}
	if err := t.Protocol.UnmarshalText([]byte(flow.Protocol)); err != nil {
		return Where{}, err
	}
	n.mu.Lock()
	services := n.services
	n.mu.Unlock()
	e := services.Where(n.hasher, n.cores, t)
	w := Where{Hash: e.Hash, Bucket: e.Bucket, CoreEntry: e.Entry, Engine: e.Engine, Why: e.Why}
	if e.Service != nil {
		w.Service, w.Ports = e.Service.Name, e.Service.Port
	}
	if e.Backend != nil {
		w.Backend = e.Backend.Name
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := n.group.Engines()[e.Engine].Call(ctx, func() {
		if f, ok := n.handlers[e.Engine].Find(n.hasher, t); ok {
			w.record(f)
		}
	})
	return w, err
}

// record adds what a flow's record says: it decides, whatever the hash says.
func (w *Where) record(f vserver.Flow) {
	w.Backend, w.Source, w.State, w.ExpiresS = f.Backend.Name, f.Source, f.State, f.Expires.Seconds()
	w.Why = "the flow has a record"
	if f.Severed {
		w.Why += ", but its backend is down: the client's next packet ends it"
	}
}
