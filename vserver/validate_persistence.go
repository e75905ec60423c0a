package vserver

// checkPersistence checks how a service keeps clients at their backends.
func (v *validator) checkPersistence(path string, s *ServiceConfig) {
	p := s.Persistence
	check(v, path+".by", &affinities, p.By)
	if p.Prefix4 != 0 {
		v.between(path+".prefix4", p.Prefix4, 1, 32)
	}
	if p.Prefix6 != 0 {
		v.between(path+".prefix6", p.Prefix6, 1, 128)
	}
	if p.Timeout != 0 && (p.Timeout < MinPersistence || p.Timeout > MaxTimeout) {
		v.fail(path+".timeout", "%v: give %v to %v, or 0s for none", p.Timeout, MinPersistence, MaxTimeout)
	}
	if p.By == BySource && s.Method != Maglev {
		v.fail(path+".by", "source, but method is %v: persistence chooses by hash, so give method maglev", s.Method)
	}
}
