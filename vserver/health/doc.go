// Package health finds out which backends work, by connecting to them.
//
// Checks run through the kernel's own TCP and UDP, from an address of the node
// ([Check.Source]), and never touch the packet path: a [Checker] publishes a
// verdict for each backend of each service, and whoever builds the next snapshot
// asks [Checker.Up].
//
// # Checks
//
//   - TCP: a connection can be opened. It is closed at once.
//   - HTTP: a GET is answered with an expected status and, if that is asked for,
//     with what is expected within the first 16 KiB of its body. Redirects are an
//     answer, not followed; each check is a connection of its own, because a kept
//     one would outlive the server's ability to accept new ones; what is read of
//     the answer is bounded.
//   - HTTPS: the same inside TLS 1.2 or later, with a full handshake each time, in
//     which the server's certificate is verified unless the check is insecure.
//   - UDP: a datagram is answered by another, with what is expected in it. Where
//     servers don't answer, silence can count as success: then only the host's
//     word that nobody listens (ICMP port unreachable) is a failure, so a backend
//     whose host is dead counts as up. Such a check takes its whole time-out.
//   - DNS: a query over UDP is answered with an expected response code.
//
// # Schedule
//
// [Checker.SetTargets] takes the whole desired set and is idempotent: what
// hasn't changed goes on undisturbed. New targets are checked at once, or if
// they are many within two seconds, one by one, so that a node is of use soon
// after its start and nothing overflows; a target's second check comes after a
// random part of the interval and the rest every interval, 10 % more or less, so
// that thousands of targets that start together don't stay together. At most
// [Config.Concurrency] checks run at a time; the rest wait their turn and are
// late rather than many.
//
// Targets of several services that have the same backend, address and port, and
// equal checks are checked together, once.
//
// # Verdicts
//
// A target is unknown until its first success, and counts as down. That first
// success makes it up. Then Fall failures in a row make it down, and Rise
// successes in a row make it up again. Fall failures also end being unknown.
//
//	           success                 Fall failures
//	unknown ─────────────► up ◄──────────────────────► down
//	   │                        Rise successes          ▲
//	   └────────────────────────────────────────────────┘
//	                      Fall failures
//
// # Limits
//
// A check tells about the moment it ran: a backend that dies right after one is
// found dead after at most Interval * 1.1 * Fall + Timeout. UDP and DNS checks
// send one datagram each: one that is lost is a failure, which Fall is there
// for.
//
// Errors name what was wrong and hold nothing of an answer's body or of a
// certificate.
package health
