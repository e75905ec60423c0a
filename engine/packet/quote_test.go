package packet

import (
	"slices"
	"testing"

	"appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// What the services of the tests send, and so what errors to them quote.
const (
	sender4, sender6 = "198.51.100.1", "2001:db8:1::1"
	router4, router6 = "203.0.113.9", "2001:db8:f::9"
)

func sentTCP4(opts ...packettest.Option) []byte {
	return packettest.TCP(service4, client4, opts...)[EthernetSize:]
}

func sentUDP4(opts ...packettest.Option) []byte {
	return packettest.UDP(service4, client4, opts...)[EthernetSize:]
}

func sentTCP6(opts ...packettest.Option) []byte {
	return packettest.TCP(service6, client6, opts...)[EthernetSize:]
}

func sentUDP6(opts ...packettest.Option) []byte {
	return packettest.UDP(service6, client6, opts...)[EthernetSize:]
}

func tooBig4(quote []byte, opts ...packettest.Option) []byte {
	return packettest.ICMPError(ICMPUnreachable, 4, 1400, router4, sender4, quote, opts...)
}

func tooBig6(quote []byte, opts ...packettest.Option) []byte {
	return packettest.ICMPError(ICMPv6PacketTooBig, 0, 1400, router6, sender6, quote, opts...)
}

// quoted4 edits a quoted IPv4 packet and puts its header checksum right.
func quoted4(quote []byte, do func(h IPv4)) []byte {
	return ip4(slices.Concat(make([]byte, EthernetSize), quote), do)[EthernetSize:]
}

func quoted6(quote []byte, do func(h IPv6)) []byte {
	quote = slices.Clone(quote)
	do(IPv6(quote))
	return quote
}

// extended returns an error of type 3, code 1 or 1/0, whose quote is said to have
// n units, with 24 bytes of extensions behind it.
func extended4(quote []byte, units uint8) []byte {
	return packettest.ICMPError(ICMPUnreachable, 1, uint32(units)<<16, router4, sender4, append(slices.Clone(quote), make([]byte, 24)...))
}

func extended6(quote []byte, units uint8) []byte {
	return packettest.ICMPError(ICMPv6Unreachable, 0, uint32(units)<<24, router6, sender6, append(slices.Clone(quote), make([]byte, 24)...))
}

// A quoteCase is an ICMP error and what Parse must find in it.
type quoteCase struct {
	name  string
	frame []byte
	want  Reason
	about uint8 // the quoted protocol if the error is about a flow
	end   int   // bytes of the quoted transport part, if it is
}

var eight = packettest.PayloadSize(8) // behind the transport header

var quotes = []quoteCase{
	{"whole TCP", tooBig4(sentTCP4()), OK, ProtoTCP, 20},
	{"whole TCP v6", tooBig6(sentTCP6(eight)), OK, ProtoTCP, 28},
	{"whole UDP", tooBig4(sentUDP4(eight)), OK, ProtoUDP, 16},
	{"whole UDP v6", tooBig6(sentUDP6()), OK, ProtoUDP, 8},
	{"eight bytes of TCP", tooBig4(sentTCP4(eight)[:28]), OK, ProtoTCP, 8},
	{"eight bytes of TCP v6", tooBig6(sentTCP6(eight)[:48]), OK, ProtoTCP, 8},
	{"seven bytes of TCP", tooBig4(sentTCP4()[:27]), BadQuote, 0, 0},
	{"seven bytes of TCP v6", tooBig6(sentTCP6()[:47]), BadQuote, 0, 0},
	{"padding behind the quote", tooBig4(append(sentUDP4(), make([]byte, 100)...)), OK, ProtoUDP, 8},
	{"padding behind the quote v6", tooBig6(append(sentUDP6(eight), make([]byte, 100)...)), OK, ProtoUDP, 16},
	{"behind IPv4 options", tooBig4(sentTCP4(), packettest.IPOption(148, 0, 0)), OK, ProtoTCP, 20},
	{"behind extension headers", tooBig6(sentTCP6(), packettest.HopByHop(8), packettest.DestinationOptions(16)), OK, ProtoTCP, 20},

	{"no quote", tooBig4(nil), BadQuote, 0, 0},
	{"time exceeded", packettest.ICMPError(ICMPTimeExceeded, 0, 0, router4, sender4, sentTCP4()), OK, ProtoTCP, 20},
	{"time exceeded v6", packettest.ICMPError(ICMPv6TimeExceeded, 0, 0, router6, sender6, sentTCP6()), OK, ProtoTCP, 20},
	{"parameter problem", packettest.ICMPError(ICMPParameterProblem, 0, 9<<24, router4, sender4, sentUDP4()), OK, ProtoUDP, 8},
	{"parameter problem v6", packettest.ICMPError(ICMPv6ParameterProblem, 1, 6, router6, sender6, sentUDP6()), OK, ProtoUDP, 8},
	{"port unreachable", packettest.ICMPError(ICMPUnreachable, 3, 0, router4, sender4, sentUDP4()), OK, ProtoUDP, 8},
	{"port unreachable v6", packettest.ICMPError(ICMPv6Unreachable, 4, 0, router6, sender6, sentUDP6()), OK, ProtoUDP, 8},
	{"redirect", packettest.ICMPError(ICMPRedirect, 0, 0, router4, sender4, sentUDP4()), OK, 0, 0},
	{"source quench", packettest.ICMPError(ICMPSourceQuench, 0, 0, router4, sender4, sentUDP4()), OK, 0, 0},
	{"type 0 v6", packettest.ICMPError(0, 0, 0, router6, sender6, sentUDP6()), OK, 0, 0},
	{"type 5 v6", packettest.ICMPError(5, 0, 0, router6, sender6, sentUDP6()), OK, 0, 0},
	{"redirect v6", packettest.ICMPError(ICMPv6Redirect, 0, 0, router6, sender6, sentUDP6()), OK, 0, 0},

	{"quoted options", tooBig4(sentTCP4(packettest.IPOption(148, 0, 0))), OK, ProtoTCP, 20},
	{"quoted extension headers", tooBig6(sentUDP6(packettest.HopByHop(8), packettest.DestinationOptions(24))), OK, ProtoUDP, 8},
	{"quoted options cut off", tooBig4(sentTCP4(packettest.IPOption(148, 0, 0))[:31]), BadQuote, 0, 0},
	{"quoted extension headers cut off", tooBig6(sentTCP6(packettest.DestinationOptions(24))[:60]), BadQuote, 0, 0},
	{"quoted first fragment", tooBig4(sentUDP4(packettest.Fragment(0, true), eight)), OK, ProtoUDP, 16},
	{"quoted first fragment v6", tooBig6(sentUDP6(packettest.Fragment(0, true), eight)), OK, ProtoUDP, 16},
	{"quoted later fragment", tooBig4(sentUDP4(packettest.Fragment(16, false), eight)), OK, 0, 0},
	{"quoted later fragment v6", tooBig6(sentUDP6(packettest.Fragment(16, false), eight)), OK, 0, 0},
	{"quoted routing header", tooBig6(sentUDP6(packettest.Routing(0, 0))), BadQuote, 0, 0},
	{"quoted echo", tooBig4(packettest.Echo("198.51.100.1", "192.0.2.1")[EthernetSize:]), OK, 0, 0},
	{"quoted echo v6", tooBig6(packettest.Echo("2001:db8:1::1", "2001:db8::1")[EthernetSize:]), OK, 0, 0},
	{"quoted IPIP", tooBig4(packettest.Raw(4, "198.51.100.1", "192.0.2.1", packettest.PayloadSize(40))[EthernetSize:]), OK, 0, 0},

	{"half an IPv4 header", tooBig4(sentTCP4()[:19]), BadQuote, 0, 0},
	{"half an IPv6 header", tooBig6(sentTCP6()[:39]), BadQuote, 0, 0},
	{"version 6 in IPv4's error", tooBig4(quoted4(sentTCP4(), func(h IPv4) { h[0] = 0x65 })), BadQuote, 0, 0},
	{"version 4 in IPv6's error", tooBig6(quoted6(sentTCP6(), func(h IPv6) { h[0] = 0x45 })), BadQuote, 0, 0},
	{"header length below 5", tooBig4(quoted4(sentTCP4(), func(h IPv4) { h[0] = 0x44 })), BadQuote, 0, 0},
	{"header longer than the quote", tooBig4(quoted4(sentTCP4(), func(h IPv4) { h[0] = 0x4a })), BadQuote, 0, 0},
	{"total length without ports", tooBig4(quoted4(sentTCP4(), func(h IPv4) { h.SetTotalLen(27) })), BadQuote, 0, 0},
	{"total length of a port pair", tooBig4(quoted4(sentTCP4(), func(h IPv4) { h.SetTotalLen(28) })), OK, ProtoTCP, 8},
	{"total length of 64 KiB", tooBig4(quoted4(sentTCP4(), func(h IPv4) { h.SetTotalLen(65535) })), OK, ProtoTCP, 20},
	{"payload length without ports", tooBig6(quoted6(sentTCP6(), func(h IPv6) { h.SetPayloadLen(7) })), BadQuote, 0, 0},
	{"payload length zero", tooBig6(quoted6(sentTCP6(), func(h IPv6) { h.SetPayloadLen(0) })), BadQuote, 0, 0},
	{"payload length of 64 KiB", tooBig6(quoted6(sentTCP6(), func(h IPv6) { h.SetPayloadLen(65535) })), OK, ProtoTCP, 20},
	{"quoted header checksum wrong", tooBig4(edited(sentTCP4(), 8, func(b []byte) { b[0]-- })), BadQuote, 0, 0},
	{"quoted transport checksum wrong", tooBig4(edited(sentTCP4(), 36, func(b []byte) { b[0]-- })), OK, ProtoTCP, 20},
	{"quoted port 0", tooBig4(edited(sentTCP4(), 20, func(b []byte) { b[0], b[1] = 0, 0 })), BadQuote, 0, 0},
	{"quoted port 0 v6", tooBig6(edited(sentUDP6(), 42, func(b []byte) { b[0], b[1] = 0, 0 })), BadQuote, 0, 0},
	{"not sent by the receiver", tooBig4(tcp4()[EthernetSize:]), BadQuote, 0, 0},
	{"not sent by the receiver v6", tooBig6(tcp6()[EthernetSize:]), BadQuote, 0, 0},
	{"sent to a group", tooBig4(quoted4(sentTCP4(), dst4(0xe0000001))), BadQuote, 0, 0},
	{"sent to a group v6", tooBig6(quoted6(sentTCP6(), func(h IPv6) { h.Dst()[0] = 0xff })), BadQuote, 0, 0},

	{"extensions behind 128 bytes", extended4(sentTCP4(packettest.PayloadSize(88)), 32), OK, ProtoTCP, 108},
	{"extensions behind 128 bytes v6", extended6(sentTCP6(packettest.PayloadSize(68)), 16), OK, ProtoTCP, 88},
	{"extensions behind padding", extended4(append(sentUDP4(), make([]byte, 100)...), 32), OK, ProtoUDP, 8},
	{"extensions beyond the end", extended4(sentTCP4(), 17), BadQuote, 0, 0},
	{"extensions beyond the end v6", extended6(sentTCP6(), 11), BadQuote, 0, 0},
	{"extensions behind 128 bytes, time exceeded v6", packettest.ICMPError(ICMPv6TimeExceeded, 0, 16<<24, router6, sender6,
		append(sentTCP6(packettest.PayloadSize(68)), 1, 2, 3, 4)), OK, ProtoTCP, 88},
	{"MTU in the place of a length v6", packettest.ICMPError(ICMPv6PacketTooBig, 0, 99<<24, router6, sender6, sentTCP6()), OK, ProtoTCP, 20},
	{"extensions over the ports", extended4(sentTCP4(), 6), BadQuote, 0, 0},
	{"extensions over the ports v6", extended6(sentTCP6(), 5), BadQuote, 0, 0},
}

func quoteCases() (all []reasonCase) {
	for _, c := range quotes {
		all = append(all, reasonCase{c.name, c.frame, c.want})
	}
	return all
}

func TestParseQuotes(t *testing.T) {
	for _, c := range quotes {
		var info Info
		if Parse(c.frame, &info); c.want != OK {
			continue
		}
		if about := info.Flags&FlagICMPError != 0; about != (c.about != 0) {
			t.Errorf("%s: about a flow: %v", c.name, about)
			continue
		}
		if c.about == 0 {
			if info.Ports() != 0 || info.QuoteL4 != 0 || info.QuoteProto != 0 {
				t.Errorf("%s: about no flow, but %+v", c.name, info)
			}
			continue
		}
		if info.Flags&FlagPorts != 0 || info.QuoteProto != c.about || int(info.QuoteEnd-info.QuoteL4) != c.end || info.QuoteEnd > info.End {
			t.Errorf("%s: %+v, want protocol %d and %d bytes", c.name, info, c.about, c.end)
		}
		if info.SrcPort != 40000 || info.DstPort != 80 {
			t.Errorf("%s: from port %d to %d, want the client's to the service's", c.name, info.SrcPort, info.DstPort)
		}
		if at := c.frame[info.QuoteL4:]; at[1] != 80 || at[2] != 40000>>8 {
			t.Errorf("%s: no ports at %d", c.name, info.QuoteL4)
		}
	}
}

// An error that is made here about any packet is about the flow in whose other
// direction that went: Parse swaps what the packet's own Info says. That it
// agrees with what ICMPError says of its work, checkAnswers proves.
func TestParseQuotesOurOwnErrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawFrame(t)
		var before, after Info
		if Parse(frame, &before) != OK {
			return
		}
		got := answer(t, frame, answers["port unreachable"])
		same(t, "reason", Parse(got.frame, &after), OK)
		same(t, "about a flow", after.Flags&FlagICMPError != 0, before.Flags&FlagPorts != 0)
		if before.Flags&FlagPorts == 0 {
			return
		}
		same(t, "protocol", after.QuoteProto, before.Proto)
		same(t, "source port", after.SrcPort, before.DstPort)
		same(t, "destination port", after.DstPort, before.SrcPort)
		same(t, "headers", int(after.QuoteL4)-after.QuoteL3(), int(before.L4-before.L3))
		same(t, "quote", string(got.frame[after.QuoteL4:][:8]), string(frame[before.L4:][:8]))
	})
}
