// Package layout holds the rules of the source tree as tests: which room may
// import which, which packages only one room may use, where unsafe may stand.
// docs/architecture.md draws the same rules.
package layout
