package result

import (
	"bytes"
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{1, 1, 1, 1, 100}, 1},
	} {
		before := slices.Clone(c.values)
		if got := Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("Median changed its argument %v to %v", before, c.values)
		}
	}
}

// TestMedianHalves checks the definition: as many values below as above.
func TestMedianHalves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 40).Draw(t, "values")
		m := Median(values)
		var below, above int
		for _, v := range values {
			if v < m {
				below++
			}
			if v > m {
				above++
			}
		}
		if half := len(values) / 2; below > half || above > half {
			t.Fatalf("%d below and %d above %v of %v", below, above, m, values)
		}
	})
}

// sample is what a scenario with one absent contestant records.
func sample() *Recorder {
	r := NewRecorder("forward")
	for _, v := range []float64{1.1, 0.9, 1.0} {
		r.Add("bare", "Mpps", v)
	}
	for _, v := range []float64{0.7, 0.8, 0.9} {
		r.Add("appliance_dsr", "Mpps", v)
	}
	r.Ratio("appliance_dsr/bare", "appliance_dsr", "bare")
	r.Ratio("appliance_dsr/testpmd", "appliance_dsr", "testpmd")
	r.Absent("testpmd", "dpdk-testpmd is not installed")
	return r
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := sample().Result("a machine").WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scenario string
		Machine  string
		Figures  map[string]struct {
			Value, Min, Max float64
			Unit            string
			Runs            int
		}
		Ratios map[string]float64
		Absent map[string]string
	}
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Scenario != "forward" || got.Machine != "a machine" {
		t.Errorf("scenario %q on machine %q", got.Scenario, got.Machine)
	}
	bare := got.Figures["bare"]
	if bare.Value != 1.0 || bare.Min != 0.9 || bare.Max != 1.1 || bare.Unit != "Mpps" || bare.Runs != 3 {
		t.Errorf("figure bare = %+v", bare)
	}
	if r := got.Ratios["appliance_dsr/bare"]; math.Abs(r-0.8) > 1e-9 {
		t.Errorf("ratio of the medians = %v, want 0.8", r)
	}
	if r, ok := got.Ratios["appliance_dsr/testpmd"]; ok {
		t.Errorf("ratio to an absent contestant = %v, want none", r)
	}
	if got.Absent["testpmd"] == "" {
		t.Error("the absent contestant is not named")
	}
	if dec.More() {
		t.Error("more than one JSON value")
	}
}

func TestTablesNameEverything(t *testing.T) {
	r := sample()
	r.Fault("%d packets are missing", 7)
	res := r.Result("a machine")
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text":     func(b *bytes.Buffer) error { return res.WriteText(b) },
		"markdown": func(b *bytes.Buffer) error { return res.WriteMarkdown(b, "bench -scenario forward") },
	} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a machine", "bare", "Mpps", "appliance_dsr/bare", "0.800", "absent: testpmd", "7 packets are missing"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s table lacks %q:\n%s", name, want, out.String())
			}
		}
	}
}

func TestMachineNamesGoAndKernel(t *testing.T) {
	m := Machine()
	if !strings.Contains(m, runtime.Version()) || !strings.Contains(m, "Linux ") || strings.Contains(m, "unknown") {
		t.Errorf("machine %q", m)
	}
}
