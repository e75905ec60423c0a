package maglev

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// equal returns n backends of equal weight.
func equal(n int) []Backend {
	backends := make([]Backend, n)
	for i := range backends {
		backends[i] = Backend{Name: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), Weight: 1}
	}
	return backends
}

// build builds a table that must succeed.
func build(t testing.TB, backends []Backend, size int) *Table {
	t.Helper()
	table, err := Build(backends, size)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// names returns which backend holds each slot.
func names(table *Table, backends []Backend) []string {
	all := make([]string, len(table.slots))
	for i, b := range table.slots {
		all[i] = backends[b].Name
	}
	return all
}

// TestPaperExample is table 1 of the paper: three backends, then without the
// second.
func TestPaperExample(t *testing.T) {
	b0 := seat{index: 0, weight: 1, next: 3, skip: 4}
	b1 := seat{index: 1, weight: 1, next: 0, skip: 2}
	b2 := seat{index: 2, weight: 1, next: 3, skip: 1}
	if got, want := populate([]seat{b0, b1, b2}, 7), []uint16{1, 0, 1, 0, 2, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("before: %v, want %v", got, want)
	}
	if got, want := populate([]seat{b0, b2}, 7), []uint16{0, 0, 0, 0, 2, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("after: %v, want %v", got, want)
	}
}

// drawBackends draws up to most backends, at least one of which has a weight.
func drawBackends(t *rapid.T, most int, heaviest uint32) []Backend {
	weights := rapid.SliceOfN(rapid.Uint32Range(0, heaviest), 1, most).Draw(t, "weights")
	weights[0] = max(weights[0], 1)
	backends := equal(len(weights))
	for i, w := range weights {
		backends[i].Weight = w
	}
	return backends
}

var sizes = []int{2, 3, 5, 7, 101, 251, 1009, 4099, DefaultSize}

func TestAgainstSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom(sizes[:7]).Draw(t, "size")
		backends := drawBackends(t, 10, rapid.SampledFrom([]uint32{1, 7, math.MaxUint32}).Draw(t, "heaviest"))
		all, err := seats(backends, size)
		if err != nil {
			t.Fatal(err)
		}
		want := slowPopulate(slices.Clone(all), size)
		if got := populate(all, size); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// TestShares asserts that each backend's share of the slots is within 1 % of
// the slots of its share of the weights, if there are 100 slots a backend, and
// that weight 0 means no slot.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom(sizes[4:]).Draw(t, "size")
		backends := drawBackends(t, size/100, rapid.SampledFrom([]uint32{1, 3, 256, math.MaxUint32}).Draw(t, "heaviest"))
		table, err := Build(backends, size)
		if err != nil {
			t.Fatal(err)
		}
		got, sum := make([]float64, len(backends)), 0.0
		for _, b := range table.slots {
			got[b]++
		}
		for _, b := range backends {
			sum += float64(b.Weight)
		}
		for i, b := range backends {
			want := float64(size) * float64(b.Weight) / sum
			if off := math.Abs(got[i] - want); off > float64(size)/100 || b.Weight == 0 && got[i] > 0 {
				t.Fatalf("weight %d of %.0f: %.0f slots of %d, want %.1f", b.Weight, sum, got[i], size, want)
			}
		}
	})
}

// TestOrderDoesNotMatter asserts that the same backends in another order, some
// without weight among them, hold the same slots.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backends := drawBackends(t, 20, 5)
		shuffled := rapid.Permutation(append(slices.Clone(backends), Backend{Name: "drained"})).Draw(t, "order")
		a, err := Build(backends, 1009)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Build(shuffled, 1009)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(names(a, backends), names(b, shuffled)) {
			t.Fatal("another order gives another table")
		}
	})
}

// TestSameEverywhere holds tables equal to those of other machines and other
// versions: nodes of one cluster may be both.
func TestSameEverywhere(t *testing.T) {
	weighted := equal(10)
	for i := range weighted {
		weighted[i].Weight = uint32(i * i)
	}
	for _, c := range []struct {
		backends []Backend
		want     uint32
	}{{equal(3), 0xff36c062}, {equal(100), 0xac55545e}, {weighted, 0x3ac4875c}} {
		table := build(t, c.backends, DefaultSize)
		var text strings.Builder
		for hash := uint32(0); hash < 1<<32-1<<16; hash += 65521 {
			fmt.Fprintln(&text, c.backends[table.Lookup(hash)].Name)
		}
		if got := crc32.ChecksumIEEE([]byte(text.String())); got != c.want {
			t.Errorf("%d backends: CRC-32 of the answers is %#08x, want %#08x", len(c.backends), got, c.want)
		}
	}
}

// TestRemovalMovesLittle removes one backend of n and counts the slots of the
// others that change hands.
func TestRemovalMovesLittle(t *testing.T) {
	for _, c := range []struct {
		n    int
		most float64 // percent
	}{{2, 0}, {10, 1}, {100, 1}, {655, 2}} {
		backends := equal(c.n)
		before := names(build(t, backends, DefaultSize), backends)
		gone := backends[c.n/2].Name
		backends[c.n/2].Weight = 0
		after := names(build(t, backends, DefaultSize), backends)
		moved, stayed := 0.0, 0.0
		for i := range before {
			switch {
			case before[i] == gone:
			case before[i] == after[i]:
				stayed++
			default:
				moved++
			}
		}
		percent := 100 * moved / (moved + stayed)
		t.Logf("1 of %d backends removed: %.2f %% of the others' slots move", c.n, percent)
		if percent > c.most {
			t.Errorf("1 of %d backends removed: %.2f %% of the others' slots move, want %v %% at most", c.n, percent, c.most)
		}
	}
}

// TestLookupIgnoresFixedBits asserts that flows whose hashes have the bits in
// common that select a node (up to 14) or an engine (7) are spread as evenly as
// all flows are.
func TestLookupIgnoresFixedBits(t *testing.T) {
	const n = 10
	table := build(t, equal(n), DefaultSize)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{7, 12, 14} {
		for range 20 {
			low := rng.Uint32N(1 << bits)
			const samples = 1 << 17
			var counts [n]float64
			for range samples {
				counts[table.Lookup(rng.Uint32()<<bits|low)]++
			}
			chi2, mean := 0.0, float64(samples)/n
			for _, c := range counts {
				chi2 += (c - mean) * (c - mean) / mean
			}
			// 9 degrees of freedom: above 30 once in 2,300.
			if chi2 > 30 {
				t.Errorf("low %d bits %#x: chi squared %.1f, counts %v", bits, low, chi2, counts)
			}
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, size := range []int{-7, 0, 1, 4, 65536, 65537 * 3, 1<<24 + 43} {
		if _, err := Build(equal(1), size); err == nil {
			t.Errorf("size %d: no error", size)
		}
	}
	if _, err := Build([]Backend{{"a", 1}, {"b", 0}, {"a", 0}}, 7); err == nil || !strings.Contains(err.Error(), `"a" is listed twice`) {
		t.Errorf("a listed twice: %v", err)
	}
	for _, backends := range [][]Backend{nil, {{"a", 0}, {"b", 0}}} {
		if _, err := Build(backends, 7); !errors.Is(err, ErrNoBackends) {
			t.Errorf("%v: %v, want ErrNoBackends", backends, err)
		}
	}
	if _, err := Build(make([]Backend, MaxBackends+1), DefaultSize); err == nil {
		t.Errorf("%d backends: no error", MaxBackends+1)
	}
}

// TestLookupCost asserts that Lookup allocates nothing and needs no call.
func TestLookupCost(t *testing.T) {
	table := build(t, equal(3), 101)
	if n := testing.AllocsPerRun(100, func() { table.Lookup(12345) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	out, err := exec.Command("go", "build", "-gcflags=-m=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), ": can inline (*Table).Lookup\n") {
		t.Error("Lookup is not inlined")
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("backends=%d", n), func(b *testing.B) {
			backends := equal(n)
			b.ReportAllocs()
			for b.Loop() {
				build(b, backends, DefaultSize)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	table := build(b, equal(100), DefaultSize)
	hash, sum := uint32(1), 0
	for b.Loop() {
		hash = hash*1664525 + 1013904223
		sum += table.Lookup(hash)
	}
	if sum < 0 {
		b.Fatal(sum)
	}
}
