package main

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/vmihailenco/msgpack/v5"
	interop "sluice.test/interop"
)

func ufrag(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// sdpMessage is JSON as the data channel carries descriptions: deflated, in msgpack.
func sdpMessage(json string) []byte {
	var zipped, b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&zipped, 9)
	_, _ = w.Write([]byte(json))
	_ = w.Close()
	b.WriteByte(3)
	_ = msgpack.NewEncoder(&b).EncodeBytes(zipped.Bytes())
	return b.Bytes()
}

// What a small message can ask of who parses it: 128 KiB of the smallest objects with a key.
func keysMessage() []byte {
	const room = 128*1024 - 128
	return sdpMessage(`{"type":"answer","x":[` + strings.Repeat(`{"":1},`, room/7) + `{}],"sdp":"v=0"}`)
}

// keys are -n participants who each send -rate such messages a second.
func keys(args []string, o common) (any, error) {
	v := flags(args, map[string]int{"n": 3, "rate": 60})
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for range v["n"] {
		if _, err = r.join(); err != nil {
			return nil, err
		}
	}
	message := keysMessage()
	ready(len(message))
	var wg sync.WaitGroup
	for _, p := range r.all {
		wg.Add(1)
		go func() {
			defer wg.Done()
			t := time.NewTicker(time.Second / time.Duration(v["rate"]))
			defer t.Stop()
			for end := time.Now().Add(o.time); time.Now().Before(end); <-t.C {
				_ = p.SendRaw(message)
			}
		}()
	}
	wg.Wait()
	return map[string]int{"Bytes": len(message)}, nil
}

// voices adds n microphones to a peer in one negotiation, pps packets a second on each.
func voices(p *interop.Peer, n, pps, size int) error {
	tracks, err := p.AddVoices(n)
	if err != nil || pps == 0 {
		return err
	}
	go func() {
		next := time.Now()
		for seq := uint16(1); ; seq++ {
			for _, t := range tracks {
				packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(seq) * 960},
					Payload: make([]byte, size)}
				packet.Payload[0] = 0x78
				if t.WriteRTP(&packet) != nil {
					return
				}
			}
			next = next.Add(time.Second / time.Duration(pps))
			time.Sleep(time.Until(next))
		}
	}()
	return nil
}

// toggled is an offer of the same state with everything that is sent taken back.
func toggled(sdp string) string {
	return strings.NewReplacer("a=sendonly", "a=inactive", "a=sendrecv", "a=recvonly").Replace(sdp)
}

// toggle are -n participants with -k microphones each, offered and taken back in turn by their offers: each time every
// receiver gets new streams. Afterwards newcomers should be heard by those who were there.
func toggle(args []string, o common) (any, error) {
	v := flags(args, map[string]int{"n": 3, "k": 15, "every": 210})
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	a, b, err := r.pair()
	if err != nil {
		return nil, err
	}
	var hostile []*interop.Peer
	for range v["n"] {
		p, err := r.join()
		if err != nil {
			return nil, err
		}
		if err = voices(p, v["k"], 10, 20); err != nil {
			return nil, err
		}
		hostile = append(hostile, p)
	}
	ready()
	for n, end := 0, time.Now().Add(o.time); time.Now().Before(end); n++ {
		for _, p := range hostile {
			offer, err := p.PC.CreateOffer(nil)
			if err != nil {
				continue
			}
			sdp := offer.SDP
			if n%2 == 0 {
				sdp = toggled(sdp)
			}
			_ = p.SendOfferText(sdp)
		}
		time.Sleep(time.Duration(v["every"]) * time.Millisecond)
	}
	offers := b.Offers()
	for _, p := range hostile {
		p.Close()
	}
	time.Sleep(1500 * time.Millisecond)
	c, err := r.join()
	if err != nil {
		return nil, err
	}
	if err = c.Unmute(); err != nil {
		return nil, err
	}
	return map[string]any{"Offers": offers, "NewcomerHeard": b.WaitHears(c, 5, 4*time.Second) == nil,
		"StillHeard": b.WaitHears(a, 5, 2*time.Second) == nil}, nil
}

// lines are -n participants with -k microphones each; then somebody new talks.
func lines(args []string, o common) (any, error) {
	v := flags(args, map[string]int{"n": 9, "k": 15})
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	a, b, err := r.pair()
	if err != nil {
		return nil, err
	}
	for range v["n"] {
		p, err := r.join()
		if err != nil {
			return nil, err
		}
		if err = voices(p, v["k"], 5, 20); err != nil {
			return nil, err
		}
	}
	ready()
	time.Sleep(3 * time.Second)
	c, err := r.join()
	if err != nil {
		return nil, err
	}
	if err = c.Unmute(); err != nil {
		return nil, err
	}
	return map[string]any{"Offers": b.Offers(), "NewcomerHeard": b.WaitHears(c, 5, o.time) == nil,
		"StillHeard": b.WaitHears(a, 5, 2*time.Second) == nil}, nil
}

// flood is a voice of -pps packets a second before -n listeners.
func flood(args []string, o common) (any, error) {
	v := flags(args, map[string]int{"n": 40, "pps": 5000})
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for range v["n"] + 1 {
		if _, err = r.join(); err != nil {
			return nil, err
		}
	}
	if err = voices(r.all[0], 1, v["pps"], 20); err != nil {
		return nil, err
	}
	if err = r.all[1].WaitHearsAnything(5 * time.Second); err != nil {
		return nil, err
	}
	ready()
	before := r.all[1].HeardInAll()
	time.Sleep(o.time)
	return map[string]any{"ListenerPerSecond": float64(r.all[1].HeardInAll()-before) / o.time.Seconds()}, nil
}

// offerText sends an offer whose answer would have to repeat 48 KiB, over the data channel.
func offerText(args []string, o common) (any, error) {
	r, err := newRoom(o.api)
	if err != nil {
		return nil, err
	}
	defer r.close()
	p, err := r.join()
	if err != nil {
		return nil, err
	}
	offer, err := p.PC.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	sdp := offer.SDP
	for i := range 12 {
		sdp += fmt.Sprintf("m=audio 9 %s 0\r\na=mid:z%d\r\n", strings.Repeat("P", 4060), i)
	}
	ready(len(sdp))
	if err = p.SendOfferText(sdp); err != nil {
		return nil, err
	}
	time.Sleep(o.time)
	return map[string]any{"State": p.PC.ConnectionState().String()}, nil
}
