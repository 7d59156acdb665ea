// network shows a simulcast screen to one viewer over links that lose, delay and limit, and writes what the viewer saw and
// what the server thought of the link, JSON a scenario. tests/perf/network/run starts the server and draws it.
//
//	network -api http://127.0.0.1:8045 -media 8443 -out build/network
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	interop "sluice.test/interop"
)

type phase struct {
	At   float64 // seconds
	Down interop.Impairment
}

type scenario struct {
	Name    string
	Text    string
	Seconds float64
	Phases  []phase
	LinkBPS int     // what the estimate is compared with; 0: not
	From    float64 // since when the link is that narrow
}

// Sample is the state at one time.
type Sample struct {
	T           float64 `json:"t"`
	EstimateBPS float64 `json:"estimate_bps"`
	LinkBPS     int     `json:"link_bps"`
	Layer       *int    `json:"layer"`
	SentBPS     float64 `json:"sent_bps"`
	FPS         int     `json:"fps"`
	QueueMS     float64 `json:"queue_ms"` // largest since the last sample
}

// Result is what a scenario gave.
type Result struct {
	Name            string   `json:"name"`
	Text            string   `json:"text"`
	Seconds         float64  `json:"seconds"`
	Frames          int      `json:"frames"`
	Decoded         int      `json:"decoded"`
	DecoderErrors   string   `json:"decoder_errors"`
	Freezes         int      `json:"freezes"`
	FrozenMS        int64    `json:"frozen_ms"`
	LongestMS       int64    `json:"longest_ms"`
	Switches        int      `json:"switches"`
	Nacked          int      `json:"nacked"`
	Resent          int      `json:"resent"`
	KeyRequests     int      `json:"key_requests"`
	LostPackets     int      `json:"lost_packets"`
	Packets         int      `json:"packets"`
	VoiceLost       int64    `json:"voice_lost"`
	VoicePackets    int64    `json:"voice_packets"`
	ConvergedS      *float64 `json:"converged_s"`
	QueueP95MS      float64  `json:"queue_p95_ms"`
	QueueMaxMS      float64  `json:"queue_max_ms"`
	QueueLateP95MS  float64  `json:"queue_settled_p95_ms"` // from 5 s after the narrowing on
	HighLayerSecond *float64 `json:"high_layer_s"`
	Samples         []Sample `json:"samples"`
}

type media struct {
	EstimateBPS float64 `json:"estimate_bps"`
	Video       []struct {
		Layer       *int
		SentBPS     float64 `json:"sent_bps"`
		Switches    int
		Nacked      int
		Resent      int
		KeyRequests int `json:"key_requests"`
	}
}

const ms = time.Millisecond

func scenarios() []scenario {
	trip := interop.Impairment{Delay: 20 * ms}
	with := func(f func(*interop.Impairment)) interop.Impairment { i := trip; f(&i); return i }
	loss := func(p float64) []phase { return []phase{{0, with(func(i *interop.Impairment) { i.Loss = p })}} }
	rate := func(bps int) interop.Impairment { return with(func(i *interop.Impairment) { i.BPS = bps }) }
	return []scenario{
		{Name: "fast", Text: "fast link", Seconds: 15, Phases: []phase{{0, trip}}},
		{Name: "loss1", Text: "1 % random loss", Seconds: 20, Phases: loss(0.01)},
		{Name: "loss5", Text: "5 % random loss", Seconds: 20, Phases: loss(0.05)},
		{Name: "loss10", Text: "10 % random loss", Seconds: 20, Phases: loss(0.10)},
		{Name: "bursts", Text: "50 ms without a packet every 2 s", Seconds: 20,
			Phases: []phase{{0, with(func(i *interop.Impairment) { i.Burst, i.Every = 50*ms, 2*time.Second })}}},
		{Name: "narrow", Text: "600 kbit/s bottleneck", Seconds: 30, Phases: []phase{{0, rate(600000)}}, LinkBPS: 600000},
		{Name: "step", Text: "3 Mbit/s, 400 kbit/s from 15 s, 3 Mbit/s from 30 s", Seconds: 60,
			Phases: []phase{{0, rate(3000000)}, {15, rate(400000)}, {30, rate(3000000)}}, LinkBPS: 400000, From: 15},
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "network:", err)
	os.Exit(1)
}

func main() {
	api := flag.String("api", "", "server's API URL")
	port := flag.Int("media", 0, "server's UDP port on 127.0.0.1")
	out := flag.String("out", "build/network", "folder of the results")
	only := flag.String("only", "", "scenarios whose names match this")
	seed := flag.Int64("seed", 1, "of the relay")
	flag.Parse()
	low, err := interop.MakeClip("VP8", 5, 200, 8)
	if err != nil {
		fail(err)
	}
	high, err := interop.MakeClip("VP8", 20, 1500, 8)
	if err != nil {
		fail(err)
	}
	layers := []interop.Encoding{{RID: "l", Clip: low}, {RID: "h", Clip: high}}
	narrowed := regexp.MustCompile(*only)
	for _, s := range scenarios() {
		if !narrowed.MatchString(s.Name) {
			continue
		}
		r, passed, err := run(s, *api, *port, *seed, layers)
		if err != nil {
			fail(fmt.Errorf("%s: %w", s.Name, err))
		}
		raw, _ := json.MarshalIndent(r, "", " ")
		if err := os.WriteFile(filepath.Join(*out, s.Name+".json"), raw, 0o644); err != nil {
			fail(err)
		}
		if err := trace(filepath.Join(*out, s.Name+".trace"), s, *seed, passed); err != nil {
			fail(err)
		}
		fmt.Fprintf(os.Stderr, "%-7s %d frames, %d decoded, frozen %d ms, %d switches, queue p95 %.0f ms\n", s.Name, r.Frames, r.Decoded,
			r.FrozenMS, r.Switches, r.QueueP95MS)
	}
}

// trace writes what happened to packets as tests/unit/lib/rtc/send/gcctrace_test.c reads it.
func trace(file string, s scenario, seed int64, passed []interop.Passed) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "# Recorded by make bench-network: %s, seed %d.\n", s.Text, seed)
	for _, p := range passed {
		if p.Out == 0 {
			fmt.Fprintf(f, "%d %d lost\n", p.In.Microseconds(), p.Bytes)
		} else {
			fmt.Fprintf(f, "%d %d %d\n", p.In.Microseconds(), p.Bytes, p.Out.Microseconds())
		}
	}
	return f.Close()
}

func served(api string, plugin *interop.Plugin, viewer *interop.Peer) (m media, err error) {
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/calls/%s/sessions/%s/media", api, viewer.CallID, viewer.SessionID), nil)
	if err != nil {
		return m, err
	}
	req.SetBasicAuth(plugin.ID, plugin.Key)
	resp, err := (&http.Client{Timeout: 2 * time.Second}).Do(req)
	if err != nil {
		return m, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return m, fmt.Errorf("media: %s", resp.Status)
	}
	return m, json.NewDecoder(resp.Body).Decode(&m)
}

func run(s scenario, api string, port int, seed int64, layers []interop.Encoding) (*Result, []interop.Passed, error) {
	plugin, err := interop.NewPlugin(api)
	if err != nil {
		return nil, nil, err
	}
	defer plugin.Client.Close()
	relay, err := interop.NewRelay(port, seed)
	if err != nil {
		return nil, nil, err
	}
	defer relay.Close()
	call := interop.NewID()
	var peers []*interop.Peer
	for _, o := range []interop.Options{{}, {Relay: relay}} {
		p, err := plugin.Join(call, o)
		if err != nil {
			return nil, nil, err
		}
		defer p.Close()
		if err := p.WaitReady(10 * time.Second); err != nil {
			return nil, nil, err
		}
		peers = append(peers, p)
	}
	presenter, viewer := peers[0], peers[1]
	if err := presenter.Unmute(); err != nil {
		return nil, nil, err
	}
	if err := viewer.WaitHears(presenter, 10, 10*time.Second); err != nil {
		return nil, nil, err
	}
	relay.Set(interop.Impairment{Delay: s.Phases[0].Down.Delay}, s.Phases[0].Down)
	shown, err := presenter.Share(layers...)
	if err != nil {
		return nil, nil, err
	}
	defer shown.Stop()
	seen, err := viewer.WaitSees("screen", presenter, 1, 20*time.Second)
	if err != nil {
		return nil, nil, err
	}
	w := watch{s: s, relay: relay, seen: seen, begin: time.Now(), r: &Result{Name: s.Name, Text: s.Text, Seconds: s.Seconds},
		ask: func() (media, error) { return served(api, plugin, viewer) }}
	heard := viewer.Heard(presenter.SessionID)
	packets, gaps := heard.Packets.Load(), heard.Gaps.Load()
	if err := w.sample(); err != nil {
		return nil, nil, err
	}
	w.r.VoicePackets, w.r.VoiceLost = heard.Packets.Load()-packets, heard.Gaps.Load()-gaps
	return w.r, w.passed(), w.judge()
}
