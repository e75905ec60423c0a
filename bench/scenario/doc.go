// Package scenario holds the benchmarks: what each one sets up, what it
// compares, and which figures it reports.
//
// # Rules
//
// Contestants of a comparison take turns inside one run of the command: round
// one runs each of them once, then round two, and so on. A machine that slows
// down slows all of them. A figure is the median of its rounds.
//
// What a scenario says about allocations it measures (runtime.MemStats), and a
// scenario that moves packets reports a fault when its account of them does not
// close.
//
// # Limits
//
// Scenarios run one at a time: they pin threads and fill caches.
package scenario
