package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"

	"appliance/vserver"
)

// maxSize is the largest file that Load reads, in bytes: several times what the
// most virtual servers need.
const maxSize = 64 << 20

// Load reads and checks a configuration file. The error is an *Error, which
// lists all that is wrong with the file, or says why it can't be read.
func Load(path string) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// read reads a file that is not too large.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: load: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("config: load: %w", err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("config: load: %s is larger than %d MiB", path, maxSize>>20)
	}
	return data, nil
}

// Parse checks a configuration. The error is an *Error that lists all that is
// wrong, under the given file name.
func Parse(name string, data []byte) (*Config, error) { return parse(name, data, nil) }

// parse is Parse, unless mtu is nil for a machine: see LoadHere.
func parse(name string, data []byte, mtu func(iface string) (int, bool)) (*Config, error) {
	lines, tooDeep := locate(string(data))
	d := decoder{problems{lines: lines, known: make(map[string]bool)}}
	if tooDeep > 0 {
		d.list = []Problem{{Line: tooDeep, Text: fmt.Sprintf("nested more than %d deep: no setting is", maxDepth)}}
		return nil, d.err(name)
	}
	var tree map[string]any
	if _, err := toml.Decode(string(data), &tree); err != nil {
		d.list = []Problem{syntaxProblem(err)}
		return nil, d.err(name)
	}
	cfg := Default()
	d.table("", reflect.ValueOf(cfg).Elem(), tree)
	cfg.complete(&d.problems)
	cfg.validate(&d.problems)
	if mtu != nil {
		cfg.validateMTU(&d.problems, mtu)
	}
	if err := d.err(name); err != nil {
		return nil, err
	}
	return cfg, nil
}

// syntaxProblem is the problem that the TOML library ran into.
func syntaxProblem(err error) Problem {
	var bad toml.ParseError
	if !errors.As(err, &bad) {
		return Problem{Text: err.Error()}
	}
	line := bad.Position.Line
	if strings.Contains(bad.Message, `'\n'`) && line > 1 {
		line-- // the library has stepped over the line's end already
	}
	return Problem{Line: line, Text: "not TOML: " + bad.Message}
}

// complete fills in the defaults that depend on other settings.
func (c *Config) complete(p *problems) {
	for i := range c.VServers {
		s, path := &c.VServers[i], element("vserver", i)
		if !p.given(path + ".health.type") {
			s.Health.Type = defaultHealthType(s.Protocol)
		}
		if !p.given(path + ".health.timeout") {
			s.Health.Timeout = min(s.Health.Timeout, s.Health.Interval)
		}
		if !p.given(path + ".timeouts.half_closed") {
			s.Timeouts.HalfClosed = min(s.Timeouts.HalfClosed, s.Timeouts.Established)
		}
	}
}

// defaultHealthType is what is checked when the file doesn't say: a TCP
// connection tells nothing about a UDP service.
func defaultHealthType(p vserver.Protocol) HealthType {
	if p == vserver.TCP {
		return HealthTCP
	}
	return HealthNone
}
