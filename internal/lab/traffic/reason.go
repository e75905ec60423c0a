package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// A Reason says why an exchange failed. It is a label: short, stable, the same
// in reports and on the screen.
type Reason string

// The reasons.
const (
	ConnectTimeout Reason = "connect_timeout" // no answer to the SYN in time
	ConnectRefused Reason = "connect_refused" // RST, or ICMP port unreachable for UDP
	Unreachable    Reason = "unreachable"     // ICMP said that there is no way
	Reset          Reason = "reset"           // RST on a connection that was open
	Closed         Reason = "closed"          // FIN before the answer began
	ReadTimeout    Reason = "read_timeout"    // the answer, or the rest of it, is overdue
	ShortBody      Reason = "short_body"      // the connection ended inside the answer
	WrongContent   Reason = "wrong_content"   // an answer, but not the one due
	BadStatus      Reason = "bad_status"      // an HTTP status other than 200
	Lost           Reason = "lost"            // no answer to a datagram in time
	Overload       Reason = "overload"        // this client is too slow: MaxInFlight reached
	Other          Reason = "other"           // none of these; see the error
)

// A Failure is why one exchange failed.
type Failure struct {
	Reason Reason
	Err    error // what lies behind it; never nil
}

// Error returns the reason and the cause.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.Reason, f.Err) }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// connectFailure classifies an error of connecting.
func connectFailure(err error) *Failure {
	reason := Other
	switch {
	case timedOut(err):
		reason = ConnectTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = ConnectRefused
	case unreachable(err):
		reason = Unreachable
	case errors.Is(err, syscall.ECONNRESET):
		reason = Reset
	}
	return &Failure{reason, err}
}

// exchangeFailure classifies an error of a connection that was open. begun says
// that part of the answer had come.
func exchangeFailure(err error, begun bool) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	reason := Other
	switch {
	case timedOut(err):
		reason = ReadTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		reason = Reset
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = ConnectRefused
	case unreachable(err):
		reason = Unreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = Closed
		if begun {
			reason = ShortBody
		}
	}
	return &Failure{reason, err}
}

// timedOut reports whether a deadline of ours passed or the kernel gave up
// sending (ETIMEDOUT).
func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func unreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) ||
		errors.Is(err, syscall.EACCES) // ICMP: administratively prohibited
}
