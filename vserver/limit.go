package vserver

import "time"

// A limiter bounds a rate. It is a token bucket that holds one second's worth,
// kept as the time at which it will be full again (the virtual scheduling of
// ITU-T I.371, GCRA), so that nothing need fill it. The zero limiter is shut.
type limiter struct {
	gap  int64 // ns that one token stands for; 0: shut
	full int64 // when the bucket will be full
}

// set allows rate tokens a second.
func (l *limiter) set(rate int) {
	l.gap = 0
	if rate > 0 {
		l.gap = int64(time.Second) / int64(rate)
	}
}

// open reports whether there is a token.
func (l *limiter) open(now int64) bool {
	return l.gap > 0 && l.full+l.gap-now <= int64(time.Second)
}

// take takes a token, of which there is one.
func (l *limiter) take(now int64) { l.full = max(l.full, now) + l.gap }
