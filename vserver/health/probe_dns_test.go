package health

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers each query with the message that change makes of a plain
// answer, which is NOERROR without records.
func nameServer(change func(*dnsmessage.Message)) func([]byte) []byte {
	return func(datagram []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(datagram) != nil || m.Response || !m.RecursionDesired || len(m.Questions) != 1 {
			return nil
		}
		m.Response = true
		change(&m)
		answer, err := m.Pack()
		if err != nil {
			panic(err)
		}
		return answer
	}
}

func TestDNS(t *testing.T) {
	code := func(r dnsmessage.RCode) func([]byte) []byte {
		return nameServer(func(m *dnsmessage.Message) { m.RCode = r })
	}
	record := func(m *dnsmessage.Message) {
		h := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}})
	}
	cases := []struct {
		name   string
		answer func([]byte) []byte
		rcode  string
		says   string // in the error; empty: up
	}{
		{"an address", nameServer(record), "NOERROR", ""},
		{"no records", code(dnsmessage.RCodeSuccess), "NOERROR", ""},
		{"NXDOMAIN", code(dnsmessage.RCodeNameError), "NOERROR", "health: answered NXDOMAIN, want NOERROR"},
		{"NXDOMAIN is fine", code(dnsmessage.RCodeNameError), "NXDOMAIN", ""},
		{"SERVFAIL", code(dnsmessage.RCodeServerFailure), "NOERROR", "health: answered SERVFAIL, want NOERROR"},
		{"unknown code", code(11), "NOERROR", "health: answered response code 11, want NOERROR"},
		{"truncated", nameServer(func(m *dnsmessage.Message) { m.Truncated = true }), "NOERROR", ""},
		{"cut off in a record", func(d []byte) []byte { a := nameServer(record)(d); return a[:len(a)-7] }, "NOERROR", ""},
		{"REFUSED without the question", nameServer(func(m *dnsmessage.Message) { m.RCode, m.Questions = dnsmessage.RCodeRefused, nil }), "REFUSED", ""},
		{"NOERROR without the question", nameServer(func(m *dnsmessage.Message) { m.Questions = nil }), "NOERROR", "answer to another question"},
		{"other case", nameServer(func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("WWW.example.ORG.") }), "NOERROR", ""},
		{"other name", nameServer(func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("example.org.") }), "NOERROR", "answer to another question"},
		{"other type", nameServer(func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeA }), "NOERROR", "answer to another question"},
		{"two questions", nameServer(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), "NOERROR", "answer to another question"},
		{"wrong id", nameServer(func(m *dnsmessage.Message) { m.ID++ }), "NOERROR", "last datagram: wrong id"},
		{"other opcode", nameServer(func(m *dnsmessage.Message) { m.OpCode = 5 }), "NOERROR", "no answer to a query"},
		{"echo", func(d []byte) []byte { return d }, "NOERROR", "no answer to a query"},
		{"garbage", func([]byte) []byte { return []byte("garbage") }, "NOERROR", "no DNS message"},
		{"damaged question", func(d []byte) []byte { a := code(0)(d); return a[:14] }, "NOERROR", "damaged question"},
		{"silence", func([]byte) []byte { return nil }, "NOERROR", "health: no answer within 200ms: health: receive: nothing came"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tgt := Target{Service: "dns", Backend: "b1", Addr: udpServer(t, c.answer), Check: DefaultCheck(DNS)}
			tgt.Check.Timeout = 200 * time.Millisecond
			tgt.Check.Query, tgt.Check.QueryType, tgt.Check.RCode = "www.example.org", "AAAA", c.rcode
			s := firstResult(t, tgt)
			if (s.State == Up) != (c.says == "") || !strings.Contains(s.Error, c.says) || strings.Contains(s.Error, "\n") {
				t.Errorf("%+v, want error with %q", s, c.says)
			}
		})
	}
}

// Stray datagrams do no harm to a check whose answer comes after them.
func TestDNSPassesStraysOver(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, 512)
		n, client, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, answer := range []func(*dnsmessage.Message){
			func(m *dnsmessage.Message) { m.ID, m.RCode = m.ID+1, dnsmessage.RCodeServerFailure },
			func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeTXT },
			func(*dnsmessage.Message) {},
		} {
			conn.WriteTo(nameServer(answer)(buf[:n]), client)
		}
	}()
	tgt := Target{Service: "dns", Backend: "b1", Addr: netip.MustParseAddrPort(conn.LocalAddr().String()), Check: DefaultCheck(DNS)}
	if s := firstResult(t, tgt); s.State != Up {
		t.Errorf("%+v", s)
	}
}

// What answers a question says so in its header, and repeats the question
// unless it is an error.
func FuzzAnswerTo(f *testing.F) {
	q, err := DefaultCheck(DNS).question()
	if err != nil {
		f.Fatal(err)
	}
	const id = 0x1234
	answer := nameServer(func(*dnsmessage.Message) {})(ask(q, id))
	f.Add(answer)
	f.Add(answer[:12])
	f.Add([]byte{})
	f.Add([]byte{0x12, 0x34, 0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x12, 0x34, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1}) // a name that points to itself
	f.Fuzz(func(t *testing.T, datagram []byte) {
		code, err := answerTo(q, id, datagram)
		if err != nil {
			return
		}
		if len(datagram) < 12 || datagram[0] != 0x12 || datagram[1] != 0x34 || datagram[2]&0xf8 != 0x80 || dnsmessage.RCode(datagram[3]&15) != code {
			t.Fatalf("% x was taken for an answer with code %v", datagram, code)
		}
		if repeats := datagram[4] == 0 && datagram[5] == 1; !repeats && code == 0 {
			t.Fatalf("% x was taken for an answer without its question", datagram)
		}
	})
}
