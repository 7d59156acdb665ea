package interop

import (
	"sync"
	"time"

	"github.com/mattermost/rtcd/service/rtc/dc"
)

// Pings are round trips over an ordered data channel: the n-th pong answers the n-th ping.
type Pings struct {
	mut     sync.Mutex
	waiting []time.Time
	took    []time.Duration
}

// Ping sends one and notes the time.
func (peer *Peer) Ping() {
	peer.Pings.mut.Lock()
	peer.Pings.waiting = append(peer.Pings.waiting, time.Now())
	peer.Pings.mut.Unlock()
	_ = peer.SendChannel(dc.MessageTypePing, nil)
}

func (p *Pings) answered() {
	p.mut.Lock()
	defer p.mut.Unlock()
	if len(p.waiting) == 0 {
		return
	}
	p.took = append(p.took, time.Since(p.waiting[0]))
	p.waiting = p.waiting[1:]
}

// Reset forgets the round trips so far; pings under way count from now on.
func (p *Pings) Reset() {
	p.mut.Lock()
	defer p.mut.Unlock()
	p.took = nil
}

// Took returns the round trips since Reset, and the age of each ping that is not answered yet.
func (p *Pings) Took() []time.Duration {
	p.mut.Lock()
	defer p.mut.Unlock()
	all := append([]time.Duration{}, p.took...)
	for _, t := range p.waiting {
		all = append(all, time.Since(t))
	}
	return all
}
