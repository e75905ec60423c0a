package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"appliance/internal/node"
)

func TestDeny(t *testing.T) {
	f := new(fake)
	socket := serveAPI(t, f)
	appliance(t, "deny", "add", "198.51.100.0/24", "--for", "10m", "--socket", socket).want(t, 0, "denied: 198.51.100.0/24\n", "")
	appliance(t, "deny", "add", "2001:db8::7", "--socket", socket).want(t, 0, "denied: 2001:db8::7/128\n", "")
	appliance(t, "deny", "remove", "198.51.100.0/24", "--socket", socket).want(t, 0, "no longer denied: 198.51.100.0/24\n", "")
	want := []string{"deny 198.51.100.0/24 for 10m0s", "deny 2001:db8::7/128 for 0s", "allow 198.51.100.0/24"}
	if !slices.Equal(f.said, want) {
		t.Errorf("the node was asked for %q, want %q", f.said, want)
	}
	f.change = errors.New("198.51.100.0/24 is in [deny] of the configuration: take it out there and reload")
	appliance(t, "deny", "remove", "198.51.100.0/24", "--socket", socket).want(t, exitFailed, "", "appliance: "+f.change.Error()+"\n")
}

func TestDenyList(t *testing.T) {
	list := []node.Denial{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Configured: true},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Configured: true, Added: true},
		{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Added: true},
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Added: true, Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)},
	}
	socket := serveAPI(t, &fake{denied: list})
	r := appliance(t, "deny", "list", "--socket", socket)
	r.want(t, 0, r.out, "")
	golden(t, "denied.txt", r.out)

	r = appliance(t, "deny", "list", "--json", "--socket", socket)
	r.want(t, 0, r.out, "")
	var got []node.Denial
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got) != len(list) || !got[3].Until.Equal(list[3].Until) || !reflect.DeepEqual(got[:3], list[:3]) {
		t.Errorf("got %+v (%v), want %+v", got, err, list)
	}
}
