package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Record types and response codes by the names that configurations use: those
// of RFC 1035 sections 3.2.2 and 4.1.1, RFC 3596, RFC 2782 and of BIND's tools.
var (
	queryTypes = map[string]dnsmessage.Type{
		"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX,
		"NS": dnsmessage.TypeNS, "PTR": dnsmessage.TypePTR, "SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV,
		"TXT": dnsmessage.TypeTXT,
	}
	rcodes = map[string]dnsmessage.RCode{
		"NOERROR": dnsmessage.RCodeSuccess, "FORMERR": dnsmessage.RCodeFormatError, "SERVFAIL": dnsmessage.RCodeServerFailure,
		"NXDOMAIN": dnsmessage.RCodeNameError, "NOTIMP": dnsmessage.RCodeNotImplemented, "REFUSED": dnsmessage.RCodeRefused,
	}
)

// QueryTypes returns what Check.QueryType can be.
func QueryTypes() []string { return slices.Sorted(maps.Keys(queryTypes)) }

// RCodes returns what Check.RCode can be.
func RCodes() []string { return slices.Sorted(maps.Keys(rcodes)) }

func (c Check) validateDNS() error {
	if _, ok := queryTypes[c.QueryType]; !ok {
		return fmt.Errorf("%w: query type %q, want one of %v", ErrBadTarget, c.QueryType, QueryTypes())
	}
	if _, ok := rcodes[c.RCode]; !ok {
		return fmt.Errorf("%w: response code %q, want one of %v", ErrBadTarget, c.RCode, RCodes())
	}
	printable := !strings.ContainsFunc(c.Query, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	if q, err := c.question(); err != nil || !printable || ask(q, 0) == nil {
		return fmt.Errorf("%w: query %q, want a domain name", ErrBadTarget, c.Query)
	}
	return nil
}

// question returns what a check asks. A name needs no dot at its end.
func (c Check) question() (dnsmessage.Question, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(c.Query, ".") + ".")
	return dnsmessage.Question{Name: name, Type: queryTypes[c.QueryType], Class: dnsmessage.ClassINET}, err
}

// ask returns the datagram that asks q, recursion desired; nil: the name is no
// domain name.
func ask(q dnsmessage.Question, id uint16) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	datagram, err := m.Pack()
	if err != nil {
		return nil
	}
	return datagram
}

// query returns what asks a name server once. Datagrams that don't answer the
// question are passed over, as resolvers do: anybody may send them.
func (c Check) query() func(context.Context, net.Conn) error {
	question, _ := c.question() // valid: Validate has made it
	want := rcodes[c.RCode]
	return func(_ context.Context, conn net.Conn) error {
		id := uint16(rand.Uint32())
		if _, err := conn.Write(ask(question, id)); err != nil {
			return fmt.Errorf("health: send: %w", err)
		}
		datagram := make([]byte, maxDatagram)
		stray := "nothing came" // or why what came last was passed over
		for {
			n, err := conn.Read(datagram)
			if err != nil {
				return fmt.Errorf("health: receive: %s: %w", stray, err)
			}
			got, err := answerTo(question, id, datagram[:n])
			switch {
			case err != nil:
				stray = "last datagram: " + err.Error()
			case got != want:
				return fmt.Errorf("health: answered %s, want %s", rcodeName(got), c.RCode)
			default:
				return nil
			}
		}
	}
}

// answerTo returns the response code of a datagram that answers question q with
// the given id; the error says why it doesn't. The code is all that is looked at:
// an answer that was cut off to fit its datagram (TC) is one, and so is one
// without records.
func answerTo(q dnsmessage.Question, id uint16, datagram []byte) (dnsmessage.RCode, error) {
	var p dnsmessage.Parser
	h, err := p.Start(datagram)
	switch {
	case err != nil:
		return 0, errors.New("no DNS message")
	case !h.Response || h.OpCode != 0:
		return 0, errors.New("no answer to a query")
	case h.ID != id:
		return 0, errors.New("wrong id")
	}
	asked, err := p.AllQuestions()
	switch {
	case err != nil:
		return 0, errors.New("damaged question")
	case len(asked) == 0 && h.RCode != dnsmessage.RCodeSuccess:
		return h.RCode, nil // servers needn't repeat a question that they refuse
	case len(asked) != 1 || asked[0].Type != q.Type || asked[0].Class != q.Class,
		!strings.EqualFold(asked[0].Name.String(), q.Name.String()):
		return 0, errors.New("answer to another question")
	}
	return h.RCode, nil
}

// rcodeName names a response code for people.
func rcodeName(code dnsmessage.RCode) string {
	for name, c := range rcodes {
		if c == code {
			return name
		}
	}
	return fmt.Sprintf("response code %d", code)
}
