package scenario

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tolerableOthers is how many CPUs other processes may use before the result
// says so: what a timer here and there takes.
const tolerableOthers = 0.1

// inProcess wraps a scenario in which all work is this process's own, so that
// whatever else keeps processors busy is noise, and the result says so.
func inProcess(measure func(context.Context, *run) error) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		began := time.Now()
		before, err := others()
		if err != nil {
			return err
		}
		if err := measure(ctx, r); err != nil {
			return err
		}
		after, err := others()
		if err != nil {
			return err
		}
		r.noise((after - before).Seconds() / time.Since(began).Seconds())
		return nil
	}
}

// noise notes how many CPUs other processes used.
func (r *run) noise(cpus float64) {
	if cpus > tolerableOthers {
		r.Fault("other processes used %.2f CPUs meanwhile", cpus)
	}
}

// others returns the processor time of everything but this process.
func others() (time.Duration, error) {
	busy, _, err := processors()
	if err != nil {
		return 0, err
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("read own processor time: %w", err)
	}
	return busy - time.Duration(own.Utime.Nano()+own.Stime.Nano()), nil
}

// processors reads the times of all processors together from /proc/stat, which
// the kernel samples at each tick (proc_stat(5)).
func processors() (busy, softirq time.Duration, err error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	if !sc.Scan() {
		return 0, 0, errors.New("read /proc/stat: it is empty")
	}
	return parseProcessors(sc.Text())
}

// parseProcessors reads the first line of /proc/stat, in units of 10 ms
// (USER_HZ). Idle and stolen time are left out.
func parseProcessors(line string) (busy, softirq time.Duration, err error) {
	var t struct{ user, nice, system, idle, iowait, irq, softirq int64 }
	_, err = fmt.Sscanf(strings.TrimSpace(line), "cpu %d %d %d %d %d %d %d",
		&t.user, &t.nice, &t.system, &t.idle, &t.iowait, &t.irq, &t.softirq)
	if err != nil {
		return 0, 0, fmt.Errorf("read /proc/stat: %q: %w", line, err)
	}
	const tick = 10 * time.Millisecond
	return time.Duration(t.user+t.nice+t.system+t.irq+t.softirq) * tick, time.Duration(t.softirq) * tick, nil
}
