// Package origin is the real servers behind a virtual server: HTTP, TCP and UDP
// servers whose every byte says which backend sent it and for which request.
//
// # Services
//
//	HTTP    tcp/80   GET /?size=N&token=T: a body of N bytes, see [Body]
//	                 GET /health: 200, or 503 after SetHealthy(false)
//	echo    tcp/7    sends back what it receives; half-close is answered (RFC 862)
//	echo    udp/7    sends back the datagram, behind the backend's name and a space
//	stream  tcp/19   reads a line with a number, then sends [Stream] of it for ever
//
// HTTP answers carry the backend's name in the header [NameHeader] too. The
// other end of these conversations is package traffic, which knows what must
// come back and so finds lost, repeated, exchanged and altered bytes.
//
// # Limits
//
// The servers have no idle timeout: a connection ends when the client or Stop
// ends it, so that a connection that breaks was broken on the way.
package origin
