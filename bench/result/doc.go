// Package result is the one format in which the benchmarks report: figures
// with their unit, noise and number of runs, ratios between them, the machine
// they were measured on, and what could not be measured.
//
// # From runs to figures
//
// A scenario runs its contestants in turns and adds what each run measured to
// a [Recorder]. [Recorder.Result] takes the median of every figure's runs;
// minimum and maximum stand beside it, so that a reader sees the noise. A ratio
// is the quotient of two medians of the same Result: it compares figures of one
// run of the command on one machine, never of two.
//
// # Limits
//
// A Recorder belongs to one goroutine. Nothing here measures.
package result
