package vserver

import "testing"

// The control half is told of questions, once, and never waited for.
func TestAskedIsSignalled(t *testing.T) {
	var r resolver
	asked := make(chan struct{}, 1)
	told := func() bool {
		r.tell(asked)
		select {
		case <-asked:
			return true
		default:
			return false
		}
	}
	if told() {
		t.Error("told of nothing")
	}
	a := addrs("10.1.0.1")[0]
	r.ask(0, Neighbour{Addr: a})
	if !told() {
		t.Error("not told of a question")
	}
	r.ask(1, Neighbour{Addr: a})
	if told() {
		t.Error("told of a question that was asked lately")
	}
	for range 3 { // nobody reads
		a = a.Next()
		r.ask(2, Neighbour{Addr: a})
		r.tell(asked)
	}
	if len(asked) != 1 {
		t.Error("not told of three questions")
	}
	r.ask(3, Neighbour{Addr: a.Next()})
	r.tell(nil)
}
