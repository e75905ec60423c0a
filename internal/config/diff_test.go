package config

import (
	"slices"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	more := base + second + "[[vserver.backend]]\nname = \"app1\"\naddress = \"10.2.3.2\"\n"
	replace := func(old, new string) string { return strings.Replace(more, old, new, 1) }
	for _, c := range []struct {
		name, to string
		changes  []string
		restart  []string
	}{
		{"nothing", more, nil, nil},
		{"weight", replace(`"10.2.3.1"`, "\"10.2.3.1\"\nweight = 0"), []string{"vserver[web].backend[web1].weight: 0, was 1"}, nil},
		{"backend added", replace("[[vserver]]\nname = \"app\"", "[[vserver.backend]]\nname = \"web2\"\naddress = \"10.2.3.9\"\n[[vserver]]\nname = \"app\""),
			[]string{"vserver[web].backend[web2]: added (10.2.3.9 port 0)"}, nil},
		{"vserver removed", base, []string{"vserver[app]: removed (203.0.113.11 port 80/tcp)"}, nil},
		{"vserver renamed", replace(`"app"`, `"api"`), []string{
			"vserver[app]: removed (203.0.113.11 port 80/tcp)", "vserver[api]: added (203.0.113.11 port 80/tcp)"}, nil},
		{"snips", replace(`, "fd00::1"`, ""), []string{"nat.snips: [10.2.2.1], was [10.2.2.1 fd00::1]"}, nil},
		{"encap", more + "[encap]\nsources = [\"10.200.0.0/24\"]\ngue_port = 7000", []string{
			"encap.sources: [10.200.0.0/24], was []", "encap.gue_port: 7000, was 6080"}, nil},
		{"timeouts and checks", more + "[vserver.health]\ntype = \"none\"\n[vserver.timeouts]\nreplied = \"10s\"", []string{
			"vserver[app].health.type: none, was tcp", "vserver[app].timeouts.replied: 10s, was 5m0s"}, nil},
		{"denied", more + "[deny]\nprefixes = [\"10.0.0.0/8\", \"2001:db8::1\"]", []string{"deny.prefixes: [10.0.0.0/8 2001:db8::1/128], was []"}, nil},
		{"log level", more + "[log]\nlevel = \"debug\"", []string{"log.level: debug, was info"}, nil},
		{"log format", more + "[log]\nformat = \"json\"", []string{"log.format: json, was text"}, []string{"log.format"}},
		{"engine", more + "[engine]\nengines = 2\ncpus = [0, 1]", []string{"engine.engines: 2, was 1", "engine.cpus: [0 1], was []"},
			[]string{"engine.engines", "engine.cpus"}},
		{"buckets and key", more + "[rss]\nbuckets = 1024\nkey = \"" + goodKey + "\"", []string{"rss.key: a key, was none", "rss.buckets: 1024, was 4096"},
			[]string{"rss.key", "rss.buckets"}},
		{"socket", more + "[api]\nsocket = \"/x\"", []string{`api.socket: "/x", was "/run/appliance/api.sock"`}, []string{"api.socket"}},
		{"interface added", more + "[[interface]]\nname = \"eth2\"", []string{"interface[eth2]: added ([client server])"}, []string{"interface[eth2]"}},
		{"plane", replace(`["client"]`, `["client", "server"]`), []string{"interface[eth0].planes: [client server], was [client]"}, []string{"interface[eth0].planes"}},
		{"interfaces exchanged", strings.NewReplacer(`"eth0"`, `"eth1"`, `"eth1"`, `"eth0"`, `"client"`, `"server"`, `"server"`, `"client"`).Replace(more),
			[]string{"interface: eth1, eth0, was eth0, eth1"}, []string{"interface"}},
	} {
		from, err := Parse("from.toml", []byte(more))
		if err != nil {
			t.Fatal(err)
		}
		to, err := Parse("to.toml", []byte(c.to))
		if err != nil {
			t.Errorf("%s: the test is wrong: %v", c.name, err)
			continue
		}
		changes, restart := Diff(from, to)
		var lines []string
		for _, change := range changes {
			lines = append(lines, change.String())
		}
		if !slices.Equal(lines, c.changes) || !slices.Equal(restart, c.restart) {
			t.Errorf("%s: changes\n%s\nrestart %s\nwant\n%s\nrestart %s", c.name,
				strings.Join(lines, "\n"), restart, strings.Join(c.changes, "\n"), c.restart)
		}
	}
}
