package nic

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// An ethtool is the device behind the ethtool ioctls of a network interface.
// Those are older than the kernels that the appliance runs on; ethtool's netlink
// messages have learnt to set keys and tables long after Linux 5.16.
type ethtool struct {
	name  string
	index int
	fd    int // any socket of the interface's namespace
}

// open returns the device of an interface of the caller's network namespace.
func open(name string, index int) (device, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	return &ethtool{name: name, index: index, fd: fd}, nil
}

func (e *ethtool) close() error { return unix.Close(e.fd) }

func (e *ethtool) settings() (settings, error) {
	sizes := rxfh(unix.ETHTOOL_GRSSH, settings{})
	if err := e.ioctl(sizes); err != nil { // with room for nothing, it tells the sizes
		return settings{}, err
	}
	table, key := rxfhSizes(sizes)
	if table > maxTable || key > maxKey {
		return settings{}, fmt.Errorf("the driver claims a table of %d entries and a key of %d bytes", table, key)
	}
	all := rxfh(unix.ETHTOOL_GRSSH, settings{table: make([]uint32, table), key: make([]byte, key)})
	if err := e.ioctl(all); err != nil {
		return settings{}, err
	}
	return parseRXFH(all), nil
}

func (e *ethtool) set(s settings) error { return e.ioctl(rxfh(unix.ETHTOOL_SRSSH, s)) }

func (e *ethtool) fields(f flow) (uint64, error) {
	ask := rxnfc(unix.ETHTOOL_GRXFH, f, 0)
	err := e.ioctl(ask)
	return binary.NativeEndian.Uint64(ask[8:]), err
}

func (e *ethtool) setFields(f flow, fields uint64) error {
	return e.ioctl(rxnfc(unix.ETHTOOL_SRXFH, f, fields))
}

// Offsets in struct ethtool_rxfh (include/uapi/linux/ethtool.h). The table, four
// bytes an entry, and then the key follow the header.
const (
	rxfhTableSize = 8  // entries; 0, to set: the default table
	rxfhKeySize   = 12 // bytes; 0, to set: the key stays
	rxfhFunction  = 16
	rxfhTransform = 17 // reserved and 0 before Linux 6.8
	rxfhHeader    = 24
)

// The largest sizes that a driver is believed.
const (
	maxTable = 1 << 16
	maxKey   = 1 << 10
)

// rxfh returns the struct of a command, of the main context, with s in it.
func rxfh(command uint32, s settings) []byte {
	b := make([]byte, rxfhHeader, rxfhHeader+4*len(s.table)+len(s.key))
	binary.NativeEndian.PutUint32(b, command)
	binary.NativeEndian.PutUint32(b[rxfhTableSize:], uint32(len(s.table)))
	binary.NativeEndian.PutUint32(b[rxfhKeySize:], uint32(len(s.key)))
	b[rxfhFunction], b[rxfhTransform] = s.function, s.transform
	for _, queue := range s.table {
		b = binary.NativeEndian.AppendUint32(b, queue)
	}
	return append(b, s.key...)
}

// rxfhSizes returns the sizes that a header gives.
func rxfhSizes(b []byte) (table, key uint32) {
	return binary.NativeEndian.Uint32(b[rxfhTableSize:]), binary.NativeEndian.Uint32(b[rxfhKeySize:])
}

// parseRXFH returns what is in a struct that has room for the sizes it gives.
func parseRXFH(b []byte) settings {
	s := settings{function: b[rxfhFunction], transform: b[rxfhTransform]}
	table, _ := rxfhSizes(b)
	for b = b[rxfhHeader:]; table > 0; table-- {
		s.table = append(s.table, binary.NativeEndian.Uint32(b))
		b = b[4:]
	}
	s.key = b
	return s
}

// rxnfc returns struct ethtool_rxnfc as far as these two commands use it: number
// of the command, kind of flow, and fields.
func rxnfc(command uint32, f flow, fields uint64) []byte {
	b := binary.NativeEndian.AppendUint32(nil, command)
	b = binary.NativeEndian.AppendUint32(b, f.kind)
	return binary.NativeEndian.AppendUint64(b, fields)
}
