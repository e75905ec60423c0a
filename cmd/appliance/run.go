package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"appliance/engine"
	"appliance/internal/api"
	"appliance/internal/config"
	"appliance/internal/node"
)

func newRun(e env) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run a node",
		Long: `Run a node in the foreground until SIGTERM or SIGINT. It starts whole or not at all,
and leaves nothing behind when it ends. SIGHUP reads the configuration again.

Needs root, or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK; Linux
5.16 or later.`,
		Example: `  appliance run -c /etc/appliance.toml`,
		Args:    exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return usageError{err}
			}
			if err := enoughCores(cfg); err != nil {
				return usageError{err}
			}
			return serve(c.Context(), e, path, cfg)
		},
	}
	configFlag(c, &path)
	return c
}

// enoughCores refuses engines that never sleep on a machine where they would
// starve everything else.
func enoughCores(cfg *config.Config) error {
	if cores := runtime.NumCPU(); cfg.EngineConfig().Idle != engine.Adaptive && cores < cfg.Engine.Engines+1 {
		return fmt.Errorf("engine.idle = %q keeps %d cores busy, and this machine has %d: at least one more is needed for everything else; set idle = \"adaptive\" or fewer engines",
			cfg.Engine.Idle, cfg.Engine.Engines, cores)
	}
	return nil
}

// spareProcessor sees to it that engines, which never pause under load, leave one
// of the runtime's processors to everything else. With none left, timers fire
// some 30 ms late, at times 100, and healthy backends miss their checks.
func spareProcessor(engines int) {
	if runtime.GOMAXPROCS(0) <= engines {
		runtime.GOMAXPROCS(engines + 1)
	}
}

// A daemon is a running node with the configuration it was started from.
type daemon struct {
	path  string
	node  *node.Node
	log   *slog.Logger
	level *slog.LevelVar

	mu  sync.Mutex // one reload at a time; guards cfg
	cfg *config.Config
}

// serve runs a node until ctx ends.
func serve(ctx context.Context, e env, path string, cfg *config.Config) (err error) {
	d := &daemon{path: path, cfg: cfg, level: new(slog.LevelVar)}
	d.log = newLog(e, cfg, d.level)
	key, err := cfg.HashKey()
	if err != nil {
		return usageError{err}
	}
	spareProcessor(cfg.Engine.Engines)
	// From the first step to the last: an unhandled SIGHUP ends the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	listener, err := api.Listen(cfg.API.Socket)
	if lack := node.CheckRights(); lack != nil && errors.Is(err, fs.ErrPermission) {
		return lack // the socket's folder is only the first thing that is forbidden
	}
	if err != nil {
		return err
	}
	defer listener.Close()
	if d.node, err = node.Start(ctx, nodeConfig(cfg, key, d.log)); err != nil {
		if errors.Is(err, context.Canceled) {
			d.log.Info("stopped before it was up", "step", err)
			return nil
		}
		return err
	}
	defer func() {
		err = errors.Join(err, d.node.Close())
		d.log.Info("stopped", "clean", err == nil)
	}()

	server := api.NewServer(api.Config{Source: d.node, Reload: d.reload, Metrics: d.metrics(), Log: d.log})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer server.Close()
	d.log.Info("running", "version", version, "config", path, "socket", cfg.API.Socket)

	for {
		select {
		case <-ctx.Done():
			d.log.Info("stopping")
			return nil
		case err := <-failed:
			return err
		case <-hangup:
			_ = d.reload(ctx) // it logs what it says
		}
	}
}

// reload reads the configuration again and puts in force what a running node
// can change. What can't be is refused whole: half a change would be neither
// the old file nor the new one.
func (d *daemon) reload(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.tryReload()
	d.node.NoteReload(err)
	if err != nil {
		d.log.Error("reload refused, the configuration before it stays in force", "error", err)
		return err
	}
	d.log.Info("reloaded", "vservers", len(d.cfg.VServers))
	return nil
}

func (d *daemon) tryReload() error {
	cfg, err := config.Load(d.path)
	if err != nil {
		return err
	}
	changes, restart := config.Diff(d.cfg, cfg)
	if len(restart) > 0 {
		return fmt.Errorf("a running node can't change %q: restart it, or take that back", restart)
	}
	if err := d.node.Reload(services(cfg)); err != nil {
		return err
	}
	for _, c := range changes {
		d.log.Info("changed", "what", c)
	}
	d.level.Set(cfg.Log.Level.Slog())
	d.cfg = cfg
	return nil
}

func (d *daemon) metrics() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(d.node, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// newLog returns the logger that cfg asks for; level can be changed later.
func newLog(e env, cfg *config.Config, level *slog.LevelVar) *slog.Logger {
	level.Set(cfg.Log.Level.Slog())
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(e.err, opts))
	}
	return slog.New(slog.NewTextHandler(e.err, opts))
}

func nodeConfig(cfg *config.Config, key [40]byte, log *slog.Logger) node.Config {
	n := node.Config{
		Version: version, Name: cfg.Node.Name, ID: cfg.Node.ID,
		Engine: cfg.EngineConfig(), Driver: node.Driver(cfg.Engine.Driver),
		Attach: cfg.Engine.Mode.XDP(), ZeroCopy: cfg.Engine.ZeroCopy.XSK(),
		RxRing: cfg.Engine.RxRing, TxRing: cfg.Engine.TxRing,
		FrameSize: cfg.Engine.FrameSize, Frames: cfg.Engine.Frames,
		FlowCapacity: cfg.Engine.FlowCapacity, VerifyL4: cfg.Engine.VerifyChecksums == config.VerifyAll,
		FinishL4: node.Finish(cfg.Engine.FinishChecksums), HardwareRSS: node.HardwareRSS(cfg.RSS.Hardware),
		Key: key, Services: services(cfg), Log: log,
	}
	if n.Name == "" {
		n.Name, _ = os.Hostname() // no name is a name too
	}
	for _, i := range cfg.Interfaces {
		n.Interfaces = append(n.Interfaces, node.Interface{
			Name:   i.Name,
			Client: slices.Contains(i.Planes, config.PlaneClient),
			Server: slices.Contains(i.Planes, config.PlaneServer),
		})
	}
	return n
}

func services(cfg *config.Config) node.Services {
	return node.Services{Services: cfg.Services(), Checks: cfg.Checks(), Denied: cfg.Denied()}
}
