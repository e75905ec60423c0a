package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens in testdata anew")

// A result is what one command line left behind.
type result struct {
	code     int
	out, err string
}

// appliance runs one command line.
func appliance(t *testing.T, args ...string) result {
	t.Helper()
	return within(t.Context(), args...)
}

func within(ctx context.Context, args ...string) result {
	var out, err bytes.Buffer
	code := run(ctx, env{out: &out, err: &err}, append([]string{}, args...)) // cobra takes the test's own for nil
	return result{code, out.String(), err.String()}
}

// want fails the test unless the command ended with code, wrote nothing but out
// to stdout and nothing but err to stderr.
func (r result) want(t *testing.T, code int, out, err string) {
	t.Helper()
	if r.code != code || r.out != out || r.err != err {
		t.Errorf("exit code %d, want %d\nstdout:\n%s\nwant:\n%s\nstderr:\n%s\nwant:\n%s", r.code, code, r.out, out, r.err, err)
	}
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%s\nwant (%s)\n%s", text, path, want)
	}
}

// explained matches a flag in a help text with words behind it.
var explained = regexp.MustCompile(`^ +(-\w, )?--[\w-]+( \w+)?   +\w+`)

// Every command says what it is for, shows how it is called, and explains its
// flags; its help goes to stdout and fits a terminal.
func TestHelp(t *testing.T) {
	root := newRoot(env{})
	for _, c := range append(root.Commands(), root) {
		t.Run(c.Name(), func(t *testing.T) {
			if c.Short == "" || c.Example == "" {
				t.Errorf("summary %q, example %q", c.Short, c.Example)
			}
			for line := range strings.Lines(c.Example) {
				if !strings.HasPrefix(line, "  appliance ") {
					t.Errorf("example %q doesn't show a call", line)
				}
			}
			for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
				if !explained.MatchString(line) {
					t.Errorf("flag is not explained: %s", line)
				}
			}
			for _, args := range [][]string{{c.Name(), "--help"}, {"help", c.Name()}} {
				if c == root {
					args = []string{"--help"}
				}
				r := appliance(t, args...)
				if r.code != 0 || r.err != "" || !strings.Contains(r.out, c.Example) {
					t.Errorf("%q: exit code %d, stderr %q, stdout:\n%s", args, r.code, r.err, r.out)
				}
				for line := range strings.Lines(r.out) {
					if len(line) > 110 {
						t.Errorf("%d columns: %s", len(line), line)
					}
				}
			}
		})
	}
}

// Examples are command lines that the command itself accepts: all their flags
// and arguments exist.
func TestExamplesParse(t *testing.T) {
	calls := regexp.MustCompile(`appliance [^|&#\n]*`)
	root := newRoot(env{})
	for _, c := range append(root.Commands(), root) {
		for _, call := range calls.FindAllString(c.Example, -1) {
			words := strings.Fields(call)[1:]
			cmd, args, err := newRoot(env{}).Find(words)
			if err == nil {
				err = cmd.ParseFlags(args)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil || !strings.HasPrefix("appliance "+strings.Join(words, " "), cmd.CommandPath()) {
				t.Errorf("%s: %q: %v", c.Name(), call, err)
			}
		}
	}
}

// What the command line says wrongly is told in one line, with exit code 2, and
// nothing happens.
func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"frobnicate", `appliance: no command "frobnicate" (see: appliance --help)`},
		{"stauts", `appliance: no command "stauts" (did you mean "status"?) (see: appliance --help)`},
		{"--frobnicate", "appliance: unknown flag: --frobnicate (see: appliance --help)"},
		{"status --frobnicate", "appliance: unknown flag: --frobnicate (see: appliance status --help)"},
		{"status now", "appliance: accepts 0 arg(s), received 1 (see: appliance status --help)"},
		{"run -c", "appliance: flag needs an argument: 'c' in -c (see: appliance run --help)"},
		{"version 2", "appliance: accepts 0 arg(s), received 1 (see: appliance version --help)"},
		{"where tcp", "appliance: accepts 3 arg(s), received 1 (see: appliance where --help)"},
		{"where icmp 10.0.0.1:1 10.0.0.2:2", `appliance: protocol "icmp" is neither tcp nor udp`},
		{"where tcp 10.0.0.1 10.0.0.2:2", `appliance: from "10.0.0.1" is not ADDRESS:PORT`},
		{"where tcp 10.0.0.1:1 [::1]:2", "appliance: 10.0.0.1:1 and [::1]:2 are of different families"},
		{"status --watch soon", `appliance: invalid argument "soon" for "--watch" flag: time: invalid duration "soon" (see: appliance status --help)`},
		{"deny 10.0.0.0/8", `appliance: no command "10.0.0.0/8" (see: appliance deny --help)`},
		{"deny add", "appliance: accepts 1 arg(s), received 0 (see: appliance deny add --help)"},
		{"deny add 10.0.0.1/8", "appliance: 10.0.0.1/8 has bits behind its length: give 10.0.0.0/8, or 10.0.0.1/32 for the address alone"},
		{"deny add web", `appliance: "web" is no prefix: give one, like 198.51.100.0/24 or 2001:db8::/32, or an address`},
		{"deny add 10.0.0.0/8 --for 0s", "appliance: --for 0s: give a duration above zero, or leave it out"},
		{"deny remove ::/0", "appliance: ::/0 holds the IPv4-mapped addresses, all of IPv4: give 2000::/3 for all of IPv6 that hosts have"},
		{"demo --mode teleport", `appliance: demo: mode "teleport" is none of ["nat" "dsr" "ipip" "gue"]`},
	} {
		t.Run(c.args, func(t *testing.T) {
			appliance(t, strings.Fields(c.args)...).want(t, exitUsage, "", c.want+"\n")
		})
	}
}

func TestVersion(t *testing.T) {
	r := appliance(t, "version")
	if !regexp.MustCompile(`^appliance \S+ \(go\S+, linux/\w+\)\n$`).MatchString(r.out) {
		t.Errorf("version is %q", r.out)
	}
	r.want(t, 0, r.out, "")
}

// Without a command, the commands are listed.
func TestNoCommand(t *testing.T) {
	r := appliance(t)
	for _, c := range newRoot(env{}).Commands() {
		if !strings.Contains(r.out, c.Short) {
			t.Errorf("%s is not listed", c.Name())
		}
	}
	r.want(t, 0, r.out, "")
}
