// Package space makes network namespaces for benchmarks and runs functions
// inside them.
//
// A network namespace is a property of a thread, while goroutines move between
// threads. [Space.Do] therefore runs a function on a thread of its own that ends
// with it: no other goroutine ever meets a thread that is elsewhere than the
// process. Processes started inside stay inside; goroutines do not.
//
// Names begin with "bn-" and the process id, so that [Sweep] can tell the
// namespaces of processes that are gone from those in use.
package space
