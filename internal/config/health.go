package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"appliance/vserver/health"
)

// maxCAFile is the largest file of certificates that is read, in bytes: several
// times what distributions ship with every public CA.
const maxCAFile = 1 << 20

// A Source is an address of the node, or the zero value: the kernel chooses.
type Source struct{ netip.Addr }

// UnmarshalText reads an address, or nothing.
func (s *Source) UnmarshalText(text []byte) error {
	addr, err := netip.ParseAddr(string(text))
	if err != nil && len(text) > 0 {
		return fmt.Errorf(`%q is no IP address: give one of the node's, like "192.0.2.1" or "2001:db8::1", or "" to let the kernel choose`, text)
	}
	s.Addr = addr
	return nil
}

// String returns the address for people.
func (s Source) String() string {
	if !s.IsValid() {
		return "none"
	}
	return s.Addr.String()
}

// A Payload is bytes to send or to look for, in the file as text, or as
// hexadecimal digits behind "hex:".
type Payload string

// UnmarshalText reads either form.
func (p *Payload) UnmarshalText(text []byte) error {
	digits, isHex := strings.CutPrefix(string(text), "hex:")
	if !isHex {
		*p = Payload(text)
		return nil
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
	if err != nil {
		return fmt.Errorf(`%q: give pairs of hexadecimal digits behind hex:, like "hex:00 ff"`, text)
	}
	*p = Payload(data)
	return nil
}

// String returns the bytes as a quoted string.
func (p Payload) String() string { return strconv.Quote(string(p)) }

// A CAFile is a file of certificates, with what was in it when the
// configuration was read; the zero value is no file.
type CAFile struct {
	Path string
	CA   health.CA
}

// UnmarshalText takes a path and reads the file.
func (f *CAFile) UnmarshalText(path []byte) error {
	*f = CAFile{Path: string(path)}
	if f.Path == "" {
		return nil
	}
	if !filepath.IsAbs(f.Path) {
		return fmt.Errorf("%q: give an absolute path", path)
	}
	data, err := readCA(f.Path)
	if err == nil {
		f.CA, err = health.ParseCA(data)
	}
	if err != nil {
		return fmt.Errorf("%w: give a file with the CA's certificate in PEM form (-----BEGIN CERTIFICATE-----)", err)
	}
	return nil
}

// readCA reads a file of certificates. Reading what is no ordinary file could
// take for ever.
func readCA(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	if len(data) > maxCAFile {
		err = errors.Join(err, fmt.Errorf("%s is larger than %d MiB", path, maxCAFile>>20))
	}
	return data, err
}

// String returns the path, and what tells the file's content from another.
func (f CAFile) String() string {
	if f.Path == "" {
		return "none"
	}
	return f.Path + " " + f.CA.String()
}

// A QueryType is what kind of record a name server is asked for.
type QueryType string

func (QueryType) choices() []string { return health.QueryTypes() }

// An RCode is what a name server answers.
type RCode string

func (RCode) choices() []string { return health.RCodes() }

// A healthRule is what a key of a health check may be, where not all types have
// it.
type healthRule struct {
	key    string
	types  []HealthType                  // that have it
	field  func(c *health.Check) *string // what package health judges the value by; nil: it is judged elsewhere
	remedy string
}

var (
	anyCheck  = []HealthType{HealthTCP, HealthHTTP, HealthHTTPS, HealthUDP, HealthDNS}
	webChecks = []HealthType{HealthHTTP, HealthHTTPS}
	expecting = []HealthType{HealthHTTP, HealthHTTPS, HealthUDP}
	onlyHTTPS = []HealthType{HealthHTTPS}
	onlyUDP   = []HealthType{HealthUDP}
	onlyDNS   = []HealthType{HealthDNS}
)

var healthTable = reflect.TypeFor[Health]()

var (
	atMost      = fmt.Sprintf("give at most %d bytes", health.MaxBytes)
	healthRules = []healthRule{
		{key: "source", types: anyCheck},
		{"path", webChecks, func(c *health.Check) *string { return &c.Path }, "give an absolute path like /health, escaped as in a URL"},
		{"host", webChecks, func(c *health.Check) *string { return &c.Host }, "give a name or an address, with or without a port"},
		{key: "status_min", types: webChecks},
		{key: "status_max", types: webChecks},
		{"server_name", onlyHTTPS, func(c *health.Check) *string { return &c.ServerName }, "give a DNS name or an address, without a port"},
		{key: "ca_file", types: onlyHTTPS},
		{key: "insecure", types: onlyHTTPS},
		{"expect", expecting, func(c *health.Check) *string { return &c.Expect }, atMost},
		{"expect_regexp", expecting, func(c *health.Check) *string { return &c.ExpectRegexp }, atMost + " of a regular expression (https://go.dev/s/re2syntax)"},
		{"send", onlyUDP, func(c *health.Check) *string { return &c.Send }, atMost},
		{key: "require_answer", types: onlyUDP},
		{"query", onlyDNS, func(c *health.Check) *string { return &c.Query }, "give a domain name, like www.example.org"},
		{key: "query_type", types: onlyDNS},
		{key: "rcode", types: onlyDNS},
	}
)

// validate checks the value at path: that its type has such a key, and that
// package health takes it.
func (r *healthRule) validate(p *problems, path string, h *Health) {
	if !slices.Contains(r.types, h.Type) {
		if p.given(path) {
			p.add(path, "type is %q: %s is for type %s only", h.Type, r.key, typeList(r.types))
		}
		return
	}
	if r.field == nil {
		return
	}
	check := health.DefaultCheck(health.Type(h.Type))
	value := reflect.ValueOf(*h).Field(slices.Index(keysOf(healthTable), r.key)).String()
	if *r.field(&check) = value; check.Validate() != nil {
		p.add(path, "%q: %s", value, r.remedy)
	}
}

// typeList names types of check: "tcp", "http" or "https".
func typeList(types []HealthType) string {
	quoted := make([]string, len(types))
	for i, t := range types {
		quoted[i] = strconv.Quote(string(t))
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// validateSource refuses sources that no check could come from.
func (c *Config) validateSource(p *problems, i int) {
	s := &c.VServers[i]
	from, path := s.Health.Source, element("vserver", i)+".health.source"
	if !from.IsValid() {
		return
	}
	for j, b := range s.Backends {
		if b.Address.IsValid() && b.Address.Is4() != from.Is4() {
			p.add(path, "%s is not of the family of backend[%d], %s: give an address of the node that is", from, j, b.Address)
		}
	}
	if c.takes(from.Addr) {
		p.add(path, "%s is a VIP or in nat.snips, whose packets don't reach the node's kernel: give another address of the node", from)
	}
}

// takes reports whether the engines take the packets for an address.
func (c *Config) takes(addr netip.Addr) bool {
	for i := range c.VServers {
		if c.VServers[i].VIP == addr {
			return true
		}
	}
	for _, snip := range c.NAT.SNIPs {
		if snip == addr {
			return true
		}
	}
	return false
}
