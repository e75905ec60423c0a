package traffic

import (
	"maps"
	"sync"
	"time"
)

// A Report is what a driver has counted. An exchange is one HTTP request, one
// checked piece of a stream, or one datagram.
type Report struct {
	OK       uint64            // exchanges whose answer was right
	Failures map[Reason]uint64 // the others
	Opened   uint64            // connections (or UDP sockets) opened
	Broken   uint64            // connections that ended otherwise than by our wish
	Backends map[string]uint64 // right answers by backend, where the answer names it
	Latency  Histogram         // of right answers, connecting not included
}

// Failed returns how many exchanges failed.
func (r *Report) Failed() uint64 {
	var n uint64
	for _, failed := range r.Failures {
		n += failed
	}
	return n
}

// Merge adds another driver's report to this one.
func (r *Report) Merge(other Report) {
	r.OK += other.OK
	r.Opened += other.Opened
	r.Broken += other.Broken
	r.Failures = sum(r.Failures, other.Failures)
	r.Backends = sum(r.Backends, other.Backends)
	r.Latency.Merge(&other.Latency)
}

// sum adds the counts of other to those of into, which may be nil.
func sum[K comparable](into, other map[K]uint64) map[K]uint64 {
	if into == nil {
		into = make(map[K]uint64)
	}
	for key, n := range other {
		into[key] += n
	}
	return into
}

// A tally is a Report that several goroutines write.
type tally struct {
	failed func(*Failure) // told of every failure; may be nil

	mu     sync.Mutex
	report Report
}

// Report returns a copy of what has been counted so far.
func (t *tally) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.report
	r.Failures, r.Backends = maps.Clone(r.Failures), maps.Clone(r.Backends)
	return r
}

// opened counts a connection.
func (t *tally) opened() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Opened++
}

// ok counts a right answer. backend is "" where the answer doesn't name it.
func (t *tally) ok(backend string, latency time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.OK++
	t.report.Latency.Add(latency)
	if backend != "" {
		if t.report.Backends == nil {
			t.report.Backends = make(map[string]uint64)
		}
		t.report.Backends[backend]++
	}
}

// fail counts a failed exchange; broken says that it cost a connection.
func (t *tally) fail(f *Failure, broken bool) {
	t.mu.Lock()
	if t.report.Failures == nil {
		t.report.Failures = make(map[Reason]uint64)
	}
	t.report.Failures[f.Reason]++
	if broken {
		t.report.Broken++
	}
	t.mu.Unlock()
	if t.failed != nil {
		t.failed(f)
	}
}
