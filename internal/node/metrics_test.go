package node

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"appliance/engine/packet"
)

// A scrape is a collector that renders one Status.
type scrape struct{ status *Status }

func (s scrape) Describe(chan<- *prometheus.Desc)    {}
func (s scrape) Collect(ch chan<- prometheus.Metric) { meter{ch}.status(s.status) }

// A sample is one value of a scrape, under its name and labels.
type sample struct {
	name, labels string
	value        float64
}

// gather scrapes a Status, which must give neither series twice nor names that
// Prometheus's own linter dislikes.
func gather(t *testing.T, s *Status) (all []sample) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(scrape{s})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += l.GetName() + "=" + l.GetValue() + " "
			}
			all = append(all, sample{f.GetName(), labels, m.GetCounter().GetValue() + m.GetGauge().GetValue()})
		}
	}
	return all
}

// value returns the one sample of that name and those labels.
func value(t *testing.T, all []sample, name, labels string) float64 {
	t.Helper()
	i := slices.IndexFunc(all, func(s sample) bool { return s.name == name && s.labels == labels })
	if i < 0 {
		t.Fatalf("no series %s{%s}", name, labels)
	}
	return all[i].value
}

// busy is a Status with two of everything.
func busy() *Status {
	ports := []PortStatus{{Queue: 0}, {Queue: 1}}
	backends := []BackendStatus{{Name: "b1", Up: true, Weight: 3}, {Name: "b2"}}
	return &Status{
		Version: "v1", Node: "lb1", Started: time.Now(), Generation: 5,
		Engines: []EngineStatus{{ID: 0, LongestPassUS: 250, Dropped: map[string]uint64{"no_flow": 7}, Answered: map[string]uint64{"no_flow": 3}}, {ID: 1}},
		Interfaces: []InterfaceStatus{
			{Name: "eth0", State: stateUp, RSS: "hardware", Ports: ports},
			{Name: "eth1", State: stateFailed, Error: "why", Ports: ports},
		},
		Services: []ServiceStatus{
			{Name: "web", VIP: netip.MustParseAddr("203.0.113.1"), Backends: backends},
			{Name: "dns", VIP: netip.MustParseAddr("203.0.113.1"), Backends: backends},
		},
		Frames: FrameStatus{Total: 15, Free: 4, Fill: 3, Transmit: 2, Handoff: 1, Held: 5},
	}
}

func TestMetrics(t *testing.T) {
	all := gather(t, busy())
	for _, want := range []sample{
		{"appliance_up", "", 1},
		{"appliance_info", "node=lb1 version=v1 ", 1},
		{"appliance_snapshots_total", "", 5},
		{"appliance_last_reload_failed", "", 0},
		{"appliance_frames", "place=fill ", 3},
		{"appliance_frames", "place=held ", 5},
		{"appliance_engine_up", "engine=1 ", 1},
		{"appliance_engine_longest_pass_seconds", "engine=0 ", 250e-6},
		{"appliance_engine_dropped_packets_total", "engine=0 reason=no_flow ", 7},
		{"appliance_engine_answered_packets_total", "engine=0 reason=no_flow ", 3},
		{"appliance_interface_up", "interface=eth0 ", 1},
		{"appliance_interface_up", "interface=eth1 ", 0},
		{"appliance_interface_hardware_rss", "interface=eth0 ", 1},
		{"appliance_interface_hardware_rss", "interface=eth1 ", 0},
		{"appliance_backend_up", "backend=b1 vserver=dns ", 1},
		{"appliance_backend_up", "backend=b2 vserver=dns ", 0},
		{"appliance_backend_weight", "backend=b1 vserver=web ", 3},
	} {
		if got := value(t, all, want.name, want.labels); got != want.value {
			t.Errorf("%s{%s} is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	// A counter that is there before it first moves can be watched for that.
	for why := packet.OK + 1; why < packet.Reasons; why++ {
		value(t, all, "appliance_engine_dropped_packets_total", "engine=1 reason="+why.String()+" ")
	}
}

// An engine that doesn't answer has no numbers: zeros would look like counters
// that began anew.
func TestMetricsOfAStuckEngine(t *testing.T) {
	s := busy()
	s.Engines[1] = EngineStatus{ID: 1, Stuck: true}
	s.Reload.Error = "refused"
	all := gather(t, s)
	for _, name := range []string{"appliance_up", "appliance_last_reload_failed"} {
		if got, want := value(t, all, name, ""), flag(name != "appliance_up"); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, one := range all {
		if one.name == "appliance_frames" {
			t.Error("frames are exported that were not counted")
		}
		if one.labels == "engine=1 " && (one.name != "appliance_engine_up" || one.value != 0) {
			t.Errorf("%s{%s} is %v", one.name, one.labels, one.value)
		}
	}
}

// unscraped are the numbers of Status that are no metrics, and why.
var unscraped = map[string]string{
	"ID": "a label", "PID": "of the process collector", "Queue": "a label", "Port": "configuration",
	"MTU": "of the interface, not ours", "Engine": "configuration",
	"Total": "the sum of the places", "Totals": "the sum of the engines",
}

// Every number of Status is a metric, unless there is a reason against it.
func TestEveryNumberIsAMetric(t *testing.T) {
	s := new(Status)
	numbers := map[float64]string{}
	number(reflect.ValueOf(s).Elem(), "", numbers)
	all := gather(t, s)
	for v, name := range numbers {
		if !slices.ContainsFunc(all, func(one sample) bool {
			return one.value == v || one.name == "appliance_engine_longest_pass_seconds" && one.value == v/1e6
		}) {
			t.Errorf("%s is no metric: give it one, or a reason in unscraped", name)
		}
	}
	if len(numbers) < 40 {
		t.Errorf("only %d numbers found", len(numbers))
	}
}

// number gives every number below v a value of its own.
func number(v reflect.Value, name string, numbers map[float64]string) {
	n := float64(1000 + len(numbers))
	switch v.Kind() {
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[Status]().PkgPath() {
			return // a time or an address
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); unscraped[f.Name] == "" {
				number(v.Field(i), name+"."+f.Name, numbers)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			number(v.Index(0), name, numbers)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]uint64{"no_flow": uint64(n)}))
		numbers[n] = name
	case reflect.Uint64:
		v.SetUint(uint64(n))
		numbers[n] = name
	case reflect.Int:
		v.SetInt(int64(n))
		numbers[n] = name
	case reflect.Float64:
		v.SetFloat(n)
		numbers[n] = name
	}
}
