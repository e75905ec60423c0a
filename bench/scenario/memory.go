package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"appliance/bench/replay"
	"appliance/vserver"
)

const (
	memoryFlows = 1_000_000
	mebibyte    = 1 << 20

	// memoryTimeout is 5 s of ours: longer than a million flows take to begin.
	memoryTimeout = 5 * cpsSpeed * time.Second
)

// memory measures the resident memory of one engine's flow table with a million
// flows in it, and whether the process grows while a million flows begin and
// expire again and again.
func memory(ctx context.Context, r *run) error {
	heads := replay.Heads(memoryFlows, replay.Traffic{Client: coreClient, To: coreVIP})
	debug.FreeOSMemory()
	empty, err := resident()
	if err != nil {
		return err
	}
	c, err := newCore(ctx, coreConfig{
		mode: vserver.NAT, proto: vserver.UDP, timeout: memoryTimeout,
		capacity: pipelineCapacity, heads: heads, wrap: withFastClock,
	})
	if err != nil {
		return err
	}
	return errors.Join(c.tide(ctx, r, empty), c.close())
}

// tide lets a million flows come and go until the time is over. At each high
// water it looks at the process's memory, which was empty before the core was
// made.
func (c *core) tide(ctx context.Context, r *run, empty int) error {
	drift := fmt.Sprintf("MiB over %v", r.Time)
	first := 0
	for end := time.Now().Add(r.Time); ; {
		r.progress("a million flows begin; %v left", time.Until(end).Round(time.Second))
		if err := c.fill(ctx, memoryFlows); err != nil {
			return err
		}
		high, err := c.traffic(ctx)
		if err != nil {
			return err
		}
		full, err := resident()
		if err != nil {
			return err
		}
		if first == 0 {
			first = full
		}
		r.Add("flows", "flows", float64(high.present))
		r.Add("table_1m", "MiB", float64(full-empty-len(c.arena.Memory()))/mebibyte)
		r.Add("process_1m", "MiB", float64(full)/mebibyte)
		r.Add("drift", drift, float64(full-first)/mebibyte)
		if time.Now().After(end) {
			return nil
		}
		if err := c.ebb(ctx); err != nil {
			return err
		}
	}
}

// ebb waits until all flows have expired and been swept.
func (c *core) ebb(ctx context.Context) error {
	const pause, limit = 50 * time.Millisecond, 400
	for range limit {
		low, err := c.traffic(ctx)
		if err != nil {
			return err
		}
		if low.present == 0 {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("flows are still present %v after their last packet", limit*pause)
}

// resident returns the process's resident memory in bytes.
func resident() (int, error) { return residentOf("self") }

// residentOf returns the resident memory of a process, by its number, in bytes,
// exactly: the counters of statm are approximate.
func residentOf(process string) (int, error) {
	b, err := os.ReadFile("/proc/" + process + "/smaps_rollup")
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	return parseRollup(string(b))
}

// parseRollup finds the Rss line of a smaps_rollup file.
func parseRollup(rollup string) (int, error) {
	for line := range strings.Lines(rollup) {
		var kib int
		if n, _ := fmt.Sscanf(line, "Rss: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("read resident memory: no Rss line in smaps_rollup")
}
