package config

// validateCheckPort sees to it that health checks know which port to check.
func (s *VServer) validateCheckPort(p *problems, path string) {
	key := path + ".health.port"
	if _, one := s.Port.One(); one || s.Health.Port != 0 || s.Health.Type == HealthNone {
		return
	}
	for j, b := range s.Backends {
		if b.Port == 0 {
			p.add(key, "there is none, and %s.%s serves all of %s: give the port to check, or type = \"none\"",
				path, element("backend", j), s.Port)
			return
		}
	}
}
