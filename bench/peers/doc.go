// Package peers runs what the forwarding benchmark compares: the appliance, and
// what else could stand in its place.
//
//	bare           a two-port loop on our own AF_XDP sockets that rewrites the
//	               Ethernet header: what the rings cost without a load balancer
//	appliance_dsr  the appliance, one virtual server in mode dsr
//	appliance_nat  the appliance, one virtual server in mode nat
//	asavie         the bare loop on github.com/asavie/xdp
//	nftables       the kernel: DNAT to the same backends, and masquerading
//	testpmd        DPDK's forwarder over AF_XDP
//
// # Processes
//
// Each peer but nftables is a process of its own in the node's namespace, its
// packet loop pinned to [NodeCPU], so that no peer shares a Go scheduler, a heap
// or a processor with the generator. Those written in Go are this same binary:
// [RunChild] turns a process into the peer that its environment names. Parent
// and child speak through the child's standard streams: it says "ready", works
// until its input ends, and prints its [Report].
//
// # Fairness
//
// All have the same ring sizes ([Rings]) and batches ([Batch]), one queue, copy
// mode, and the wait strategy "spin briefly, then poll" (testpmd always spins;
// under the load of the benchmark nobody waits). asavie copies each packet from
// one socket's memory to the other's because that library has no shared memory.
// nftables gets the second processor by receive packet steering.
package peers
