package interop

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mattermost/rtcd/service/rtc"
	"github.com/pion/webrtc/v4"
)

var (
	clipsOnce sync.Once
	low, high *Clip
	av1       *Clip
	clipsErr  error
)

// clips makes what is shown: `l` and `h` of a screen, and a twin in AV1.
func clips(t *testing.T) {
	t.Helper()
	if os.Getenv("SLUICE_VIDEO") == "" {
		t.Skip("SLUICE_VIDEO is not set (tests/interop/video.story sets it)")
	}
	clipsOnce.Do(func() {
		if low, clipsErr = MakeClip("VP8", 5, 250, 6); clipsErr == nil {
			high, clipsErr = MakeClip("VP8", 20, 1200, 6)
		}
		if clipsErr == nil {
			av1, clipsErr = MakeClip("AV1", 10, 300, 4)
		}
	})
	if clipsErr != nil {
		t.Fatal(clipsErr)
	}
}

func share(t *testing.T, p *Peer, layers ...Encoding) *Shown {
	t.Helper()
	s, err := p.Share(layers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func sees(t *testing.T, viewer, sender *Peer) *Seen {
	t.Helper()
	v, err := viewer.WaitSees("screen", sender, 10, 10*time.Second)
	if err != nil {
		t.Fatalf("%s of %s: %v", viewer.SessionID[:6], sender.SessionID[:6], err)
	}
	return v
}

// decodes lets ffmpeg judge what was received.
func decodes(t *testing.T, v *Seen) {
	t.Helper()
	frames := v.Frames()
	complaints, n, err := DecodeErrors(v.FourCC, frames)
	if err != nil || complaints != "" || n != len(frames) {
		t.Errorf("%d of %d frames decoded: %v %.300s", n, len(frames), err, complaints)
	}
}

func mustRelay(t *testing.T) *Relay {
	t.Helper()
	port, err := strconv.Atoi(os.Getenv("MEDIA_PORT"))
	if err != nil {
		t.Skip("MEDIA_PORT is not set")
	}
	r, err := NewRelay(port, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestScreenToThreeAndALateJoiner(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	var viewers []*Peer
	for i := range 3 {
		viewers = append(viewers, join(t, p, call, Options{DCSignaling: i == 1}))
	}
	s := share(t, a, Encoding{"", high})
	for _, v := range viewers {
		seen := sees(t, v, a)
		decodes(t, seen)
	}
	time.Sleep(time.Second)
	begin := time.Now()
	late := join(t, p, call, Options{})
	connected := time.Now()
	v, err := late.WaitSees("screen", a, 1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("late joiner: connected after %v, first frame %v later; TWCC feedback %d, PLIs %d", connected.Sub(begin),
		v.Frames()[0].At.Sub(connected), s.TWCCs.Load(), s.PLIs.Load())
	if d := v.Frames()[0].At.Sub(connected); d > 2*time.Second {
		t.Errorf("late joiner's first frame after %v", d)
	}
	decodes(t, sees(t, late, a))
	if s.TWCCs.Load() == 0 {
		t.Error("the publisher got no transport-wide feedback")
	}
}

func TestTwentySharesLeaveTheLines(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	sharers := []*Peer{join(t, p, call, Options{}), join(t, p, call, Options{})}
	viewer := join(t, p, call, Options{})
	lines := 0
	for round := range 20 {
		a := sharers[round%2]
		s := share(t, a, Encoding{"", low})
		if _, err := viewer.WaitSees("screen", a, 2, 5*time.Second); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		n := strings.Count(viewer.PC.CurrentRemoteDescription().SDP, "m=video")
		if lines == 0 {
			lines = n
		}
		if n != lines {
			t.Fatalf("%d video m-lines after %d shares, %d after the first", n, round+1, lines)
		}
		if err := a.Unshare(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestD40SecondPresenterTakesOver(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	a, b, viewer := join(t, p, call, Options{}), join(t, p, call, Options{}), join(t, p, call, Options{})
	s := share(t, a, Encoding{"", low})
	sees(t, viewer, a)
	if err := a.Unshare(s); err != nil {
		t.Fatal(err)
	}
	share(t, b, Encoding{"", high})
	sees(t, viewer, b)
	sees(t, a, b)
}

func TestTwinGivesEachItsCodec(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{AV1: true})
	able, unable := join(t, p, call, Options{AV1: true}), join(t, p, call, Options{})
	s := share(t, a, Encoding{"", low})
	sees(t, unable, a)
	// D36: without a twin the able one gets VP8.
	sees(t, able, a)
	twin, err := a.Show(s.StreamID, Encoding{"", av1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(twin.Stop)
	end := time.Now().Add(8 * time.Second)
	for v := able.Seen("screen", a.SessionID); v == nil || v.FourCC != "AV01"; v = able.Seen("screen", a.SessionID) {
		if time.Now().After(end) {
			t.Fatal("who can AV1 does not get it")
		}
		time.Sleep(20 * time.Millisecond)
	}
	decodes(t, sees(t, able, a))
	if v := sees(t, unable, a); v.FourCC != "VP80" {
		t.Errorf("who cannot AV1 gets %s", v.Codec)
	}
	late := join(t, p, call, Options{AV1: true})
	if v := sees(t, late, a); v.FourCC != "AV01" {
		t.Errorf("a late one who can AV1 gets %s", v.Codec)
	}
}

func TestD39CameraBeforeItsAnnouncement(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	a, viewer := join(t, p, call, Options{}), join(t, p, call, Options{})
	id := NewID()
	s, err := a.Show(id, Encoding{"", low})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	time.Sleep(200 * time.Millisecond)
	if err := a.AnnounceCamera(id); err != nil {
		t.Fatal(err)
	}
	v, err := viewer.WaitSees("video", a, 5, 8*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	decodes(t, v)
}

// layerIs waits until frames come at the rate of a layer.
func layerIs(v *Seen, fpsMin, fpsMax int, d time.Duration) (time.Duration, error) {
	begin := time.Now()
	fps := 0
	for time.Since(begin) < d {
		fps = 0
		all := v.Frames()
		for i := len(all) - 1; i >= 0 && time.Since(all[i].At) < time.Second; i-- {
			fps++
		}
		if fps >= fpsMin && fps <= fpsMax {
			return time.Since(begin), nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return d, fmt.Errorf("%d frames in the last second, want %d to %d", fps, fpsMin, fpsMax)
}

func simulcast() []Encoding { return []Encoding{{"l", low}, {"h", high}} }

func TestLayersFollowTheLink(t *testing.T) {
	clips(t)
	for name, noReports := range map[string]bool{"with sender reports": false, "without sender reports": true} {
		t.Run(name, func(t *testing.T) {
			p := connect(t)
			call := NewID()
			r := mustRelay(t)
			a := join(t, p, call, Options{NoReports: noReports})
			viewer := join(t, p, call, Options{Relay: r})
			share(t, a, simulcast()...)
			v := sees(t, viewer, a)
			up, err := layerIs(v, 14, 30, 20*time.Second)
			if err != nil {
				t.Fatalf("layer h: %v", err)
			}
			begin := time.Now()
			r.Set(Impairment{}, Impairment{BPS: 600000})
			down, err := layerIs(v, 3, 7, 15*time.Second)
			if err != nil {
				t.Fatalf("layer l at 600 kbit/s: %v", err)
			}
			r.Set(Impairment{}, Impairment{})
			again, err := layerIs(v, 14, 30, 30*time.Second)
			if err != nil {
				t.Fatalf("layer h again: %v", err)
			}
			n, total, longest := v.Freezes(begin, time.Now())
			t.Logf("h after %v, l after %v, h again after %v; %d freezes, %v in all, longest %v; %d PLIs, %d late packets",
				up, down, again, n, total, longest, v.PLIs.Load(), v.Late.Load())
			decodes(t, v)
		})
	}
}

func TestLossIsRepaired(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	down, up := mustRelay(t), mustRelay(t)
	a := join(t, p, call, Options{Relay: up})
	viewer, clean := join(t, p, call, Options{Relay: down}), join(t, p, call, Options{})
	unmute(t, a)
	hears(t, viewer, a)
	s := share(t, a, Encoding{"", high})
	v, w := sees(t, viewer, a), sees(t, clean, a)
	down.Set(Impairment{Delay: 10 * time.Millisecond}, Impairment{Loss: 0.05, Delay: 10 * time.Millisecond})
	begin, n := time.Now(), len(v.Frames())
	time.Sleep(4 * time.Second)
	got := len(v.Frames()) - n
	t.Logf("5 %% lost to the viewer: %d frames of about 80, %d resent, %d PLIs", got, v.Resent.Load(), v.PLIs.Load())
	if got < 40 {
		t.Errorf("%d frames in 4 s with 5 %% loss", got)
	}
	if v.Resent.Load() == 0 {
		t.Error("nothing came again by RTX")
	}
	decodes(t, v)
	down.Set(Impairment{}, Impairment{})
	up.Set(Impairment{Loss: 0.03, Delay: 10 * time.Millisecond}, Impairment{Delay: 10 * time.Millisecond})
	before := len(w.Frames())
	time.Sleep(4 * time.Second)
	if s.NACKs.Load() == 0 {
		t.Error("the publisher was not asked for what it lost")
	}
	_, frozen, _ := w.Freezes(begin, time.Now())
	t.Logf("3 %% lost of the publisher: %d frames, %d asked for again, frozen %v", len(w.Frames())-before, s.NACKs.Load(), frozen)
	if got := len(w.Frames()) - before; got < 40 {
		t.Errorf("%d frames in 4 s with 3 %% loss before the server", got)
	}
	decodes(t, w)
	if r := clean.Heard(a.SessionID); r.Packets.Load() == 0 {
		t.Error("no voice")
	}
}

func TestScreenOverBadLinks(t *testing.T) {
	clips(t)
	for name, link := range map[string]Impairment{
		"10 % loss":                  {Loss: 0.1, Delay: 20 * time.Millisecond},
		"50 ms bursts":               {Burst: 50 * time.Millisecond, Every: 2 * time.Second, Delay: 20 * time.Millisecond},
		"600 kbit/s":                 {BPS: 600000, Delay: 20 * time.Millisecond},
		"reordered, jitter of 15 ms": {Reorder: 0.02, Jitter: 15 * time.Millisecond, Delay: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t)
			call := NewID()
			r := mustRelay(t)
			a, viewer := join(t, p, call, Options{}), join(t, p, call, Options{Relay: r})
			unmute(t, a)
			hears(t, viewer, a)
			r.Set(Impairment{Delay: link.Delay}, link)
			share(t, a, simulcast()...)
			v, err := viewer.WaitSees("screen", a, 1, 15*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			begin, gaps, before := time.Now(), viewer.Heard(a.SessionID).Gaps.Load(), len(v.Frames())
			time.Sleep(7 * time.Second)
			n, total, longest := v.Freezes(begin, time.Now())
			got, lost := len(v.Frames())-before, viewer.Heard(a.SessionID).Gaps.Load()-gaps
			t.Logf("%d frames in 7 s, %d freezes, %v in all, longest %v; %d packets of voice lost", got, n, total, longest, lost)
			if got < 15 {
				t.Errorf("%d frames in 7 s", got)
			}
			if link.BPS > 0 && lost > 0 {
				t.Errorf("%d packets of voice lost before a bottleneck that has room for voice", lost)
			}
			decodes(t, v)
		})
	}
}

func TestPLIStormIsBounded(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	viewers := make([]*Peer, 8)
	for i := range viewers {
		viewers[i] = join(t, p, call, Options{})
	}
	s := share(t, a, Encoding{"", low})
	for _, v := range viewers {
		if _, err := v.WaitSees("screen", a, 2, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	before, asked := s.PLIs.Load(), 0
	for range 100 {
		for _, v := range viewers {
			for _, r := range v.PC.GetReceivers() {
				if tr := r.Track(); tr != nil && tr.Kind() == webrtc.RTPCodecTypeVideo {
					_ = v.AskKey(uint32(tr.SSRC()))
					asked++
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	got := s.PLIs.Load() - before
	t.Logf("%d PLIs of %d viewers in 2 s became %d", asked, len(viewers), got)
	if got == 0 || got > 12 {
		t.Errorf("%d PLIs at the publisher", got)
	}
}

func TestScreenOverTCPOnly(t *testing.T) {
	clips(t)
	p := connect(t)
	call := NewID()
	tcp := Options{Networks: []webrtc.NetworkType{webrtc.NetworkTypeTCP4}}
	a, viewer, udp := join(t, p, call, tcp), join(t, p, call, tcp), join(t, p, call, Options{})
	share(t, a, Encoding{"", high})
	decodes(t, sees(t, viewer, a))
	decodes(t, sees(t, udp, a))
	if got, err := pathOf(viewer); err != nil || got != "tcp4 passive" {
		t.Errorf("path %q, %v", got, err)
	}
}

func TestReconnectBringsANewPath(t *testing.T) {
	clips(t)
	for name, byChannel := range paths {
		t.Run(name, func(t *testing.T) {
			p := connect(t)
			call := NewID()
			old, next := mustRelay(t), mustRelay(t)
			a, viewer := join(t, p, call, Options{}), join(t, p, call, Options{Relay: old, DCSignaling: byChannel})
			share(t, a, Encoding{"", high})
			v := sees(t, viewer, a)
			old.Set(Impairment{Dead: true}, Impairment{Dead: true})
			viewer.SetRelay(next)
			time.Sleep(500 * time.Millisecond)
			begin, before := time.Now(), v.Packets.Load()
			if err := p.Adopt(viewer); err != nil {
				t.Fatal(err)
			}
			for v.Packets.Load() == before && time.Since(begin) < 10*time.Second {
				time.Sleep(time.Millisecond)
			}
			d := time.Since(begin)
			t.Logf("media back after %v", d)
			if d > 2*time.Second { // 1 s is wanted; busy machines get another one
				t.Errorf("media back after %v", d)
			}
			sees(t, viewer, a)
			decodes(t, v)
		})
	}
}

// Last in this file: the control plane is killed under it.
func TestScreenOutlivesTheControlPlane(t *testing.T) {
	clips(t)
	log, err := os.ReadFile(os.Getenv("SERVER_LOG"))
	pid, e := strconv.Atoi(os.Getenv("CP_PID"))
	if err != nil || e != nil || strings.Contains(string(log), "restarted: cp ") {
		t.Skip("CP_PID and SERVER_LOG name no control plane that was not killed yet")
	}
	p := connect(t)
	call := NewID()
	a, viewer := join(t, p, call, Options{}), join(t, p, call, Options{})
	share(t, a, Encoding{"", high})
	v := sees(t, viewer, a)
	begin := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	sees(t, viewer, a)
	n, total, longest := v.Freezes(begin, time.Now())
	t.Logf("%d freezes, %v in all, longest %v", n, total, longest)
	if n > 0 {
		t.Errorf("%d freezes, %v in all", n, total)
	}
	decodes(t, v)
	_ = p.SendRTC(a.SessionID, rtc.MuteMessage, nil)
}
