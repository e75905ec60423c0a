// Package config reads a node's configuration file.
//
// appliance.toml at the top of the source tree is a valid file and the manual
// of every key; tests hold it equal to the defaults in [Default] and to the keys
// of [Config].
//
// # From file to rooms
//
// [Parse] turns a file into a [Config], whose structs mirror the file. Methods
// of Config turn it into what the rooms want: [Config.EngineConfig],
// [Config.Services], [Config.Checks], [Config.HashKey]. [Diff] says what a reload
// would change. All but [Load] and HashKey are pure, but for the files of
// certificates that health checks name: those are read where they are named.
//
//	text ─► locate: key path ─► line ───────────────┐
//	  └──► TOML library: tree ─► decoder ─► Config ─► validate ─► Config, or *Error
//
// # Problems
//
// A file is refused as a whole, with all that is wrong with it: unknown keys,
// values of the wrong type, values out of bounds, contradictions. That is why
// the TOML library is asked for a tree only. It would end at the first value
// that doesn't fit its struct, and it doesn't tell where it found a value; so
// moving the tree into structs and finding lines are this package's own.
//
// A rule lives in one place. What a single key may be, this package checks,
// with the bounds that the rooms export. What virtual servers may be together,
// package vserver checks (vserver.Config.Validate); its errors name the key by
// the same path, "vserver[2].backend[0].port", and the line is added here. What
// passes here passes in every room; tests say so.
//
// # Limits
//
// What only the machine can tell is found out at start: whether an interface
// exists, a secret file is readable, there are enough cores, the source of
// health checks is an address of it.
package config
