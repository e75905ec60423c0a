package node

import "github.com/prometheus/client_golang/prometheus"

// metric is one exported value's description. All are read off one Status, so
// that a scrape is consistent and costs the engines one call each.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("appliance_"+name, help, labels, nil)
}

var (
	upDesc       = metric("up", "1 while all engines answer.")
	infoDesc     = metric("info", "Version and identity.", "version", "node")
	snapshotDesc = metric("snapshots_total", "Snapshots published to the engines.")
	reloadDesc   = metric("last_reload_failed", "1 if the last reload was refused and an older configuration is in force.")
	deniedDesc   = metric("denied_prefixes", "Prefixes that virtual IP addresses get nothing from.")
	framesDesc   = metric("frames", "Frames of the packet memory, by place; none while an engine is stuck.", "place")

	engineUp        = metric("engine_up", "1 while the engine answers; one that doesn't has no other numbers.", "engine")
	enginePasses    = metric("engine_passes_total", "Turns of the packet loop.", "engine")
	engineIdle      = metric("engine_idle_passes_total", "Turns of the packet loop without a packet.", "engine")
	engineSleeps    = metric("engine_sleeps_total", "Waits of the idle packet loop.", "engine")
	engineLongest   = metric("engine_longest_pass_seconds", "Longest turn of the packet loop.", "engine")
	engineRx        = metric("engine_rx_packets_total", "Packets received from ports.", "engine")
	engineRxBytes   = metric("engine_rx_bytes_total", "Bytes received from ports.", "engine")
	engineTx        = metric("engine_tx_packets_total", "Packets given to ports for transmission.", "engine")
	engineTxBytes   = metric("engine_tx_bytes_total", "Bytes given to ports for transmission.", "engine")
	engineOwned     = metric("engine_owned_packets_total", "Packets of flows that this engine owns.", "engine")
	engineHandedOff = metric("engine_handed_off_packets_total", "Packets handed to the engine that owns them.", "engine")
	engineTakenOver = metric("engine_taken_over_packets_total", "Packets that other engines handed over.", "engine")
	engineHeld      = metric("engine_held_packets", "Fragments that wait for their datagram's first one.", "engine")
	enginePings     = metric("engine_pings_total", "Echo requests answered.", "engine")
	engineErrors    = metric("engine_icmp_errors_total", "ICMP errors about flows passed on to the end that they are for.", "engine")
	engineFlows     = metric("engine_flows", "Flows in the table.", "engine")
	engineCapacity  = metric("engine_flow_capacity", "Flows that the table has room for.", "engine")
	engineEvicted   = metric("engine_evicted_flows_total", "Flows, half-open or closed, that gave way to new ones.", "engine")
	engineUnlisted  = metric("engine_unlisted_flows_total", "Packets in modes other than nat without a record, for want of room or over the limits of new flows.", "engine")
	engineDropped   = metric("engine_dropped_packets_total", "Packets dropped, by reason.", "engine", "reason")
	engineAnswered  = metric("engine_answered_packets_total", "Packets refused by a reset or an ICMP error, by reason.", "engine", "reason")

	ifaceUp       = metric("interface_up", "1 while the interface is up and served.", "interface")
	ifaceRSS      = metric("interface_hardware_rss", "1 while the network card brings every packet with ports to its engine.", "interface")
	ifacePassed   = metric("interface_passed_packets_total", "Packets that the XDP program left to the kernel.", "interface")
	ifaceRedirect = metric("interface_redirected_packets_total", "Packets that the XDP program gave to a socket.", "interface")
	ifaceNoSocket = metric("interface_no_socket_packets_total", "Packets for us on a queue without a socket, dropped.", "interface")
	ifaceDenied   = metric("interface_denied_packets_total", "Packets to a VIP from a denied source, dropped.", "interface")

	portRx       = metric("port_rx_packets_total", "Packets received.", "interface", "queue")
	portRxBytes  = metric("port_rx_bytes_total", "Bytes received.", "interface", "queue")
	portTx       = metric("port_tx_packets_total", "Packets taken for transmission.", "interface", "queue")
	portTxBytes  = metric("port_tx_bytes_total", "Bytes taken for transmission.", "interface", "queue")
	portTxErrors = metric("port_tx_errors_total", "Packets that the kernel refused to send.", "interface", "queue")
	portRetries  = metric("port_tx_retries_total", "Wake-up calls that the kernel put off.", "interface", "queue")
	portInvalid  = metric("port_invalid_descriptors_total", "Ring entries that made no sense, by who found them.", "interface", "queue", "by")
	portRxLost   = metric("port_rx_lost_packets_total", "Packets lost before the engine saw them, by place.", "interface", "queue", "place")
	portKicks    = metric("port_kicks_total", "Wake-up system calls.", "interface", "queue")

	serviceLabels   = []string{"vserver"}
	servicePackets  = metric("vserver_packets_total", "Packets of the virtual server, both directions where they pass here.", serviceLabels...)
	serviceBytes    = metric("vserver_bytes_total", "Bytes of the virtual server.", serviceLabels...)
	serviceNewFlows = metric("vserver_new_flows_total", "Flows opened.", serviceLabels...)
	serviceFlows    = metric("vserver_flows", "Flows with a record, those that closed a minute ago among them.", serviceLabels...)
	serviceOpen     = metric("vserver_open_flows", "Flows that are not closed yet.", serviceLabels...)
	serviceLimit    = metric("vserver_max_flows", "Limit of open flows; 0: none.", serviceLabels...)

	serviceUp       = metric("vserver_up", "1 while min_healthy backends, or more, take new flows.", serviceLabels...)
	serviceMin      = metric("vserver_min_healthy", "Backends that should take new flows.", serviceLabels...)
	serviceEligible = metric("vserver_eligible_backends", "Backends that new flows go to.", serviceLabels...)

	backendLabels   = []string{"vserver", "backend"}
	backendUp       = metric("backend_up", "1 while health checks succeed.", backendLabels...)
	backendWeight   = metric("backend_weight", "Configured weight; 0 drains.", backendLabels...)
	backendRamp     = metric("backend_ramp_ratio", "Part of the weight that a slow start has come to; 0 while down.", backendLabels...)
	backendPackets  = metric("backend_packets_total", "Packets to and from the backend that pass here.", backendLabels...)
	backendBytes    = metric("backend_bytes_total", "Bytes to and from the backend that pass here.", backendLabels...)
	backendNewFlows = metric("backend_new_flows_total", "Flows given to the backend.", backendLabels...)
	backendFlows    = metric("backend_flows", "Flows of the backend with a record, those that closed a minute ago among them.", backendLabels...)
	backendOpen     = metric("backend_open_flows", "Flows of the backend that are not closed yet.", backendLabels...)
	backendLimit    = metric("backend_max_flows", "Limit of the backend's open flows; 0: none.", backendLabels...)
)
