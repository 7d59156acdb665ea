package interop

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// These clients differ from browsers in one point each, within the standards.

// pictures is a clip that nobody decodes: a key frame a second, evenly large.
func pictures(fps, kbps int) *Clip {
	c := &Clip{FourCC: "VP80", FPS: fps}
	for i := range fps {
		f := make([]byte, kbps*1000/8/fps)
		f[0] = 1
		if i == 0 { // RFC 6386 9.1: key frame, start code, 1280x720
			copy(f, []byte{0x10, 0, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2})
		}
		c.Frames = append(c.Frames, f)
	}
	return c
}

// watches shows a screen of one encoding to one viewer for a while; how long the longest freeze from `after` on was.
func watches(t *testing.T, viewer Options, kbps int, after, until time.Duration) time.Duration {
	t.Helper()
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, viewer)
	share(t, a, Encoding{Clip: pictures(20, kbps)})
	v, err := b.WaitSees("screen", a, 1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	time.Sleep(until)
	_, _, longest := v.Freezes(begin.Add(after), time.Now())
	t.Logf("%d packets, %d frames, longest freeze %v", v.Packets.Load(), len(v.Frames()), longest)
	return longest
}

// A receiver that gives reports alone has nothing that an estimate could be made of: it gets what is sent.
func TestVideoWithoutCongestionFeedbackIsNotPaused(t *testing.T) {
	if longest := watches(t, Options{NoFeedback: true}, 1600, 0, 12*time.Second); longest > 2*time.Second {
		t.Errorf("frozen for %v on a clean link", longest)
	}
}

// One encoding above what a receiver is allowed at most is still the only one there is.
func TestVideoOfSevenMegabitIsShown(t *testing.T) {
	if longest := watches(t, Options{}, 7000, 7*time.Second, 12*time.Second); longest > 2*time.Second {
		t.Errorf("frozen for %v on a clean link", longest)
	}
}

// Pion nominates in its check rounds, 200 ms apart; the first one should do.
func TestPionConnectsInItsFirstCheckRound(t *testing.T) {
	p := connect(t)
	call := NewID()
	var took []time.Duration
	for range 7 {
		begin := time.Now()
		peer, err := p.Join(call, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(peer.Close)
		<-peer.Connected
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("joins: %v", took)
	if took[0] > 150*time.Millisecond {
		t.Errorf("the fastest of 7 joins took %v", took[0])
	}
}

// The first syllable belongs to what is said.
func TestFirstPacketsOfANewVoiceAreHeard(t *testing.T) {
	_, _, a, b := talk(t)
	time.Sleep(time.Second)
	r := b.Heard(a.SessionID)
	missing := a.Sent() - r.Packets.Load() - r.Gaps.Load()
	t.Logf("%d of %d packets never came", missing, a.Sent())
	if missing > 3 { // one may be under way
		t.Errorf("the first %d packets of a new voice are missing", missing)
	}
}

// Ids of data channels are the client's choice up to 65534 (RFC 8832).
func TestDataChannelWithAHighID(t *testing.T) {
	p := connect(t)
	for _, id := range []uint16{2, 200, 1000} {
		peer, err := p.Join(NewID(), Options{ChannelID: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := peer.WaitReady(5 * time.Second); err != nil {
			t.Errorf("id %d: %v", id, err)
		}
		peer.Close()
	}
}

// A client that has given a payload type to Opus gets nothing else under it: it never offered video, so the screen
// must come under types that are free.
func TestOpusUnderAPayloadTypeOfVideo(t *testing.T) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, Options{OpusPT: 96})
	unmute(t, a)
	unmute(t, b) // its offer says 96
	hears(t, b, a)
	hears(t, a, b)
	share(t, a, Encoding{Clip: pictures(20, 500)})
	time.Sleep(2 * time.Second)
	sdp := b.PC.RemoteDescription().SDP
	for _, line := range []string{"a=rtpmap:96 VP8/90000", "a=rtpmap:96 AV1/90000"} {
		if strings.Contains(sdp, line+"\r\n") {
			t.Errorf("payload type 96 is Opus and %q", line)
		}
	}
	hears(t, b, a)
}

// Handshakes over a link that loses 30 % both ways: repeated soon enough to be of use in a call.
func TestHandshakeOverALossyLink(t *testing.T) {
	p := connect(t)
	var took []time.Duration
	done := make(chan time.Duration, 7)
	for seed := range int64(7) {
		r, err := NewRelay(media(t).Port, seed)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		r.Set(Impairment{Loss: 0.3}, Impairment{Loss: 0.3})
		go func() {
			begin := time.Now()
			peer, err := p.Join(NewID(), Options{Relay: r})
			if err == nil {
				_ = peer.WaitReady(20 * time.Second)
				peer.Close()
			}
			done <- time.Since(begin)
		}()
	}
	for range 7 {
		took = append(took, <-done)
	}
	slices.Sort(took)
	t.Logf("data channels open after %v", took)
	if took[6] > 8*time.Second {
		t.Errorf("the slowest of 7 handshakes took %v", took[6])
	}
}
