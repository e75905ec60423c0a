// Package asavie is an [engine.Port] over github.com/asavie/xdp, an independent
// implementation of AF_XDP sockets in Go. It is there to be compared with: the
// same tests and benchmarks run over it and over package xsk, so that a fault of
// either shows. Choose it with driver = "asavie".
//
// # How it works
//
// The library has packet memory of its own and cannot be given the Arena, so
// each frame is copied: on receipt into one of the frames that Refill gave, on
// transmission out of the caller's frame, which the port nevertheless holds
// until the transmission ends, as any other port does. The library's own XDP
// program isn't used: FD goes into the XSKMAP of package xdp.
//
// For the sake of comparison the socket gets the same transmit budget and send
// buffer as those of package xsk.
//
// # What is known of the library
//
// As of v0.3.3; issue numbers are those of its repository.
//
//   - Ring indexes are read and written without atomics or fences (the calls are
//     commented out). That is right on amd64 as long as the compiler does not
//     reorder or keep them in registers, and wrong on weakly ordered CPUs such
//     as arm64: Open refuses to run on any but amd64.
//   - A received descriptor counts as free at once. Transmitting it directly,
//     instead of copying, lets the same frame be handed out again while it is
//     in flight (found by users of the fork slavc/xdp). This port copies out
//     before it asks for any other descriptor.
//   - Transmit panics on every errno of sendto but EINTR, EAGAIN and EBUSY
//     (issue 31), thus whenever the link goes down. Here that is caught, and
//     counted in TxErrors.
//   - Transmit kicks once; what the kernel leaves for later (it sends 32 packets
//     a call by default) stays there (issue 9). Here Flush kicks again.
//   - Free descriptors are found by scanning a list of all of them, for each
//     batch.
//   - A bind that finds the queue still held is not retried, and errors don't
//     wrap their cause. Here Open retries, by the error's text.
//   - Close does not unmap the rings, which keeps the kernel's socket alive and
//     its queue taken until the process ends. Here Close unmaps them.
//   - Bind flags are one global variable. Here it stays as it is: zero-copy if
//     the driver offers it, never need_wakeup.
package asavie
