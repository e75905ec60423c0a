package health

import (
	"math/rand/v2"
	"time"
)

// First checks of targets that are new together: firstBurst start at once, the
// rest one each firstGap, or closer together where that would take longer than
// firstSpread. A node is ready when each backend was checked once, so it must
// not take long; but thousands of connections opened in one millisecond
// overflow queues on their way, and fail though nothing is wrong.
const (
	firstBurst  = 16
	firstGap    = time.Millisecond
	firstSpread = 2 * time.Second
)

// firstDelay returns when the first check of target i of n new ones starts.
func firstDelay(i, n int) time.Duration {
	late := time.Duration(max(0, i-firstBurst+1))
	return min(late*firstGap, late*firstSpread/time.Duration(n))
}

// firstPause, between a target's first two checks, spreads targets that were
// added together over the interval.
func firstPause(interval time.Duration) time.Duration {
	return time.Duration((0.1 + 0.9*rand.Float64()) * float64(interval))
}

// nextPause is the interval, 10 % more or less. Without that jitter, targets
// whose checks are slow for a common reason would fall into step.
func nextPause(interval time.Duration) time.Duration {
	return time.Duration((0.9 + 0.2*rand.Float64()) * float64(interval))
}
