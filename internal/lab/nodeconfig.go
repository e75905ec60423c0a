package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"text/template"
)

// NodeOptions say how a node's appliance runs. Only Binary is required.
type NodeOptions struct {
	Binary   string            // path of the appliance, see Build
	Services []Service         // default: Lab.Services("nat", "maglev")
	Engine   map[string]string // keys of the table [engine], as TOML: {"driver": `"asavie"`}
	Extra    string            // TOML that ends the file: further tables
	Config   string            // the whole file, instead of the generated one
	Env      []string          // further environment, NAME=value
}

// engineDefaults are the keys of [engine] that differ from the appliance's own
// defaults, because the nodes of a lab share the machine's processors.
var engineDefaults = map[string]string{
	"engines": "1",
	"idle":    `"adaptive"`,
}

// nodeFile is the configuration file of a node.
var nodeFile = template.Must(template.New("node").Parse(
	`[node]
id = {{.ID}}
name = "{{.Name}}"

[engine]
{{range $key, $value := .Engine}}{{$key}} = {{$value}}
{{end}}
[rss]
key = "{{.Key}}"

[[interface]]
name = "{{.ClientPlane}}"
planes = ["client"]

[[interface]]
name = "{{.ServerPlane}}"
planes = ["server"]

[nat]
snips = [{{.SNIPs}}]

[encap]
sources = [{{.Sources}}]

[api]
socket = "{{.Socket}}"
{{range .Services}}{{$service := .}}
[[vserver]]
name = "{{.Name}}"
vip = "{{.VIP}}"
port = {{.Port}}
protocol = "{{.Protocol}}"
mode = "{{.Mode}}"
method = "{{.Method}}"
{{range $i, $backend := $.Backends}}
[[vserver.backend]]
name = "{{$backend.Host}}"
address = "{{$service.Address $backend}}"
port = {{$service.BackendPort}}
weight = {{$service.Weight $i}}
{{end}}{{if .Health}}
[vserver.health]
{{.Health}}
{{end}}{{end}}{{.Extra}}
`))

// Config returns the configuration file that Start gives the appliance.
func (n *Node) Config(opts NodeOptions) (string, error) {
	if opts.Config != "" {
		return opts.Config, nil
	}
	services := opts.Services
	if services == nil {
		services = n.lab.Services("nat", "maglev")
	}
	engine := make(map[string]string)
	for _, keys := range []map[string]string{engineDefaults, opts.Engine} {
		for key, value := range keys {
			engine[key] = value
		}
	}
	var file strings.Builder
	err := nodeFile.Execute(&file, map[string]any{
		"ID": n.ID, "Name": n.Host(), "Engine": engine, "Key": fmt.Sprintf("%x", n.lab.key[:]),
		"ClientPlane": ClientPlane, "ServerPlane": ServerPlane,
		"SNIPs": quote(n.SNIP.All()), "Sources": quote(n.Sources), "Socket": n.Socket(),
		"Services": services, "Backends": n.lab.Backends, "Extra": opts.Extra,
	})
	if err != nil {
		return "", fmt.Errorf("lab: configure %s: %w", n.Host(), err)
	}
	return file.String(), nil
}

// Socket returns the path of the appliance's API socket.
func (n *Node) Socket() string { return n.file("sock") }

// ConfigFile returns the path of the configuration file that Start writes.
func (n *Node) ConfigFile() string { return n.file("toml") }

// file returns the path of one of the node's files.
func (n *Node) file(extension string) string {
	return filepath.Join(n.lab.claim.dir(), n.Host()+"."+extension)
}

// Address returns a backend's address of the VIP's family, or if Crossed of the
// other.
func (s Service) Address(b *Backend) netip.Addr {
	if s.VIP.Is6() != s.Crossed {
		return b.Addr.V6
	}
	return b.Addr.V4
}

// Weight returns the weight of backend i, counted from 0.
func (s Service) Weight(i int) int {
	if i < len(s.Weights) {
		return s.Weights[i]
	}
	return 1
}

// quote returns addresses or prefixes as elements of a TOML array.
func quote[T fmt.Stringer](list []T) string {
	var quoted []string
	for _, a := range list {
		quoted = append(quoted, `"`+a.String()+`"`)
	}
	return strings.Join(quoted, ", ")
}
