package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/privtest"
)

// A screen passes each line that the demonstration shows to a function.
type screen func(line string)

func (s screen) Write(line []byte) (int, error) {
	s(string(line))
	return len(line), nil
}

// options returns Options for a short demonstration of the appliance.
func options(t *testing.T) Options {
	t.Helper()
	privtest.NeedNetNS(t)
	opts := Defaults()
	var err error
	if opts.Binary, err = lab.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	opts.Duration = 2 * time.Second
	opts.Out, opts.Progress = io.Discard, screen(func(line string) { t.Log(strings.TrimSpace(line)) })
	return opts
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		mode            string
		ipv6, fragments bool
	}{{"nat", false, false}, {"dsr", true, false}, {"nat", true, true}, {"dsr", true, true}, {"ipip", true, true}, {"gue", false, true}} {
		t.Run(fmt.Sprintf("%s, fragments %v", c.mode, c.fragments), func(t *testing.T) {
			opts := options(t)
			opts.Mode, opts.IPv6, opts.Fragments, opts.JSON = c.mode, c.ipv6, c.fragments, true
			var out bytes.Buffer
			opts.Out = &out
			lines := 0
			opts.Progress = screen(func(string) { lines++ })
			report, err := Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if report.Requests.Failed != 0 || report.Requests.OK < 250 {
				t.Errorf("requests %+v, want 250 and more in two seconds, and none failed", report.Requests)
			}
			if d := report.Datagrams; c.fragments && (d == nil || d.Failed != 0 || d.OK < 20) || !c.fragments && d != nil {
				t.Errorf("datagrams %+v, want 20 and more in two seconds, and none failed", d)
			}
			if n := report.PerNode[0]; n.Rx < 2*report.Requests.OK || n.Owned == 0 || n.ID != 1 {
				t.Errorf("node %+v, want two packets and more a request", n)
			}
			if lines < len(report.Timeline)+1 {
				t.Errorf("%d lines of progress for %d events: want one a second too", lines, len(report.Timeline))
			}
			checkJSON(t, out.Bytes(), c.fragments)
		})
	}
}

// checkJSON demands one object with the keys that scripts rely on.
func checkJSON(t *testing.T, out []byte, fragments bool) {
	t.Helper()
	type requests struct {
		OK, Failed *uint64
		ByReason   map[string]uint64 `json:"failed_by_reason"`
	}
	var got struct {
		Nodes, Backends *int
		Mode            *string
		Requests        requests
		Datagrams       *requests
		Connections     struct{ Opened, Broken *uint64 }
		PerNode         []struct {
			ID      *int
			Rx      *uint64           `json:"rx_packets"`
			Owned   *uint64           `json:"owned_packets"`
			Steered *uint64           `json:"steered_packets"`
			Dropped map[string]uint64 `json:"dropped"`
		} `json:"per_node"`
		Timeline []struct {
			MS    *int64
			Event *string
		}
		Failover *struct{}
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if decoder.More() {
		t.Error("something follows the object")
	}
	if len(got.PerNode) != 1 || len(got.Timeline) == 0 {
		t.Fatalf("%d nodes, %d events in %s", len(got.PerNode), len(got.Timeline), out)
	}
	node, event := got.PerNode[0], got.Timeline[0]
	for name, missing := range map[string]bool{
		"nodes": got.Nodes == nil, "backends": got.Backends == nil, "mode": got.Mode == nil,
		"requests.ok": got.Requests.OK == nil, "requests.failed": got.Requests.Failed == nil,
		"connections.opened": got.Connections.Opened == nil, "connections.broken": got.Connections.Broken == nil,
		"per_node.id": node.ID == nil, "per_node.rx_packets": node.Rx == nil, "per_node.owned_packets": node.Owned == nil,
		"per_node.steered_packets": node.Steered == nil, "per_node.dropped": node.Dropped == nil,
		"timeline.ms": event.MS == nil, "timeline.event": event.Event == nil, "failover": got.Failover == nil,
		"datagrams": fragments && (got.Datagrams == nil || got.Datagrams.OK == nil || got.Datagrams.Failed == nil),
	} {
		if missing {
			t.Errorf("%s is missing or null in %s", name, out)
		}
	}
}

// onTraffic returns a screen that calls fn with the process id of the node, once
// the traffic has begun.
func onTraffic(fn func(pid int)) screen {
	pid := 0
	return func(line string) {
		if _, after, ok := strings.Cut(line, "ready, process "); ok {
			fmt.Sscan(after, &pid)
		}
		if strings.Contains(line, "traffic begins") {
			fn(pid)
		}
	}
}

// TestDeadNodeIsReported kills the node under traffic.
func TestDeadNodeIsReported(t *testing.T) {
	opts := options(t)
	opts.Progress = onTraffic(func(pid int) {
		time.AfterFunc(500*time.Millisecond, func() { syscall.Kill(pid, syscall.SIGKILL) })
	})
	var out bytes.Buffer
	opts.Out = &out
	report, err := Run(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "n1: signal: killed") {
		t.Errorf("Run: %v, want how the node ended", err)
	}
	if report.Requests.Failed < 20 || report.Requests.OK < 20 || report.Connections.Broken < 5 {
		t.Errorf("requests %+v, connections %+v, want many failures", report.Requests, report.Connections)
	}
	if !strings.Contains(out.String(), "FAILED") {
		t.Errorf("the summary hides the failures:\n%s", out.String())
	}
	noted := 0
	for _, e := range report.Timeline {
		if strings.Contains(e.Event, "first failure") {
			noted++
		}
	}
	if noted == 0 || noted > 12 {
		t.Errorf("%d failures on the timeline, want the first of each kind and reason", noted)
	}
}

// TestInterruption ends the demonstration early: with a report, and in order.
func TestInterruption(t *testing.T) {
	opts := options(t)
	opts.Duration = time.Minute
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	opts.Progress = onTraffic(func(int) {
		time.AfterFunc(500*time.Millisecond, func() { cancel(enough) })
	})
	report, err := Run(ctx, opts)
	if !errors.Is(err, enough) {
		t.Errorf("Run: %v, want the interruption's cause", err)
	}
	if report.Requests.OK < 20 || report.Requests.Failed != 0 || len(report.PerNode) != 1 {
		t.Errorf("requests %+v, nodes %+v, want what was done until then", report.Requests, report.PerNode)
	}
}

func TestNodeThatDoesNotStart(t *testing.T) {
	opts := options(t)
	opts.Binary = "/bin/false"
	var out bytes.Buffer
	opts.Out = &out
	if _, err := Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("Run: %v, want how the node ended", err)
	}
	if out.Len() > 0 {
		t.Errorf("a result without traffic: %s", out.String())
	}
}
