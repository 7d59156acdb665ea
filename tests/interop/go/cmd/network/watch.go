package main

import (
	"math"
	"slices"
	"time"

	interop "sluice.test/interop"
)

const (
	sampleEvery = 250 * ms
	settled     = 5.0 // seconds that a queue may take to drain after a link narrowed
)

type watch struct {
	s     scenario
	relay *interop.Relay
	seen  *interop.Seen
	begin time.Time
	ask   func() (media, error)
	r     *Result
}

// sample drives the relay through the phases and asks the server, until the scenario is over.
func (w *watch) sample() error {
	next, logged := 1, len(w.relay.Passed())
	link := w.s.Phases[0].Down.BPS
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		age := time.Since(w.begin).Seconds()
		if age >= w.s.Seconds {
			return nil
		}
		if next < len(w.s.Phases) && age >= w.s.Phases[next].At {
			p := w.s.Phases[next]
			w.relay.Set(interop.Impairment{Delay: p.Down.Delay}, p.Down)
			link = p.Down.BPS
			next++
		}
		m, err := w.ask()
		if err != nil {
			return err
		}
		s := Sample{T: age, EstimateBPS: m.EstimateBPS, LinkBPS: link, FPS: w.fps()}
		if len(m.Video) > 0 {
			v := m.Video[0]
			s.Layer, s.SentBPS = v.Layer, v.SentBPS
			w.r.Switches, w.r.Nacked, w.r.Resent, w.r.KeyRequests = v.Switches, v.Nacked, v.Resent, v.KeyRequests
		}
		all := w.relay.Passed()
		for _, p := range all[logged:] {
			s.QueueMS = max(s.QueueMS, float64(p.Queued)/1e6)
		}
		logged = len(all)
		w.r.Samples = append(w.r.Samples, s)
		<-t.C
	}
}

func (w *watch) fps() (n int) {
	all := w.seen.Frames()
	for i := len(all) - 1; i >= 0 && time.Since(all[i].At) < time.Second; i-- {
		n++
	}
	return
}

// passed is the relay's log of the time that was watched.
func (w *watch) passed() []interop.Passed {
	from := w.begin.Sub(w.relay.Begin())
	all := w.relay.Passed()
	i, _ := slices.BinarySearchFunc(all, from, func(p interop.Passed, d time.Duration) int { return int(p.In - d) })
	return all[i:]
}

func p95(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)*95/100]
}

// judge fills in what is counted at the end.
func (w *watch) judge() error {
	r := w.r
	end := w.begin.Add(time.Duration(w.s.Seconds * 1e9))
	n, total, longest := w.seen.Freezes(w.begin, end)
	r.Freezes, r.FrozenMS, r.LongestMS = n, total.Milliseconds(), longest.Milliseconds()
	frames := w.seen.Frames()
	r.Frames = len(frames)
	var err error
	if r.DecoderErrors, r.Decoded, err = interop.DecodeErrors(w.seen.FourCC, frames); err != nil {
		return err
	}
	from := w.begin.Sub(w.relay.Begin())
	var all, late []float64
	for _, p := range w.passed() {
		r.Packets++
		if p.Out == 0 {
			r.LostPackets++
		}
		q := float64(p.Queued) / 1e6
		all = append(all, q)
		r.QueueMaxMS = max(r.QueueMaxMS, q)
		if (p.In - from).Seconds() > w.s.From+settled {
			late = append(late, q)
		}
	}
	r.QueueP95MS, r.QueueLateP95MS = p95(all), p95(late)
	for _, s := range r.Samples {
		if r.HighLayerSecond == nil && s.Layer != nil && *s.Layer == 1 {
			r.HighLayerSecond = &s.T
		}
		near := math.Abs(s.EstimateBPS-float64(w.s.LinkBPS)) <= 0.2*float64(w.s.LinkBPS)
		if w.s.LinkBPS > 0 && r.ConvergedS == nil && s.T >= w.s.From && s.LinkBPS == w.s.LinkBPS && near {
			d := s.T - w.s.From
			r.ConvergedS = &d
		}
	}
	return nil
}
