// Package traffic drives load through a virtual server and judges every answer.
//
// # Three drivers
//
//   - [HTTP] sends requests, each on a new connection or on kept-alive ones.
//   - [Streams] holds long-lived TCP connections and compares every byte.
//   - [UDP] sends datagrams and waits for each one's answer.
//
// They speak to the servers of package origin and know what each answer must
// be, so they notice answers that are lost, cut short, altered or somebody
// else's. A driver has two verbs: Run drives until its context ends, Report says
// how it goes, at any moment and from any goroutine.
//
// # Nothing is retried
//
// An exchange succeeds or is counted as failed, by [Reason], and the next one
// starts on a new connection. That is why the HTTP driver speaks on connections
// of its own: [net/http.Transport] silently repeats idempotent requests whose
// kept-alive connection breaks, which is just what a load balancer's fault looks
// like.
//
// # Nothing waits for an answer
//
// New connections are opened by the clock, not one after another, so the load
// stays what it is while answers are missing, and every client that an outage
// would have hurt is counted. Kept-alive connections, streams and UDP flows are
// as many as asked for, and each waits for its own answer.
//
// # The end
//
// When its context ends a driver starts nothing more, but what is under way
// gets its full timeout: an exchange that is stuck at the end failed. So Run
// returns within the sum of the timeouts after the end of its context.
package traffic
