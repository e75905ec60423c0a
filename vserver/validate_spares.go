package vserver

import "fmt"

// checkSpares checks what a service does when backends are missing or have just
// come back.
func (v *validator) checkSpares(path string, s *ServiceConfig) {
	primaries, backups := 0, 0
	for i := range s.Backends {
		if s.Backends[i].Backup {
			backups++
		} else {
			primaries++
		}
	}
	if backups > 0 && primaries == 0 {
		v.fail(fmt.Sprintf("%s.backend[0].backup", path), "every backend is a backup: leave it out of those that serve while all is well")
	}
	most := max(primaries, backups, DefaultMinHealthy) // backups don't serve beside others
	if s.MinHealthy < 0 || s.MinHealthy > most {
		v.fail(path+".min_healthy", "%d: give 1 to %d, as many as can serve at a time", s.MinHealthy, most)
	}
	if d := s.SlowStart; d != 0 && (d < MinSlowStart || d > MaxSlowStart) {
		v.fail(path+".slow_start", "%v: give %v to %v, or 0s for none", d, MinSlowStart, MaxSlowStart)
	}
}
