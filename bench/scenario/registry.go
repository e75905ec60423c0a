package scenario

import "time"

// All are the scenarios in the order in which `bench -all` runs them.
var All = []*Scenario{
	{"hash", "Toeplitz hash of one tuple, against its bit-by-bit twin", 200 * time.Millisecond, inProcess(hash)},
	{"pipeline", "one engine's whole loop without a kernel, against its memory accesses alone", 500 * time.Millisecond, inProcess(pipeline)},
	{"vips", "one engine's whole loop with many virtual servers and backends, against one of each", 300 * time.Millisecond, inProcess(vips)},
	{"cps", "connections a second accepted into one engine's flow table, and expired again", time.Second, inProcess(cps)},
	{"memory", "resident memory of one engine's flow table at a million flows, and its drift", 30 * time.Second, inProcess(memory)},
	{"forward", "packets a second through a whole node over veth, against its peers (root)", 2 * time.Second, forward},
	{"flood", "what honest clients notice of 300,000 forged SYNs a second (root)", 10 * time.Second, flood},
}

// Find returns the scenario of that name, or nil.
func Find(name string) *Scenario {
	for _, s := range All {
		if s.Name == name {
			return s
		}
	}
	return nil
}
