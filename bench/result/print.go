package result

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// WriteJSON prints r as one JSON object on one line.
func (r *Result) WriteJSON(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("result: write json: %w", err)
	}
	return nil
}

// WriteText prints r as a table for people.
func (r *Result) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n%s\n\n", r.Scenario, r.Machine)
	fmt.Fprintf(t, "figure\tmedian\tmin\tmax\tunit\truns\n")
	for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
		f := r.Figures[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", name, number(f.Value), number(f.Min), number(f.Max), f.Unit, f.Runs)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintf(t, "\nratio\tvalue\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
		fmt.Fprintf(t, "%s\t%.3f\n", name, r.Ratios[name])
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("result: write table: %w", err)
	}
	return r.writeRemarks(w, "%s: %s\n")
}

// WriteMarkdown prints r as a section of docs/benchmarks.md. command is what
// measures it again.
func (r *Result) WriteMarkdown(w io.Writer, command string) error {
	fmt.Fprintf(w, "## %s\n\n`%s`\n\n%s\n\n", r.Scenario, command, r.Machine)
	fmt.Fprintf(w, "| figure | median | min | max | unit | runs |\n| --- | ---: | ---: | ---: | --- | ---: |\n")
	for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
		f := r.Figures[name]
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %d |\n", name, number(f.Value), number(f.Min), number(f.Max), f.Unit, f.Runs)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintf(w, "\n| ratio | value |\n| --- | ---: |\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
		fmt.Fprintf(w, "| %s | %.3f |\n", name, r.Ratios[name])
	}
	fmt.Fprintln(w)
	return r.writeRemarks(w, "- %s: %s\n")
}

// writeRemarks prints what did not run and what is doubtful. It is the last
// thing written, so its error stands for those of the lines before it, which
// went to the same writer.
func (r *Result) writeRemarks(w io.Writer, format string) error {
	var err error
	for _, name := range slices.Sorted(maps.Keys(r.Absent)) {
		_, err = fmt.Fprintf(w, format, "absent: "+name, r.Absent[name])
	}
	for _, fault := range r.Faults {
		_, err = fmt.Fprintf(w, format, "fault", fault)
	}
	_, end := fmt.Fprintln(w)
	if err == nil {
		err = end
	}
	if err != nil {
		return fmt.Errorf("result: write remarks: %w", err)
	}
	return nil
}

// number prints v with about four digits, as far as benchmarks go.
func number(v float64) string {
	switch {
	case v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}
