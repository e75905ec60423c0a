package health

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unique"
)

// ErrBadCA reports data that holds no certificates, or damaged ones.
var ErrBadCA = errors.New("bad CA")

// A CA is a set of certificates, one of which must have signed what a server
// shows. CAs of the same certificates in the same order are equal, and cheap to
// copy and compare. The zero CA stands for those that the system trusts.
type CA struct {
	pem unique.Handle[string] // certificates in PEM form, without what stood between them
}

// ParseCA reads certificates in PEM form. What else is in the data, comments or
// keys, is not kept. The error wraps ErrBadCA and tells nothing of the data's
// content.
func ParseCA(data []byte) (CA, error) {
	var kept strings.Builder
	n := 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return CA{}, fmt.Errorf("%w: certificate %d is damaged", ErrBadCA, n)
		}
		kept.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	}
	if n == 0 {
		return CA{}, fmt.Errorf("%w: no certificates in PEM form", ErrBadCA)
	}
	return CA{unique.Make(kept.String())}, nil
}

// String returns a few digits of a hash, which tell these certificates from
// others and give none of them away, or "(the system's)" for the zero CA.
func (ca CA) String() string {
	if ca == (CA{}) {
		return "(the system's)"
	}
	sum := sha256.Sum256([]byte(ca.pem.Value()))
	return fmt.Sprintf("(certificates %x)", sum[:6])
}

// pool returns the certificates as crypto/tls takes them; nil: the system's.
func (ca CA) pool() *x509.CertPool {
	if ca == (CA{}) {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca.pem.Value()))
	return pool
}

func (c Check) validateHTTPS() error {
	if err := c.validateHTTP(); err != nil {
		return err
	}
	if c.Insecure && c.CA != (CA{}) {
		return fmt.Errorf("%w: CA and insecure, want one of them", ErrBadTarget)
	}
	if !validServerName(c.ServerName) {
		return fmt.Errorf("%w: server name %q, want a DNS name or an address", ErrBadTarget, c.ServerName)
	}
	return nil
}

// validServerName reports whether a certificate can be for this name. Empty is
// valid.
func validServerName(s string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(s) <= 253 && strings.Trim(s, chars) == ""
}

// clientTLS returns how the server at addr is spoken to. Names are asked for
// (SNI) and verified, addresses verified only. Each check is a full handshake:
// nothing is resumed, so that an expired certificate is found out.
func (c Check) clientTLS(addr netip.AddrPort, pool *x509.CertPool) *tls.Config {
	name := c.ServerName
	if name == "" {
		name = c.Host
		if host, _, err := net.SplitHostPort(c.Host); err == nil {
			name = host
		}
		name = strings.Trim(name, "[]")
	}
	if name == "" {
		name = addr.Addr().WithZone("").String()
	}
	return &tls.Config{
		ServerName: name, RootCAs: pool, InsecureSkipVerify: c.Insecure, MinVersion: tls.VersionTLS12,
	}
}

// tlsProblem shortens what crypto/x509 says of a certificate, which repeats
// names from it, as many as it likes.
func tlsProblem(err error) error {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return fmt.Errorf("the certificate is not for %q", name.Host)
	case errors.As(err, &authority):
		return errors.New("the certificate is not signed by a trusted CA")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("the certificate has expired, or is not valid yet")
	case errors.As(err, &invalid):
		return fmt.Errorf("the certificate is not valid (reason %d of crypto/x509)", invalid.Reason)
	}
	return err
}
