package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"appliance/bench/peers"
	"appliance/bench/result"
	"appliance/internal/privtest"
)

func TestMain(m *testing.M) {
	peers.RunChild()
	os.Exit(m.Run())
}

// quiet is in how many rounds allocations are counted: they are the whole process's,
// whose other goroutines allocate now and then, but not in each round.
const quiet = 4

// short runs a scenario with few and short rounds.
func short(t *testing.T, name string, runs int, window time.Duration) *result.Result {
	t.Helper()
	s := Find(name)
	if s == nil {
		t.Fatalf("no scenario %q", name)
	}
	var progress bytes.Buffer
	res, err := s.Run(context.Background(), Options{Runs: runs, Time: window, Progress: &progress})
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if !strings.Contains(progress.String(), fmt.Sprintf("round 1 of %d", runs)) {
		t.Errorf("no progress was reported: %q", progress.String())
	}
	return res
}

// want fails unless the result has each figure, above zero.
func want(t *testing.T, res *result.Result, figures ...string) {
	t.Helper()
	for _, name := range figures {
		f, ok := res.Figures[name]
		if !ok || f.Value <= 0 || f.Min > f.Value || f.Value > f.Max || f.Runs < 1 {
			t.Errorf("figure %s = %+v, present: %v", name, f, ok)
		}
	}
}

// faultless fails on faults other than those that short windows on a shared
// machine must have.
func faultless(t *testing.T, res *result.Result) {
	t.Helper()
	for _, fault := range res.Faults {
		if !strings.Contains(fault, "medians want at least") && !strings.Contains(fault, "other processes") {
			t.Errorf("fault: %s", fault)
		}
	}
}

func TestHash(t *testing.T) {
	res := short(t, "hash", 1, 2*time.Millisecond)
	want(t, res, "toeplitz_ipv4", "toeplitz_ipv6", "slow", "slow_ipv6")
	for name, r := range res.Ratios {
		if r <= 0 || r >= 1 {
			t.Errorf("ratio %s = %v: the slow twin should be slower", name, r)
		}
	}
	if len(res.Ratios) != 2 {
		t.Errorf("ratios %v", res.Ratios)
	}
	faultless(t, res)
}

func TestPipeline(t *testing.T) {
	res := short(t, "pipeline", quiet, time.Millisecond)
	for _, load := range []string{"10k", "1m"} {
		want(t, res, "cacheline_"+load, "hotline_"+load, "port_"+load)
		for _, mode := range []string{"dsr", "nat", "ipip", "gue"} {
			name := "pipeline_" + mode + "_" + load
			want(t, res, name)
			if a := res.Figures[name+"_allocs"]; a.Min != 0 || a.Runs == 0 {
				t.Errorf("%s allocates: %+v", name, a)
			}
			for _, base := range []string{"/cacheline", "/hotline"} {
				if r, ok := res.Ratios[name+base]; !ok || r <= 0 {
					t.Errorf("ratio %s is %v, present: %v", name+base, r, ok)
				}
			}
		}
	}
	faultless(t, res)
}

func TestVIPs(t *testing.T) {
	res := short(t, "vips", quiet, time.Millisecond)
	for _, mode := range []string{"dsr", "nat"} {
		for i, size := range vipsSizes {
			name := "vips_" + mode + "_" + size.name
			want(t, res, name)
			if a := res.Figures[name+"_allocs"]; a.Min != 0 || a.Runs == 0 {
				t.Errorf("%s allocates: %+v", name, a)
			}
			if r, ok := res.Ratios[name+"/1x1"]; i > 0 && (!ok || r <= 0) {
				t.Errorf("ratio of %s is %v, present: %v", name, r, ok)
			}
		}
	}
	faultless(t, res)
}

func TestCPS(t *testing.T) {
	res := short(t, "cps", quiet, 20*time.Millisecond)
	for _, name := range []string{"cps_dsr", "cps_nat"} {
		want(t, res, name, name+"_present")
		if a := res.Figures[name+"_allocs"]; a.Min != 0 || a.Runs == 0 {
			t.Errorf("%s allocates: %+v", name, a)
		}
	}
	faultless(t, res)
}

func TestMemory(t *testing.T) {
	s := Find("memory")
	var progress bytes.Buffer
	res, err := s.Run(context.Background(), Options{Time: time.Millisecond, Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	want(t, res, "table_1m", "process_1m", "flows")
	if f := res.Figures["flows"]; f.Max < memoryFlows/2 { // a busy machine may take longer to begin them than they live
		t.Errorf("flows %+v", f)
	}
	if f := res.Figures["table_1m"]; f.Max > 128 {
		t.Errorf("the table takes %v MiB, want at most 128", f.Max)
	}
	if f := res.Figures["drift"]; f.Runs == 0 || !strings.HasPrefix(f.Unit, "MiB over") {
		t.Errorf("drift %+v", f)
	}
	if !strings.Contains(progress.String(), "million flows begin") {
		t.Errorf("progress: %q", progress.String())
	}
	faultless(t, res)
}

func TestParseRollup(t *testing.T) {
	n, err := parseRollup("55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:                1234 kB\nPss: 1 kB\n")
	if err != nil || n != 1234<<10 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := parseRollup("Pss: 1 kB\n"); err == nil {
		t.Error("a rollup without Rss was accepted")
	}
}

func TestForward(t *testing.T) {
	privtest.NeedNetNS(t)
	res := short(t, "forward", 1, 200*time.Millisecond)
	for _, p := range peers.All() {
		if why, absent := res.Absent[p.Name]; absent {
			t.Logf("%s is absent: %s", p.Name, why)
			continue
		}
		// On a busy machine a peer may not run at all in a window so short. That
		// frames came through, and what became of the others, the account says.
		for _, name := range []string{p.Name, p.Name + "_per_cpu_second", p.Name + "_cpu_softirq", p.Name + "_cpu_generator"} {
			if f, ok := res.Figures[name]; !ok || f.Runs != 1 {
				t.Errorf("figure %s = %+v, present: %v", name, f, ok)
			}
		}
	}
	want(t, res, "bare_cpu_all", "bare_cpu_engine")
	faultless(t, res)
}

// On a machine that other tests keep busy no figure is what it would be on an idle
// one: what is tested is that all come about, and that the flood does.
func TestFlood(t *testing.T) {
	privtest.NeedNetNS(t)
	res := short(t, "flood", 1, 300*time.Millisecond)
	for _, s := range sieges {
		want(t, res, s.name+"_sent", s.name+"_received", s.name+"_goodput_quiet", s.name+"_memory_quiet", s.name+"_memory_flood")
		for _, name := range []string{"_goodput_flood", "_broken_quiet", "_broken_flood", "_lost_in_kernel", "_gave_way", "_unlisted"} {
			if f, ok := res.Figures[s.name+name]; !ok || f.Runs != 1 {
				t.Errorf("figure %s = %+v, present: %v", s.name+name, f, ok)
			}
		}
	}
	faultless(t, res)
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range All {
		if seen[s.Name] || s.Name == "" || s.About == "" || s.Time <= 0 {
			t.Errorf("scenario %+v", s)
		}
		seen[s.Name] = true
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Find("hash").Run(ctx, Options{}); err == nil {
		t.Error("a cancelled scenario returned a result")
	}
}

// TestNoise: a busy machine is a fault, a timer here and there is none.
func TestNoise(t *testing.T) {
	for cpus, want := range map[float64]int{0: 0, 0.09: 0, 0.5: 1} {
		r := &run{Recorder: result.NewRecorder("noise")}
		r.noise(cpus)
		if faults := r.Result("").Faults; len(faults) != want {
			t.Errorf("%v CPUs: faults %v, want %d", cpus, faults, want)
		}
	}
	before, err := others()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); { // our own work is no noise
	}
	after, err := others()
	if idle := time.Duration(runtime.NumCPU()) * 400 * time.Millisecond; err != nil || after-before < -50*time.Millisecond || after-before > idle {
		t.Errorf("others used %v in 100 ms, %v", after-before, err)
	}
}

func TestParseProcessors(t *testing.T) {
	busy, softirq, err := parseProcessors("cpu  100 20 30 4000 50 6 7 800 0 0\n")
	if err != nil || busy != 1630*time.Millisecond || softirq != 70*time.Millisecond {
		t.Errorf("busy %v, softirq %v, %v", busy, softirq, err)
	}
	if _, _, err := parseProcessors("intr 1 2 3"); err == nil {
		t.Error("a line that is not the first was accepted")
	}
}

// TestPerOp: the time of one turn doesn't depend on how many were made.
func TestPerOp(t *testing.T) {
	turns := 0
	ns := perOp(20*time.Millisecond, func(n int) {
		turns += n
		time.Sleep(time.Duration(n) * 100 * time.Nanosecond)
	})
	if ns < 100 || ns > 200 || turns < 100_000 {
		t.Errorf("%.0f ns a turn over %d turns, want 100", ns, turns)
	}
}
