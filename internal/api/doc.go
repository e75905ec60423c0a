// Package api is the node's door for operators: HTTP over a Unix socket, and
// the client that `appliance status` and its siblings use.
//
//	GET  /ready     200 once packets flow, 503 with the reason before
//	GET  /status    node.Status as JSON
//	GET  /where     ?protocol=tcp&from=ADDR:PORT&to=ADDR:PORT: who owns the flow, and which backend has it
//	POST /reload    read the configuration file again; 422 with the problems when it is refused
//	GET  /metrics   Prometheus text format
//
// Errors are {"error": "..."} with a status of 4xx or 5xx. Who may open the
// socket (mode 0660, owner root) may do all of this.
package api
