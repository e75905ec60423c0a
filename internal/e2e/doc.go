// Package e2e tests the whole appliance: its program, started as an operator
// starts it, in a lab of network namespaces with real clients and servers that
// talk through their kernels' TCP and UDP.
//
// It has tests only. They assert what happened and in which order, with bounds
// in time that a busy machine keeps; figures are the benchmarks' business.
package e2e
