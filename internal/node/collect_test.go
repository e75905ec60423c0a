package node

import (
	"testing"
	"time"

	"appliance/engine"
	"appliance/vserver"
)

// One engine that is stuck takes nothing from what is known of the others.
func TestStuckEngineIsAlone(t *testing.T) {
	arena, err := engine.NewArena(512, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{arena: arena}
	cfg := engine.DefaultConfig()
	cfg.Engines = 3
	var handlers []engine.Handler
	for i := range cfg.Engines {
		h, err := vserver.NewHandler(vserver.HandlerConfig{Arena: arena, Engine: i, Engines: cfg.Engines, Capacity: 64})
		if err != nil {
			t.Fatal(err)
		}
		handlers, n.handlers = append(handlers, h), append(n.handlers, h)
	}
	if n.group, err = engine.NewGroup(arena, cfg, handlers); err != nil {
		t.Fatal(err)
	}
	if err := n.group.Start(); err != nil {
		t.Fatal(err)
	}
	begun, goOn := make(chan struct{}), make(chan struct{})
	go func() { _ = n.group.Engines()[0].Call(t.Context(), func() { close(begun); <-goOn }) }()
	<-begun
	began := time.Now()
	readings := n.read(t.Context())
	if took := time.Since(began); took > 3*answerTime {
		t.Errorf("it took %v", took)
	}
	for i := range readings {
		if stuck := readings[i].err != nil; stuck != (i == 0) {
			t.Errorf("engine %d: error %v", i, readings[i].err)
		}
	}
	if s := n.frameStatus(t.Context(), readings); s.Free != 0 || s.Total != 512 {
		t.Errorf("frames %+v, want the total only", s)
	}
	close(goOn)
	if s := n.frameStatus(t.Context(), n.read(t.Context())); s.Free != 512 {
		t.Errorf("frames %+v, want all of them free", s)
	}
	if err := n.group.Close(); err != nil {
		t.Error(err)
	}
	for _, h := range n.handlers {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := arena.Close(); err != nil {
		t.Error(err)
	}
}
