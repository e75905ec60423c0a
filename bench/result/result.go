package result

import (
	"fmt"
	"slices"
)

// A Figure is one measured quantity: the median of its runs and their noise.
type Figure struct {
	Value float64 `json:"value"` // median of the runs
	Unit  string  `json:"unit"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Runs  int     `json:"runs"`
}

// A Result is what one scenario measured. Its JSON form is what `bench -json`
// prints.
type Result struct {
	Scenario string             `json:"scenario"`
	Machine  string             `json:"machine"`
	Figures  map[string]Figure  `json:"figures"`
	Ratios   map[string]float64 `json:"ratios"`
	Absent   map[string]string  `json:"absent,omitempty"` // contestant -> why it did not run
	Faults   []string           `json:"faults,omitempty"` // what makes the figures doubtful
}

// A Recorder collects the runs of one scenario. The zero Recorder is not ready;
// NewRecorder makes one.
type Recorder struct {
	scenario string
	series   map[string]*series
	ratios   map[string]ratio
	absent   map[string]string
	faults   []string
}

type series struct {
	unit string
	runs []float64
}

type ratio struct{ over, under string }

// NewRecorder returns an empty Recorder of the named scenario.
func NewRecorder(scenario string) *Recorder {
	return &Recorder{
		scenario: scenario,
		series:   map[string]*series{},
		ratios:   map[string]ratio{},
		absent:   map[string]string{},
	}
}

// Add adds one run of the named figure. A figure keeps the unit of its first
// run.
func (r *Recorder) Add(figure, unit string, value float64) {
	s := r.series[figure]
	if s == nil {
		s = &series{unit: unit}
		r.series[figure] = s
	}
	s.runs = append(s.runs, value)
}

// Ratio asks for the ratio of two figures' medians under the given name. It is
// left out of the Result when one of the two was never measured, or when the
// divisor is zero.
func (r *Recorder) Ratio(name, over, under string) {
	r.ratios[name] = ratio{over, under}
}

// Absent notes that a contestant did not run, and why.
func (r *Recorder) Absent(contestant, why string) { r.absent[contestant] = why }

// Fault notes something that makes the figures doubtful, such as an account of
// packets that does not close.
func (r *Recorder) Fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// Result returns the medians of all that was added, and the ratios between
// them.
func (r *Recorder) Result(machine string) *Result {
	res := &Result{
		Scenario: r.scenario,
		Machine:  machine,
		Figures:  map[string]Figure{},
		Ratios:   map[string]float64{},
		Absent:   r.absent,
		Faults:   r.faults,
	}
	for name, s := range r.series {
		res.Figures[name] = Figure{
			Value: Median(s.runs), Unit: s.unit,
			Min: slices.Min(s.runs), Max: slices.Max(s.runs), Runs: len(s.runs),
		}
	}
	for name, q := range r.ratios {
		over, ok := res.Figures[q.over]
		under, ok2 := res.Figures[q.under]
		if ok && ok2 && under.Value != 0 {
			res.Ratios[name] = over.Value / under.Value
		}
	}
	return res
}

// Median returns the middle of the values, or the mean of the two middle ones.
// It panics when there are none, and leaves values as they are.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
