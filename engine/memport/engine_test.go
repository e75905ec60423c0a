package memport

import (
	"context"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet/packettest"
	"appliance/rss"
)

// crossover sends what comes in on one interface out of the other.
type crossover struct{}

func (crossover) Decide(_ *engine.Snapshot, _ int64, batch []engine.Packet) {
	for i := range batch {
		batch[i].Verdict, batch[i].Out = engine.Transmit, 1-batch[i].In
	}
}

func (crossover) Housekeep(*engine.Snapshot, int64) {}

// Two real engines between two taps: sleeping engines wake up, packets cross
// whoever owns them, a removed port ends nothing but itself, and the ledger of
// all frames closes.
func TestUnderEngines(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	arena := newArena(t, 512, 2048)
	cfg := engine.DefaultConfig()
	cfg.Engines = 2
	g, err := engine.NewGroup(arena, cfg, []engine.Handler{crossover{}, crossover{}})
	if err != nil {
		t.Fatal(err)
	}
	cores, err := rss.NewCoreTable(cfg.Engines)
	if err != nil {
		t.Fatal(err)
	}
	g.Publish(&engine.Snapshot{Generation: 1, Hasher: rss.NewHasher(rss.MicrosoftKey), Cores: cores})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	taps, ports := plug(ctx, t, g, arena)

	for i := range 50 {
		frame := packettest.UDP("192.0.2.1:40000", "192.0.2.2:80", packettest.PayloadSize(i))
		in, out := taps[i%4], i%4^1
		in.Inject(frame)
		// Its owner sends it, so it leaves on that engine's port.
		if !taps[out].Wait(5*time.Millisecond) && !taps[out^2].Wait(5*time.Second) {
			t.Fatalf("frame %d did not come out", i)
		}
		equalFrames(t, append(taps[out].Collect(), taps[out^2].Collect()...), [][]byte{frame})
	}

	ports[0].Gone()
	if err := g.Engines()[0].RemovePort(ctx, ports[0]); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	for _, tap := range taps {
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	}
}

// plug gives each engine a port on both interfaces: number 2*engine+interface.
func plug(ctx context.Context, t *testing.T, g *engine.Group, arena *engine.Arena) (taps []*Tap, ports []*Port) {
	for _, e := range g.Engines() {
		for iface := range 2 {
			port, tap, err := NewTap(arena, Config{Size: 64})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.AddPort(ctx, iface, port); err != nil {
				t.Fatal(err)
			}
			taps, ports = append(taps, tap), append(ports, port)
		}
	}
	return taps, ports
}
