package peers

import (
	"fmt"
	"os/exec"

	"appliance/bench/rig"
)

// testpmd is DPDK's forwarder on two AF_XDP devices.
type testpmd struct{ *process }

// testpmdArgs: one forwarding core on NodeCPU, no huge pages (the test machines
// need not have any), the main thread on the generator's processor, where it
// sleeps. mac mode rewrites the Ethernet addresses as the bare loop does. Busy
// polling, the driver's default, is off: veth was not faster with it.
func testpmdArgs() []string {
	device := func(i int, name string) string {
		return fmt.Sprintf("net_af_xdp%d,iface=%s,start_queue=0,queue_count=1,busy_budget=0", i, name)
	}
	return []string{
		"--lcores", fmt.Sprintf("0@%d,1@%d", GeneratorCPU, NodeCPU),
		"--no-pci", "--no-huge", "-m", "512", "--no-shconf", "--no-telemetry",
		"--vdev", device(0, rig.CliIf),
		"--vdev", device(1, rig.SrvIf),
		"--",
		"--forward-mode=mac", "--auto-start", "--nb-cores=1",
		"--eth-peer=0," + mac(rig.GenMAC), "--eth-peer=1," + mac(rig.SinkMAC),
		fmt.Sprintf("--rxd=%d", Rings), fmt.Sprintf("--txd=%d", Rings), fmt.Sprintf("--burst=%d", Batch),
		"--total-num-mbufs=32768", "--no-lsc-interrupt", "--no-rmv-interrupt",
	}
}

func startTestpmd(r *rig.Rig) (Running, error) {
	path, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		return nil, fmt.Errorf("dpdk-testpmd %w (apt-get install dpdk-dev librte-net-af-xdp23): %w", ErrAbsent, err)
	}
	// Into a pipe testpmd would print nothing before it ends.
	cmd := exec.Command("stdbuf", append([]string{"-oL", path}, testpmdArgs()...)...)
	p, err := startProcess(r.Node, cmd, "Press enter to exit")
	if err != nil { // the AF_XDP driver is a package of its own, for one
		return nil, fmt.Errorf("dpdk-testpmd %w: %w", ErrAbsent, err)
	}
	return &testpmd{p}, nil
}

// Stop ends testpmd. Its counters are of its own life and say nothing that the
// rig's don't.
func (t *testpmd) Stop() (Report, error) { return Report{}, t.end() }

func mac(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
