package nic

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"appliance/internal/privtest"
)

// A veth has nothing to program: that is found out, said, and leaves nothing
// open.
func TestVethIsInSoftware(t *testing.T) {
	privtest.NetNS(t)
	at, _ := privtest.Veth(t, "nic0", "nic1", 2)
	cfg := config(t, 2, 2)
	cfg.Interface, cfg.Index = "nic0", at.Attrs().Index
	before := descriptors(t)
	r := Program(cfg)
	if r.State != Software || r.Why != "the driver has no receive side scaling that can be programmed" {
		t.Errorf("%s: %s", r.State, r.Why)
	}
	if err := r.Restore(); err != nil {
		t.Error(err)
	}
	dev, err := open("nic0", at.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"set":    dev.set(settings{key: make([]byte, 40)}),
		"fields": second(dev.fields(flows[0])), "set fields": dev.setFields(flows[0], tuple),
	} {
		if err != unix.EOPNOTSUPP {
			t.Errorf("%s: error %v, want %v", what, err, unix.EOPNOTSUPP)
		}
	}
	if err := dev.close(); err != nil {
		t.Error(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors open, were %d", after, before)
	}
}

func second(_ uint64, err error) error { return err }

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// An interface that isn't there, or has another's name, is let alone.
func TestMissingInterface(t *testing.T) {
	privtest.NetNS(t)
	at, _ := privtest.Veth(t, "nic0", "nic1", 1)
	for name, index := range map[string]int{"nic2": 1, "nic0": at.Attrs().Index + 100, strings.Repeat("x", 20): 1} {
		cfg := config(t, 1, 1)
		cfg.Interface, cfg.Index = name, index
		if r := Program(cfg); r.State != Software || !strings.HasPrefix(r.Why, "read key and indirection table: ") {
			t.Errorf("%s: %s: %s", name, r.State, r.Why)
		}
	}
}

// The structs of include/uapi/linux/ethtool.h, written out.
func TestWireFormat(t *testing.T) {
	u32 := binary.NativeEndian.AppendUint32
	s := settings{table: []uint32{3, 1}, key: []byte{0xaa, 0xbb, 0xcc}, function: 1, transform: 2}
	var want []byte
	for _, word := range []uint32{0x47, 0, 2, 3} { // command, context, entries, bytes
		want = u32(want, word)
	}
	want = append(want, 1, 2, 0, 0)       // function, transform, reserved
	want = u32(u32(u32(want, 0), 3), 1)   // reserved, table
	want = append(want, 0xaa, 0xbb, 0xcc) // key
	if got := rxfh(0x47, s); !bytes.Equal(got, want) {
		t.Errorf("rxfh\n% x, want\n% x", got, want)
	}
	if got := parseRXFH(want); !reflect.DeepEqual(got, s) {
		t.Errorf("parsed %+v, want %+v", got, s)
	}
	if table, key := rxfhSizes(want); table != 2 || key != 3 {
		t.Errorf("sizes %d and %d", table, key)
	}
	want = binary.NativeEndian.AppendUint64(u32(u32(nil, 0x2a), 6), 0xf0)
	if got := rxnfc(0x2a, flows[3], tuple); !bytes.Equal(got, want) {
		t.Errorf("rxnfc\n% x, want\n% x", got, want)
	}
}
