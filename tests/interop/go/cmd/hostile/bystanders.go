package main

import (
	"slices"
	"time"

	interop "sluice.test/interop"
)

// figures of a call that somebody else is to spoil.
type figures struct {
	Sent, Heard, Lost int64
	Loss              float64
	Pings             int
	PingP50Millis     float64
	PingP99Millis     float64
	PingMaxMillis     float64
	ControlWorks      bool // somebody unmutes at the end, by the data channel, and is heard
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func at(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return -1
	}
	return millis(sorted[min(len(sorted)-1, len(sorted)*percent/100)])
}

// Loss counts sequence numbers that did not come, so that packets under way at either end are none.
func (f *figures) media(talkers, all []*interop.Peer, sent, heard, gaps []int64) {
	i := 0
	for k, t := range talkers {
		f.Sent += t.Sent() - sent[k]
		for _, l := range all {
			if l == t {
				continue
			}
			r := l.Heard(t.SessionID)
			f.Heard += r.Packets.Load() - heard[i]
			f.Lost += r.Gaps.Load() - gaps[i]
			i++
		}
	}
	if n := f.Heard + f.Lost; n > 0 {
		f.Loss = float64(f.Lost) / float64(n)
	} else {
		f.Loss = 1
	}
	// Silence at the end has no later packet that would show it.
	if expected := f.Sent * int64(len(all)-1); f.Heard+f.Lost < expected*9/10 {
		f.Loss = 1 - float64(f.Heard)/float64(expected)
		f.Lost = expected - f.Heard
	}
}

// bystanders are a call of -people, two of whom talk; each pings over its data channel ten times a second.
func bystanders(args []string, o common) (any, error) {
	v := flags(args, map[string]int{"people": 10})
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	a, b, err := r.pair()
	if err != nil {
		return nil, err
	}
	talkers := []*interop.Peer{a, b}
	if err = b.Unmute(); err != nil {
		return nil, err
	}
	for len(r.all) < v["people"] {
		if _, err = r.join(); err != nil {
			return nil, err
		}
	}
	for _, l := range r.all[2:] {
		for _, t := range talkers {
			if err = l.WaitHears(t, 5, 10*time.Second); err != nil {
				return nil, err
			}
		}
	}
	if err = a.WaitHears(b, 5, 10*time.Second); err != nil {
		return nil, err
	}
	ready()
	var sent, heard, gaps []int64
	for _, t := range talkers {
		sent = append(sent, t.Sent())
		for _, l := range r.all {
			if l != t {
				heard = append(heard, l.Heard(t.SessionID).Packets.Load())
				gaps = append(gaps, l.Heard(t.SessionID).Gaps.Load())
			}
		}
	}
	for _, p := range r.all {
		p.Pings.Reset()
	}
	for end := time.Now().Add(o.time); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, p := range r.all {
			p.Ping()
		}
	}
	var f figures
	f.media(talkers, r.all, sent, heard, gaps)
	var took []time.Duration
	for _, p := range r.all {
		took = append(took, p.Pings.Took()...)
	}
	slices.Sort(took)
	f.Pings, f.PingP50Millis, f.PingP99Millis, f.PingMaxMillis = len(took), at(took, 50), at(took, 99), at(took, 100)
	f.ControlWorks = unmutes(r)
	return f, nil
}

// unmutes tells whether one more participant can be heard.
func unmutes(r *room) bool {
	last := r.all[len(r.all)-1]
	done := make(chan error, 1)
	go func() { done <- last.Unmute() }()
	select {
	case err := <-done:
		return err == nil && r.all[0].WaitHears(last, 5, 5*time.Second) == nil
	case <-time.After(10 * time.Second):
		return false
	}
}

// victim is a pair; `ready` tells the talker's address, the server's port and the STUN user name of its checks.
func victim(args []string, o common) (any, error) {
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	a, b, err := r.pair()
	if err != nil {
		return nil, err
	}
	pair, err := a.PC.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		return nil, err
	}
	ready(pair.Local.Address, pair.Local.Port, pair.Remote.Port,
		ufrag(a.PC.RemoteDescription().SDP)+":"+ufrag(a.PC.LocalDescription().SDP))
	sent, heard := []int64{a.Sent()}, []int64{b.Heard(a.SessionID).Packets.Load()}
	gaps := []int64{b.Heard(a.SessionID).Gaps.Load()}
	a.Pings.Reset()
	time.Sleep(o.time)
	var f figures
	f.media([]*interop.Peer{a}, []*interop.Peer{a, b}, sent, heard, gaps)
	took := a.Pings.Took()
	slices.Sort(took)
	f.Pings, f.PingP50Millis, f.PingP99Millis, f.PingMaxMillis = len(took), at(took, 50), at(took, 99), at(took, 100)
	f.ControlWorks = a.PC.ConnectionState().String() == "connected" && unmutes(r)
	return f, nil
}
