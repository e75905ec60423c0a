package xsk

import "golang.org/x/sys/unix"

// maxKicks bounds the system calls of one Flush. In copy mode one sends up to
// the transmit budget (32 packets on kernels without the option), but only one
// packet when the driver drops it (EBUSY).
const maxKicks = 64

// Flush makes queued frames leave, as far as the kernel takes them now.
func (s *Socket) Flush() {
	for kicks := 0; s.tx.backlog() > 0; kicks++ {
		if s.zeroCopy && !s.tx.needWakeup() {
			return
		}
		if kicks == maxKicks {
			s.count.txRetries.Add(1)
			return
		}
		before := s.moved()
		errno := s.sendto()
		s.count.kick.Add(1)
		switch s.judge(errno, s.moved() != before) {
		case again:
		case later:
			s.count.txRetries.Add(1)
			return
		case waitForTraffic:
			s.stalled = true
			return
		case done:
			return
		}
	}
}

// sendto has the kernel send what is in the tx ring (copy mode), or wakes the
// driver (zero-copy).
func (s *Socket) sendto() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// moved returns a number that changes when the kernel takes or completes
// frames. Both are looked at because kernels before 6.17 publish the tx ring's
// index only when it is empty.
func (s *Socket) moved() uint32 { return s.tx.consumed.Load() + s.comp.produced.Load() }

// A next step says how Flush goes on after a kick.
type nextStep uint8

const (
	done           nextStep = iota
	again                   // kick again at once
	later                   // leave the rest to the next Flush
	waitForTraffic          // kicking again is of no use for now
)

// judge reads what a kick returned; the package comment has the table. moved
// says whether frames were taken or completed by it.
func (s *Socket) judge(errno unix.Errno, moved bool) nextStep {
	switch errno {
	case 0:
		// The kernel says nothing but sends nothing either when the queue
		// ceased to exist (queue_id >= real_num_tx_queues).
		if !s.zeroCopy && !moved {
			return waitForTraffic
		}
		return done
	case unix.EAGAIN:
		if moved {
			return again
		}
		return later
	case unix.EINTR:
		return again
	case unix.EBUSY:
		s.count.txErrors.Add(1)
		return again
	case unix.ENOBUFS:
		return later
	case unix.ENETDOWN:
		return waitForTraffic
	case unix.ENXIO:
		s.gone = true
		return waitForTraffic
	}
	s.count.txErrors.Add(1)
	return waitForTraffic
}
