// load puts calls of Pion participants on a server and measures the server's CPU per delivered packet from /proc.
// It drives any rtcd-compatible server:
//
//	load -api http://127.0.0.1:8045 -pids 123,456 -calls 1 -people 50 -voices 2 -seconds 10
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	interop "sluice.test/interop"
)

type result struct {
	Calls, People, Voices, Seconds int
	Delivered, Expected            int64
	Lost, Late                     int64
	CPUMicrosPerPacket             []float64 // one per second window
	CPUMicrosPerPacketMedian       float64
	KiBPerSession                  int64
	JoinSeconds                    float64
	LatencyP50Micros               int64
	LatencyP99Micros               int64
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

func main() {
	api := flag.String("api", "", "server's API URL")
	pidList := flag.String("pids", "", "comma list of the server's processes")
	calls := flag.Int("calls", 1, "calls")
	people := flag.Int("people", 50, "participants of each call")
	voices := flag.Int("voices", 2, "unmuted participants of each call")
	seconds := flag.Int("seconds", 10, "how long to measure")
	cm := flag.Bool("cm", false, "participants that only know AES128_CM_SHA1_80")
	flag.Parse()
	var o interop.Options
	if *cm {
		o.Profile = dtls.SRTP_AES128_CM_HMAC_SHA1_80
	}
	pids := interop.PIDs(*pidList)
	p, err := interop.NewPlugin(*api)
	if err != nil {
		fail(err)
	}
	before := interop.Resident(pids)
	begin := time.Now()
	all := make([][]*interop.Peer, *calls)
	for c := range all {
		id := interop.NewID()
		for range *people {
			peer, err := p.Join(id, o)
			if err != nil {
				fail(err)
			}
			if err := peer.WaitReady(30 * time.Second); err != nil {
				fail(err)
			}
			all[c] = append(all[c], peer)
		}
	}
	joined := time.Since(begin)
	for _, call := range all {
		for _, s := range call[:*voices] {
			if err := s.Unmute(); err != nil {
				fail(err)
			}
		}
	}
	for _, call := range all {
		for _, l := range call {
			for _, s := range call[:*voices] {
				if l != s {
					if err := l.WaitHears(s, 1, 60*time.Second); err != nil {
						fail(err)
					}
				}
			}
		}
	}
	r := measure(all, *voices, *seconds, pids)
	r.Calls, r.People, r.Voices, r.Seconds, r.JoinSeconds = *calls, *people, *voices, *seconds, joined.Seconds()
	r.KiBPerSession = (interop.Resident(pids) - before) / int64(*calls**people)
	_ = json.NewEncoder(os.Stdout).Encode(r)
	var wg sync.WaitGroup
	for _, call := range all {
		for _, peer := range call {
			wg.Add(1)
			go func() { defer wg.Done(); peer.Close() }()
		}
	}
	wg.Wait()
}

func totals(all [][]*interop.Peer, voices int) (delivered, lost, late, expected int64, latency []int64) {
	for _, call := range all {
		for _, s := range call[:voices] {
			expected += s.Sent() * int64(len(call)-1)
			for _, l := range call {
				if l == s {
					continue
				}
				r := l.Heard(s.SessionID)
				delivered += r.Packets.Load()
				lost += r.Gaps.Load()
				late += r.Late.Load()
				latency = append(latency, r.Latency[:]...)
			}
		}
	}
	return
}

func measure(all [][]*interop.Peer, voices, seconds int, pids []int) (r result) {
	d0, l0, t0, e0, _ := totals(all, voices)
	dPrev, cPrev := d0, interop.CPU(pids)
	for i := range seconds {
		time.Sleep(time.Second)
		d, _, _, _, _ := totals(all, voices)
		c := interop.CPU(pids)
		if d > dPrev {
			v := float64((c - cPrev).Microseconds()) / float64(d-dPrev)
			r.CPUMicrosPerPacket = append(r.CPUMicrosPerPacket, v)
			fmt.Fprintf(os.Stderr, "%3d s  %7d packets/s delivered  %6.2f us CPU per packet\n", i+1, d-dPrev, v)
		}
		dPrev, cPrev = d, c
	}
	d1, l1, t1, e1, latency := totals(all, voices)
	r.Delivered, r.Lost, r.Late, r.Expected = d1-d0, l1-l0, t1-t0, e1-e0
	sorted := slices.Clone(r.CPUMicrosPerPacket)
	slices.Sort(sorted)
	if n := len(sorted); n > 0 {
		r.CPUMicrosPerPacketMedian = sorted[n/2]
	}
	latency = slices.DeleteFunc(latency, func(v int64) bool { return v <= 0 })
	slices.Sort(latency)
	if n := len(latency); n > 0 {
		r.LatencyP50Micros, r.LatencyP99Micros = latency[n/2]/1000, latency[n*99/100]/1000
	}
	return
}
