// churn takes sessions through their whole life, in small calls that talk: join, hear, leave; and every third
// goes without a word. Prints JSON with the server's memory at half time and at the end.
//
//	churn -api http://127.0.0.1:8045 -pids 123,456 -sessions 500
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	interop "sluice.test/interop"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, "churn:", err)
	os.Exit(1)
}

func round(p *interop.Plugin, people int) {
	id := interop.NewID()
	var peers []*interop.Peer
	for i := range people {
		peer, err := p.Join(id, interop.Options{DCSignaling: i%2 == 0, SendLevels: true})
		if err != nil {
			fail(err)
		}
		peers = append(peers, peer)
	}
	for _, peer := range peers {
		if err := peer.WaitReady(30 * time.Second); err != nil {
			fail(err)
		}
	}
	for _, s := range peers[:2] {
		if err := s.Unmute(); err != nil {
			fail(err)
		}
	}
	for _, l := range peers[1:] {
		if err := l.WaitHears(peers[0], 10, 20*time.Second); err != nil {
			fail(err)
		}
	}
	for i, peer := range peers {
		if i%3 == 2 { // gone without a leave: only the connection ends
			_ = peer.PC.Close()
		}
		peer.Close()
	}
}

func main() {
	api := flag.String("api", "", "server's API URL")
	pidList := flag.String("pids", "", "comma list of the server's processes")
	sessions := flag.Int("sessions", 500, "sessions in all")
	people := flag.Int("people", 10, "participants of each call")
	flag.Parse()
	pids := interop.PIDs(*pidList)
	p, err := interop.NewPlugin(*api)
	if err != nil {
		fail(err)
	}
	rounds := *sessions / *people
	var half int64
	for i := range rounds {
		round(p, *people)
		if i == rounds/2 {
			half = interop.Resident(pids)
		}
		fmt.Fprintf(os.Stderr, "# %d of %d sessions, %d KiB resident\n", (i+1)**people, *sessions, interop.Resident(pids))
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]int64{"sessions": int64(rounds * *people),
		"half_kib": half, "end_kib": interop.Resident(pids)})
}
