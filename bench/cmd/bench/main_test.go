package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"testing"

	"appliance/bench/result"
	"appliance/bench/scenario"
)

func TestList(t *testing.T) {
	var out, progress bytes.Buffer
	if err := bench(context.Background(), []string{"-list"}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != len(scenario.All) || !strings.Contains(out.String(), "hash") {
		t.Errorf("list:\n%s", out.String())
	}
}

func TestJSONIsOneObject(t *testing.T) {
	var out, progress bytes.Buffer
	args := []string{"-scenario", "hash", "-json", "-runs", "5", "-time", "1ms"}
	if err := bench(context.Background(), args, &out, &progress); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out)
	var res result.Result
	if err := dec.Decode(&res); err != nil {
		t.Fatal(err)
	}
	if res.Scenario != "hash" || res.Machine == "" || res.Figures["toeplitz_ipv4"].Unit != "ns" {
		t.Errorf("%+v", res)
	}
	if dec.More() {
		t.Errorf("more than one object on standard output")
	}
	if !strings.Contains(progress.String(), "round 5 of 5") {
		t.Errorf("progress: %q", progress.String())
	}
}

func TestTables(t *testing.T) {
	for flag, want := range map[string]string{"": "median", "-markdown": "| --- |"} {
		args := []string{"-scenario", "hash", "-runs", "1", "-time", "1ms"}
		if flag != "" {
			args = append(args, flag)
		}
		var out, progress bytes.Buffer
		if err := bench(context.Background(), args, &out, &progress); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "toeplitz_ipv6/slow_ipv6") {
			t.Errorf("%q:\n%s", flag, out.String())
		}
	}
}

func TestHelpShowsExamples(t *testing.T) {
	var out, stderr bytes.Buffer
	err := bench(context.Background(), []string{"-h"}, &out, &stderr)
	if !errors.Is(err, flag.ErrHelp) || !strings.Contains(stderr.String(), "bench -scenario") || !strings.Contains(stderr.String(), "-runs") {
		t.Errorf("%v:\n%s", err, stderr.String())
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"-list", "-all"},
		{"-scenario", "nothing"},
		{"-scenario", "hash", "-json", "-markdown"},
		{"-scenario", "hash", "-runs", "0"},
		{"-scenario", "hash", "-time", "-1s"},
		{"-scenario", "hash", "more"},
		{"-bogus"},
	} {
		var out, stderr bytes.Buffer
		if err := bench(context.Background(), args, &out, &stderr); !errors.Is(err, errUsage) || out.Len() > 0 {
			t.Errorf("%q: %v, printed %q", args, err, out.String())
		}
	}
}
