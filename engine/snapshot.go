package engine

import "appliance/rss"

// A Snapshot is all that the hot half knows of the control half: immutable
// once published, swapped whole through an atomic pointer, loaded once a pass.
type Snapshot struct {
	Generation uint64         // counts publications from 1; for status and logs
	Hasher     *rss.Hasher    // the cluster's RSS key, ready to hash with
	Cores      *rss.CoreTable // which engine owns a hash
	FinishL4   bool           // finish transport checksums that senders left to hardware
	VerifyL4   bool           // verify TCP, UDP and ICMP checksums too; those of ICMP errors about flows are verified in any case

	// App is the Handler's own immutable part. The Handler asserts its type
	// once a batch.
	App any
}
