package vserver

import "appliance/engine/packet"

// clamp lowers the segment size that a SYN asks for to what the service allows.
// It binds whoever receives the SYN: the client's the backend, and in nat, the
// only mode in which it comes by, the backend's the client.
func (s *service) clamp(frame []byte, info *packet.Info) {
	if s.mss != 0 && info.TCPFlags&packet.TCPSyn != 0 {
		packet.ClampMSS(frame, info, s.mss)
	}
}
