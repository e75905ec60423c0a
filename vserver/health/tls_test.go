package health

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// An issuer is a CA that lives for a test.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	ca   CA
}

func newCA(t testing.TB) *issuer {
	t.Helper()
	i := new(issuer)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA for tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	i.key = newKey(t)
	i.cert = sign(t, template, template, i.key, i.key)
	i.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
	var err error
	if i.ca, err = ParseCA(i.pem); err != nil {
		t.Fatal(err)
	}
	return i
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// server issues a certificate for www.example.org and 127.0.0.1 that is valid
// until then.
func (i *issuer) server(t testing.TB, until time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "confidential"},
		DNSNames: []string{"www.example.org", "secret.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, i.cert, key, i.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func TestParseCA(t *testing.T) {
	one, two := newCA(t), newCA(t)
	both := append(append([]byte("# a comment\n"), one.pem...), two.pem...)
	der, err := x509.MarshalECPrivateKey(one.key)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	damaged := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("confidential")})

	ca, err := ParseCA(append(both, key...))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseCA(both); err != nil || again != ca {
		t.Errorf("the same certificates without the key: %v, equal %v", err, again == ca)
	}
	if strings.Contains(ca.pem.Value(), "PRIVATE") {
		t.Error("a private key was kept")
	}
	if ca == one.ca || (CA{}).pool() != nil || !ca.pool().Equal(pool(one, two)) {
		t.Error("not a pool of both certificates")
	}
	if text := fmt.Sprintf("%v %+v", ca, Check{CA: ca}); strings.Contains(text, "BEGIN") || strings.Contains(text, "0x") {
		t.Errorf("printed as %s", text)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("confidential"), "a key": key, "damaged": damaged, "one good, one damaged": append(both, damaged...),
	} {
		ca, err := ParseCA(data)
		if !errors.Is(err, ErrBadCA) || ca != (CA{}) || strings.Contains(err.Error(), "confidential") {
			t.Errorf("%s: %v, %v", name, ca, err)
		}
	}
}

func pool(issuers ...*issuer) *x509.CertPool {
	p := x509.NewCertPool()
	for _, i := range issuers {
		p.AddCert(i.cert)
	}
	return p
}
