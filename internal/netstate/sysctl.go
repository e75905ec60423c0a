package netstate

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A SysctlProblem is a kernel setting that harms a load balancer.
type SysctlProblem struct {
	Key   string // as sysctl(8) names it
	Value int
	Harm  string // what goes wrong, and what would be right
}

// String returns the problem as one line of a log.
func (p SysctlProblem) String() string { return fmt.Sprintf("%s=%d: %s", p.Key, p.Value, p.Harm) }

// A sysctlRule says which values of a setting harm.
type sysctlRule struct {
	key         string // below net, with %s for the interface
	least, most int    // values that harm
	harm        string
}

// nodeRules are about the node. The packets they mention are those that the
// XDP program leaves to the kernel.
var nodeRules = []sysctlRule{
	{"ipv4.ip_forward", 1, 1, "the kernel forwards, past all counters, what the engine leaves to it; want 0"},
	{"ipv6.conf.all.forwarding", 1, 1, "the kernel forwards, past all counters, what the engine leaves to it; want 0"},
	{"ipv4.nexthop_compat_mode", 0, 0, "routes through next hop objects can't be followed; want 1"},
}

// linkRules are about one interface. For each the kernel uses the higher of
// its value and that of "all".
var linkRules = []sysctlRule{
	{"ipv4.conf.%s.rp_filter", 1, 1, "ARP requests and answers to health checks are ignored when the way back is another interface; want 0 or 2"},
	{"ipv4.conf.%s.arp_ignore", 2, 8, "ARP requests for SNIPs are not answered, as a SNIP has no subnet of its own; want 0 or 1"},
}

// SysctlProblems returns the kernel settings that harm, for the node and for
// the interfaces of those names. It reads the namespace of the calling thread.
// Settings that this kernel doesn't have, harm nobody.
func SysctlProblems(interfaces []string) []SysctlProblem {
	return sysctlProblems("/proc/sys/net", interfaces)
}

func sysctlProblems(root string, interfaces []string) []SysctlProblem {
	var all []SysctlProblem
	check := func(rule sysctlRule, key string, value int, ok bool) {
		if ok && value >= rule.least && value <= rule.most {
			all = append(all, SysctlProblem{"net." + key, value, rule.harm})
		}
	}
	for _, rule := range nodeRules {
		value, ok := readSysctl(root, rule.key)
		check(rule, rule.key, value, ok)
	}
	for _, name := range interfaces {
		for _, rule := range linkRules {
			everywhere, _ := readSysctl(root, fmt.Sprintf(rule.key, "all"))
			// In a key, dots separate; in a name, sysctl(8) writes them as slashes.
			key := fmt.Sprintf(rule.key, strings.ReplaceAll(name, ".", "/"))
			value, ok := readSysctl(root, key)
			check(rule, key, max(value, everywhere), ok)
		}
	}
	return all
}

func readSysctl(root, key string) (value int, ok bool) {
	path := strings.NewReplacer(".", "/", "/", ".").Replace(key)
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return 0, false
	}
	value, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return value, err == nil
}
