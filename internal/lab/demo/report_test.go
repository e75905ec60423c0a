package demo

import (
	"strings"
	"testing"
	"time"

	"appliance/internal/lab/traffic"
)

func TestOptions(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for want, spoil := range map[string]func(*Options){
		"nodes is 0, want 1 to 64":                          func(o *Options) { o.Nodes = 0 },
		"backends is 251, want 1 to 250":                    func(o *Options) { o.Backends = 251 },
		"clients is -1, want 1 to 250":                      func(o *Options) { o.Clients = -1 },
		"duration is 10ms, want 1s to 24h0m0s":              func(o *Options) { o.Duration = 10 * time.Millisecond },
		`mode "natt" is none of ["nat" "dsr" "ipip" "gue"]`: func(o *Options) { o.Mode = "natt" },
		`fault "earthquake" is none of ["none"]`:            func(o *Options) { o.Fault = "earthquake" },
	} {
		o := Defaults()
		spoil(&o)
		if err := o.Validate(); err == nil || err.Error() != "demo: "+want {
			t.Errorf("Validate: %v, want %s", err, want)
		}
	}
}

// counted returns a report with one kind of load.
func counted(r traffic.Report) Report {
	report := Report{PerNode: []NodeReport{{ID: 1, Rx: 70, Owned: 60, Steered: 10, Dropped: map[string]uint64{"no_route": 2}}}}
	report.count([]loadReport{{kind: "http, new", Report: r}})
	return report
}

func TestSummary(t *testing.T) {
	good := traffic.Report{OK: 4, Opened: 4, Backends: map[string]uint64{"b2": 1, "b1": 3}}
	for range 4 {
		good.Latency.Add(2 * time.Millisecond)
	}
	bad := good
	bad.Broken = 1
	bad.Failures = map[traffic.Reason]uint64{traffic.Reset: 1, traffic.ConnectTimeout: 2}
	for _, c := range []struct {
		report traffic.Report
		want   string
	}{
		{good, `
TRAFFIC    OK  FAILED  OPENED  BROKEN  P50  P99  MAX  BY BACKEND
http, new  4   0       4       0       2ms  2ms  2ms  b1 75%, b2 25%

NODE  RX PACKETS  OWNED  STEERED  DROPPED
n1    70          60     10       no_route=2

all 4 requests were answered right
`},
		{bad, `
TRAFFIC    OK  FAILED  OPENED  BROKEN  P50  P99  MAX  BY BACKEND
http, new  4   3       4       1       2ms  2ms  2ms  b1 75%, b2 25%

NODE  RX PACKETS  OWNED  STEERED  DROPPED
n1    70          60     10       no_route=2

3 of 7 requests FAILED: connect_timeout=2 reset=1
`},
	} {
		var out strings.Builder
		r := counted(c.report)
		if err := r.writeSummary(&out); err != nil || out.String() != c.want {
			t.Errorf("summary, error %v:\n%s\nwant\n%s", err, out.String(), c.want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                         "0s",
		123456 * time.Nanosecond:  "123µs",
		1234567 * time.Nanosecond: "1.23ms",
		3004 * time.Millisecond:   "3s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%d) is %s, want %s", d, got, want)
		}
	}
}
