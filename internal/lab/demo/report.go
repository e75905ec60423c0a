package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"appliance/internal/lab/traffic"
	"appliance/internal/node"
)

// A Report is the result of a demonstration. Its JSON form is an interface that
// scripts rely on.
type Report struct {
	Nodes       int          `json:"nodes"`
	Backends    int          `json:"backends"`
	Mode        string       `json:"mode"`
	Requests    Requests     `json:"requests"`
	Datagrams   *Requests    `json:"datagrams,omitempty"` // with Options.Fragments: those of 100 to 60,000 bytes, which are among Requests
	Connections Connections  `json:"connections"`
	PerNode     []NodeReport `json:"per_node"`
	Timeline    []Event      `json:"timeline"`
	Failover    struct{}     `json:"failover"`

	loads []loadReport // for the summary
}

// Requests counts HTTP requests and UDP datagrams.
type Requests struct {
	OK       uint64                    `json:"ok"`
	Failed   uint64                    `json:"failed"`
	ByReason map[traffic.Reason]uint64 `json:"failed_by_reason"`
}

// Connections counts TCP connections and UDP sockets of the clients.
type Connections struct {
	Opened uint64 `json:"opened"`
	Broken uint64 `json:"broken"`
}

// A NodeReport is what a node counted, over its engines.
type NodeReport struct {
	ID      int               `json:"id"`
	Rx      uint64            `json:"rx_packets"`
	Owned   uint64            `json:"owned_packets"`
	Steered uint64            `json:"steered_packets"`
	Dropped map[string]uint64 `json:"dropped"` // by reason
}

// An Event is something that happened, in milliseconds from the beginning.
type Event struct {
	MS    int64  `json:"ms"`
	Event string `json:"event"`
}

// A loadReport is what one kind of load counted, over all clients.
type loadReport struct {
	kind string
	traffic.Report
}

// newNodeReport takes from a node's status what the report has room for.
func newNodeReport(id int, s node.Status) NodeReport {
	dropped := maps.Clone(s.Totals.Dropped)
	if dropped == nil {
		dropped = make(map[string]uint64) // {} in JSON, not null
	}
	return NodeReport{
		ID:      id,
		Rx:      s.Totals.RxPackets,
		Owned:   s.Totals.OwnedPackets,
		Steered: s.Totals.SteeredPackets,
		Dropped: dropped,
	}
}

// count fills in what the loads counted.
func (r *Report) count(loads []loadReport) {
	r.loads = loads
	var all traffic.Report
	for _, load := range loads {
		all.Merge(load.Report)
		if load.kind == fragmentKind {
			datagrams := requests(load.Report)
			r.Datagrams = &datagrams
		}
	}
	r.Requests = requests(all)
	r.Connections = Connections{Opened: all.Opened, Broken: all.Broken}
}

func requests(r traffic.Report) Requests {
	return Requests{OK: r.OK, Failed: r.Failed(), ByReason: r.Failures}
}

// writeJSON writes the report as one JSON object.
func (r *Report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// writeSummary writes the report for people.
func (r *Report) writeSummary(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nTRAFFIC\tOK\tFAILED\tOPENED\tBROKEN\tP50\tP99\tMAX\tBY BACKEND")
	for _, l := range r.loads {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", l.kind, l.OK, l.Failed(), l.Opened, l.Broken,
			short(l.Latency.Quantile(0.5)), short(l.Latency.Quantile(0.99)), short(l.Latency.Max()), shares(l.Backends))
	}
	fmt.Fprintln(t, "\nNODE\tRX PACKETS\tOWNED\tSTEERED\tDROPPED")
	for _, n := range r.PerNode {
		fmt.Fprintf(t, "n%d\t%d\t%d\t%d\t%s\n", n.ID, n.Rx, n.Owned, n.Steered, list(n.Dropped))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := fmt.Sprintf("\nall %d requests were answered right\n", r.Requests.OK)
	if r.Requests.Failed > 0 {
		verdict = fmt.Sprintf("\n%d of %d requests FAILED: %s\n",
			r.Requests.Failed, r.Requests.OK+r.Requests.Failed, list(r.Requests.ByReason))
	}
	_, err := io.WriteString(w, verdict)
	return err
}

// short renders a latency with three significant digits at most.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// plural renders how many of something there are.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// shares renders what part of the answers came from each backend.
func shares(backends map[string]uint64) string {
	var total uint64
	for _, n := range backends {
		total += n
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		parts = append(parts, fmt.Sprintf("%s %.0f%%", name, 100*float64(backends[name])/float64(total)))
	}
	return strings.Join(parts, ", ")
}

// list renders counters as "reason=count ...", or "none".
func list[K ~string](counters map[K]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		parts = append(parts, fmt.Sprintf("%s=%d", name, counters[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " ")
}
