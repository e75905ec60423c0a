package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"appliance/engine"
	"appliance/engine/xdp"
	"appliance/engine/xsk"
	"appliance/rss"
	"appliance/vserver"
	"appliance/vserver/health"
)

// EngineConfig returns the configuration of the engines.
func (c *Config) EngineConfig() engine.Config {
	e := engine.DefaultConfig()
	e.Engines, e.Batch, e.CPUs = c.Engine.Engines, c.Engine.Batch, c.Engine.CPUs
	e.Interfaces = len(c.Interfaces)
	e.Idle, _ = engine.ParseIdle(string(c.Engine.Idle)) // Idle's choices are its names
	return e
}

// Services returns the configuration of all virtual servers.
func (c *Config) Services() vserver.Config {
	services := make([]vserver.ServiceConfig, len(c.VServers))
	for i := range c.VServers {
		services[i] = c.VServers[i].service()
	}
	return vserver.Config{
		Services:       services,
		SNIPs:          c.NAT.SNIPs,
		ServerPlane:    c.serverPlane(),
		Encap:          vserver.EncapConfig(c.Encap),
		Buckets:        c.RSS.Buckets,
		ReturnToSender: c.NAT.ReturnToSender,
		OnNoService:    c.Answers.OnNoService,
		AnswerRate:     c.Answers.Rate,
		Limits:         vserver.Limits(c.Limits),
	}
}

// serverPlane returns the numbers of the server interfaces, as a set of bits.
func (c *Config) serverPlane() (set uint64) {
	for number, i := range c.Interfaces {
		if slices.Contains(i.Planes, PlaneServer) {
			set |= 1 << number
		}
	}
	return set
}

func (s *VServer) service() vserver.ServiceConfig {
	backends := make([]vserver.BackendConfig, len(s.Backends))
	for i, b := range s.Backends {
		backends[i] = vserver.BackendConfig(b)
	}
	return vserver.ServiceConfig{
		Name: s.Name, VIP: s.VIP, Port: s.Port, Protocol: s.Protocol,
		Mode: s.Mode, Method: s.Method, Backends: backends, Timeouts: vserver.Timeouts(s.Timeouts),
		OnNoBackend: s.OnNoBackend, OnNoFlow: s.OnNoFlow, OnBackendDown: s.OnBackendDown, MaxFlows: s.MaxFlows,
		MinHealthy: s.MinHealthy, SlowStart: s.SlowStart, Persistence: vserver.Persistence(s.Persistence),
		MSSClamp: s.MSSClamp,
	}
}

// Checks returns the health checks by name of virtual server. Those whose
// backends are not checked are not in it.
func (c *Config) Checks() map[string]health.Check {
	checks := make(map[string]health.Check)
	for i := range c.VServers {
		if h := &c.VServers[i].Health; h.Type != HealthNone {
			checks[c.VServers[i].Name] = h.check()
		}
	}
	return checks
}

func (h *Health) check() health.Check {
	return health.Check{
		Type: health.Type(h.Type), Port: h.Port, Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall, Source: h.Source.Addr,
		Path: h.Path, Host: h.Host, StatusMin: h.StatusMin, StatusMax: h.StatusMax,
		ServerName: h.ServerName, CA: h.CAFile.CA, Insecure: h.Insecure,
		Expect: string(h.Expect), ExpectRegexp: h.ExpectRegexp,
		Send: string(h.Send), SilenceOK: !h.RequireAnswer,
		Query: h.Query, QueryType: string(h.QueryType), RCode: string(h.RCode),
	}.Relevant()
}

// firstGeneration is the key generation of a node that was never told another.
const firstGeneration = 1

// HashKey returns the RSS key: the one given, that derived from the secret file,
// or that in the state file, which is made, with a key that is drawn, if it isn't
// there. Without any of them it draws a key, another at each call.
func (c *Config) HashKey() (rss.Key, error) {
	switch {
	case c.RSS.Key != (rss.Key{}):
		return c.RSS.Key, nil
	case c.RSS.SecretFile == "":
		return keptKey(c.RSS.StateFile)
	}
	secret, err := os.ReadFile(c.RSS.SecretFile)
	if err != nil {
		return rss.Key{}, fmt.Errorf("config: rss.secret_file: %w", err)
	}
	secret = bytes.TrimSuffix(secret, []byte("\n")) // what echo and editors add
	key, err := rss.DeriveKey(secret, c.RSS.Cluster, firstGeneration)
	if err != nil {
		return rss.Key{}, fmt.Errorf("config: rss.secret_file: %s: %w", c.RSS.SecretFile, err)
	}
	return key, nil
}

// keptKey returns the key that a file holds, after drawing one if there is no such
// file. An empty path keeps nothing.
func keptKey(path string) (rss.Key, error) {
	if path == "" {
		return rss.RandomKey()
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return drawKey(path)
	}
	if err != nil {
		return rss.Key{}, fmt.Errorf("config: rss.state_file: %w", err)
	}
	key, err := rss.ParseKey(string(bytes.TrimSpace(text)))
	if err != nil {
		return rss.Key{}, fmt.Errorf("config: rss.state_file: %s holds no key: remove it, and another one is drawn: %w", path, err)
	}
	return key, nil
}

// drawKey draws a key and keeps it in a new file. The file appears whole.
func drawKey(path string) (rss.Key, error) {
	key, err := rss.RandomKey()
	if err != nil {
		return rss.Key{}, err
	}
	err = os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+".new", fmt.Appendf(nil, "%x\n", key[:]), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return rss.Key{}, fmt.Errorf("config: rss.state_file: keep the key (or set state_file = \"\", and a restart changes it): %w", err)
	}
	return key, nil
}

// XSK returns the choice as package engine/xsk knows it.
func (z ZeroCopy) XSK() xsk.ZeroCopy {
	return map[ZeroCopy]xsk.ZeroCopy{
		ZeroCopyAuto: xsk.ZeroCopyAuto, ZeroCopyOff: xsk.ZeroCopyOff, ZeroCopyRequire: xsk.ZeroCopyRequire,
	}[z]
}

// XDP returns the mode as package engine/xdp knows it.
func (m XDPMode) XDP() xdp.Mode {
	return map[XDPMode]xdp.Mode{
		ModeAuto: xdp.Auto, ModeNative: xdp.Native, ModeGeneric: xdp.Generic,
	}[m]
}
