// Package health finds out which backends work, by connecting to them.
//
// Checks run through the kernel's own TCP, from the node's own address, and
// never touch the packet path: a [Checker] publishes a verdict for each backend
// of each service, and whoever builds the next snapshot asks [Checker.Up].
//
// # Checks
//
//   - TCP: a connection can be opened. It is closed at once.
//   - HTTP: a GET is answered with an expected status. Redirects are an answer,
//     not followed; each check is a connection of its own, because a kept one
//     would outlive the server's ability to accept new ones; what is read of
//     the answer is bounded.
//
// # Schedule
//
// [Checker.SetTargets] takes the whole desired set and is idempotent: what
// hasn't changed goes on undisturbed. A new target is checked at once, so that
// a node is of use within one round trip of its start; its second check comes
// after a random part of the interval and the rest every interval, 10 % more or
// less, so that thousands of targets that start together don't stay together.
// At most [Config.Concurrency] checks run at a time; the rest wait their turn
// and are late rather than many.
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
// found dead after at most Interval * 1.1 * Fall + Timeout. Two services that
// share a backend check it separately, since their checks may differ.
package health
