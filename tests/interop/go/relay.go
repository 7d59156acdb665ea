package interop

import (
	"fmt"
	"math/rand"
	"net"
	"regexp"
	"slices"
	"sort"
	"sync"
	"time"
)

// Impairment of one direction of a Relay; the zero value passes everything at once.
type Impairment struct {
	Loss    float64       // of each packet by itself, 0 to 1
	Burst   time.Duration // every BurstEvery nothing passes for so long
	Every   time.Duration
	Delay   time.Duration
	Jitter  time.Duration // more delay, evenly from 0; order is kept
	Reorder float64       // packets that are held back by 10 ms
	BPS     int           // bottleneck, 0: none
	Queue   time.Duration // what waits at most before it, 0: 1 s
	Dead    bool          // nothing passes
}

// Passed is what became of one packet: nanoseconds since the relay began, at its entry and its exit, which is 0 for a
// lost one.
type Passed struct {
	In, Out time.Duration
	Bytes   int
	Queued  time.Duration
}

// Relay stands between one client and a UDP port of the server. Random choices repeat with the seed.
type Relay struct {
	Port int

	server *net.UDPAddr
	front  *net.UDPConn
	back   *net.UDPConn
	mut    sync.Mutex
	client *net.UDPAddr
	begin  time.Time
	up     way
	down   way
	line   *regexp.Regexp
}

type way struct {
	Impairment
	rand     *rand.Rand
	free     time.Time // when the bottleneck has sent what it holds
	last     time.Time
	queue    chan held
	passed   []Passed
	deliver  func([]byte)
	wantsLog bool
}

type held struct {
	at time.Time
	b  []byte
}

const relayOverhead = 28 // IPv4 and UDP headers, which a bottleneck counts too

// NewRelay opens one on a free port of 127.0.0.1 for a server there.
func NewRelay(serverPort int, seed int64) (*Relay, error) {
	loopback := net.IPv4(127, 0, 0, 1)
	r := &Relay{server: &net.UDPAddr{IP: loopback, Port: serverPort}, begin: time.Now()}
	var err error
	if r.front, err = net.ListenUDP("udp4", &net.UDPAddr{IP: loopback}); err != nil {
		return nil, err
	}
	if r.back, err = net.ListenUDP("udp4", &net.UDPAddr{IP: loopback}); err != nil {
		_ = r.front.Close()
		return nil, err
	}
	_ = r.front.SetReadBuffer(1 << 20)
	_ = r.back.SetReadBuffer(1 << 20)
	r.Port = r.front.LocalAddr().(*net.UDPAddr).Port
	r.line = regexp.MustCompile(fmt.Sprintf(`(127\.0\.0\.1) %d typ`, serverPort))
	r.up = way{rand: rand.New(rand.NewSource(seed)), queue: make(chan held, 8192),
		deliver: func(b []byte) { _, _ = r.back.WriteToUDP(b, r.server) }}
	r.down = way{rand: rand.New(rand.NewSource(seed + 1)), queue: make(chan held, 8192), wantsLog: true,
		deliver: func(b []byte) {
			r.mut.Lock()
			to := r.client
			r.mut.Unlock()
			if to != nil {
				_, _ = r.front.WriteToUDP(b, to)
			}
		}}
	go r.read(r.front, &r.up)
	go r.read(r.back, &r.down)
	go r.up.run()
	go r.down.run()
	return r, nil
}

// Candidates puts the relay's port in place of the server's.
func (r *Relay) Candidates(sdp string) string {
	return r.line.ReplaceAllString(sdp, fmt.Sprintf("$1 %d typ", r.Port))
}

// Set changes what happens to packets from now on.
func (r *Relay) Set(up, down Impairment) {
	r.mut.Lock()
	defer r.mut.Unlock()
	r.up.Impairment, r.down.Impairment = up, down
}

// Passed is the log of the direction to the client.
func (r *Relay) Passed() []Passed {
	r.mut.Lock()
	defer r.mut.Unlock()
	return r.down.passed[:len(r.down.passed):len(r.down.passed)]
}

// Begin is the zero of times in the log.
func (r *Relay) Begin() time.Time { return r.begin }

func (r *Relay) Close() {
	_ = r.front.Close()
	_ = r.back.Close()
}

func (r *Relay) read(c *net.UDPConn, w *way) {
	defer close(w.queue)
	b := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDP(b)
		if err != nil {
			return
		}
		now := time.Now()
		r.mut.Lock()
		if w == &r.up {
			r.client = from
		}
		at, passes, queued := w.fate(now, now.Sub(r.begin), n)
		if w.wantsLog {
			p := Passed{In: now.Sub(r.begin), Bytes: n, Queued: queued}
			if passes {
				p.Out = at.Sub(r.begin)
			}
			w.passed = append(w.passed, p)
		}
		r.mut.Unlock()
		if passes {
			select {
			case w.queue <- held{at, append([]byte(nil), b[:n]...)}:
			default:
			}
		}
	}
}

// fate says when a packet leaves, or that it does not.
func (w *way) fate(now time.Time, age time.Duration, n int) (at time.Time, passes bool, queued time.Duration) {
	if w.Dead || w.rand.Float64() < w.Loss || w.Every > 0 && age%w.Every < w.Burst {
		return at, false, 0
	}
	at = now
	if w.BPS > 0 {
		if w.free.After(now) {
			queued = w.free.Sub(now)
		} else {
			w.free = now
		}
		limit := w.Queue
		if limit == 0 {
			limit = time.Second
		}
		if queued > limit {
			return at, false, queued
		}
		w.free = w.free.Add(time.Duration(n+relayOverhead) * 8 * time.Second / time.Duration(w.BPS))
		at = w.free
	}
	at = at.Add(w.Delay)
	if w.Jitter > 0 {
		at = at.Add(time.Duration(w.rand.Int63n(int64(w.Jitter))))
	}
	if w.rand.Float64() < w.Reorder {
		return at.Add(10 * time.Millisecond), true, queued
	}
	if at.Before(w.last) {
		at = w.last
	}
	w.last = at
	return at, true, queued
}

// run delivers packets at their times, in the order of these.
func (w *way) run() {
	var waiting []held
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if len(waiting) > 0 {
			timer.Reset(time.Until(waiting[0].at))
		}
		select {
		case h, open := <-w.queue:
			if !open {
				return
			}
			i := sort.Search(len(waiting), func(i int) bool { return waiting[i].at.After(h.at) })
			waiting = slices.Insert(waiting, i, h)
		case <-timer.C:
		}
		for len(waiting) > 0 && !waiting[0].at.After(time.Now()) {
			w.deliver(waiting[0].b)
			waiting = waiting[1:]
		}
	}
}
