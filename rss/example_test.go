package rss_test

import (
	"fmt"
	"log"

	"appliance/rss"
)

// NAT sends a flow of bucket 1234 from 192.0.2.9 to the backend 10.0.0.7:80. It
// wants a source port for which the backend's answers, 10.0.0.7:80 to
// 192.0.2.9, fall into bucket 1234 as well.
func ExamplePorts() {
	const buckets, bucket = 4096, 1234
	h := rss.NewHasher(rss.MicrosoftKey)
	ports, err := rss.NewPorts(h, false, buckets)
	if err != nil {
		log.Fatal(err)
	}
	const answer = 0x0a000007_c0000209 // 10.0.0.7, 192.0.2.9
	const from80 = 80 << 16            // source port 80, destination port 0
	want := h.IPv4(answer, from80) ^ bucket
	for i := range 3 {
		port := ports.Candidate(want, i)
		fmt.Println(port, h.IPv4(answer, from80|uint32(port))%buckets)
	}
	fmt.Println("one of", ports.Len())
	// Output:
	// 10768 1234
	// 7160 1234
	// 39700 1234
	// one of 16
}
