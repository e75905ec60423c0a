// Package nic has a network card deliver packets to the engines that own them.
//
// A card with receive side scaling hashes each packet, looks the low bits of the
// hash up in its indirection table, and puts the packet into the queue that it
// finds there. [Program] gives it the node's key, a table that names a queue of
// each core entry's owner, and the fields that package rss hashes. Then the
// queue's engine owns what comes in, and nothing is handed from one engine to
// another.
//
// That is a shortcut and nothing else: engines hash every packet themselves and
// hand over what isn't theirs, so that a card that is not programmed, or only
// half, or that hashes some packets otherwise (fragments, IPv6 extension
// headers), costs speed and never misplaces a flow.
//
// # Settings are verified, and put back
//
// Drivers accept what they then don't do. So all that was written is read back
// and compared; [RSS] says in one word what the card does, and why it is not
// more. [RSS.Restore] puts back what was there before, as far as it is other
// than now. A process that is killed can't: the card keeps its settings, with
// which its kernel lives as well as with any others.
//
// # Limits
//
// The card must hash by Toeplitz, with a key of 40 bytes or more, of which IPv6
// with ports uses the first 40: longer keys get the same bytes again. Its table
// must have a power of two entries: 128 or more, where the core entries repeat,
// or fewer if that puts no two owners into one. While the table is not the
// kernel's default, the kernel refuses to take queues away (ethtool -L) that it
// names.
//
// Settings are verified when they are made. That a driver forgets them later, at
// a reset, shows only in packets that are handed over again.
package nic
