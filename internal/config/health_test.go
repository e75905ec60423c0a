package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance/vserver/health"
)

// certificate returns a new one, in PEM form.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// parseCheck reads base with a health check.
func parseCheck(t *testing.T, check string) *Config {
	t.Helper()
	cfg, err := Parse("test.toml", []byte(base+"[vserver.health]\n"+check))
	if err != nil {
		t.Fatal(err)
	}
	checkAccepted(t, cfg)
	return cfg
}

// Every key of every type of check arrives.
func TestChecksKeepEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := health.ParseCA(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text   string
		kind   health.Type
		change func(*health.Check)
	}{
		{"type = \"tcp\"\nsource = \"10.2.1.1\"", health.TCP, func(c *health.Check) { c.Source = netip.MustParseAddr("10.2.1.1") }},
		{"type = \"http\"\nexpect = \"is well\"", health.HTTP, func(c *health.Check) { c.Expect = "is well" }},
		{"type = \"https\"\npath = \"/x\"\nserver_name = \"a.org\"\nca_file = \"" + file + "\"\nexpect_regexp = \"^ok$\"", health.HTTPS,
			func(c *health.Check) { c.Path, c.ServerName, c.CA, c.ExpectRegexp = "/x", "a.org", ca, "^ok$" }},
		{"type = \"https\"\ninsecure = true", health.HTTPS, func(c *health.Check) { c.Insecure = true }},
		{"type = \"udp\"\nsend = \"hex:00 fF\"\nexpect = \"hex:0102\"", health.UDP, func(c *health.Check) { c.Send, c.Expect = "\x00\xff", "\x01\x02" }},
		{"type = \"udp\"\nrequire_answer = false", health.UDP, func(c *health.Check) { c.SilenceOK = true }},
		{"type = \"dns\"\nquery = \"a.org\"\nquery_type = \"SOA\"\nrcode = \"NXDOMAIN\"", health.DNS,
			func(c *health.Check) { c.Query, c.QueryType, c.RCode = "a.org", "SOA", "NXDOMAIN" }},
	} {
		want := health.DefaultCheck(c.kind)
		c.change(&want)
		if got := parseCheck(t, c.text).Checks()["web"]; got != want {
			t.Errorf("%s: %+v, want %+v", c.text, got, want)
		}
	}
}

// A file with other certificates is a change, though its name is the same, and
// the change doesn't print them.
func TestNewCertificatesAreAChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	var cfgs [3]*Config
	first := certificate(t)
	for i, data := range [][]byte{first, append([]byte("# a comment\n"), first...), certificate(t)} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		cfgs[i] = parseCheck(t, fmt.Sprintf("type = \"https\"\nca_file = %q", file))
	}
	if changes, _ := Diff(cfgs[0], cfgs[1]); len(changes) != 0 {
		t.Errorf("the same certificates: %v", changes)
	}
	changes, restart := Diff(cfgs[0], cfgs[2])
	if len(changes) != 1 || len(restart) != 0 || changes[0].Key != "vserver[web].health.ca_file" || changes[0].Old == changes[0].New {
		t.Fatalf("other certificates: %v", changes)
	}
	if text := changes[0].String(); !strings.Contains(text, file) || len(text) > 2*len(file)+120 {
		t.Errorf("shown as %s", text)
	}
}

func TestBadCAFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	for _, c := range []struct {
		data []byte
		says string
	}{
		{append(certificate(t), make([]byte, maxCAFile)...), file + " is larger than 1 MiB: give a file with"},
		{[]byte("confidential"), "bad CA: no certificates in PEM form: give a file with"},
		{append(certificate(t), "-----BEGIN CERTIFICATE-----\nY29u\n-----END CERTIFICATE-----\n"...), "bad CA: certificate 2 is damaged: give a file with"},
	} {
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Parse("test.toml", []byte(base+"[vserver.health]\ntype = \"https\"\nca_file = \""+file+"\""))
		if err == nil || !strings.HasPrefix(err.Error(), "test.toml:18: vserver[0].health.ca_file: "+c.says) || strings.Contains(err.Error(), "confidential") {
			t.Errorf("error %v, want %q", err, c.says)
		}
	}
}

// What a key may be is said once: in the table of types, and for every key that
// some types don't have.
func TestHealthRulesCoverEveryKey(t *testing.T) {
	all := map[string]bool{"type": true, "interval": true, "timeout": true, "rise": true, "fall": true}
	for _, r := range healthRules {
		all[r.key] = true
	}
	for _, key := range keysOf(healthTable) {
		if !all[key] {
			t.Errorf("no rule for %s", key)
		}
	}
}
