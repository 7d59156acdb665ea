package interop

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mattermost/rtcd/service/rtc"
	"github.com/mattermost/rtcd/service/rtc/dc"
	"github.com/pion/dtls/v3"
)

var paths = map[string]bool{"signaling over the websocket": false, "signaling over the data channel": true}

func TestTwoHearEachOther(t *testing.T) {
	for name, byChannel := range paths {
		t.Run(name, func(t *testing.T) {
			p := connect(t)
			call := NewID()
			a := join(t, p, call, Options{DCSignaling: byChannel})
			b := join(t, p, call, Options{DCSignaling: byChannel})
			unmute(t, a)
			hears(t, b, a)
			unmute(t, b)
			hears(t, a, b)
			hears(t, b, a)
			for _, pair := range [][2]*Peer{{a, b}, {b, a}} {
				r := pair[1].Heard(pair[0].SessionID)
				if r.Gaps.Load() != 0 || r.Late.Load() != 0 {
					t.Errorf("%d lost, %d late", r.Gaps.Load(), r.Late.Load())
				}
			}
		})
	}
}

func TestTrackNamesTheSenderAndMapComesFirst(t *testing.T) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, Options{DCSignaling: true})
	unmute(t, a)
	select {
	case id := <-b.Tracks:
		parts := strings.Split(id, "_")
		if len(parts) != 3 || parts[0] != "voice" || parts[1] != a.SessionID {
			t.Errorf("track id %q", id)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no track")
	}
	select {
	case m := <-b.Map:
		if len(m) != 1 {
			t.Errorf("map %v", m)
		}
		for _, e := range m {
			if e.Type != "voice" || e.SenderID != a.SessionID {
				t.Errorf("D23: map entry %+v, want sender %s", e, a.SessionID)
			}
		}
	default:
		t.Fatal("D27: the track came before its media map")
	}
}

func TestLateJoinerHearsEverybody(t *testing.T) {
	p := connect(t)
	call := NewID()
	var speakers []*Peer
	for range 4 {
		s := join(t, p, call, Options{})
		unmute(t, s)
		speakers = append(speakers, s)
	}
	late := join(t, p, call, Options{})
	for _, s := range speakers {
		hears(t, late, s)
	}
	if n := late.Offers(); n > 3 {
		t.Errorf("D26: %d offers for 4 tracks that were all there, want them batched", n)
	}
}

func TestMuteStopsAndUnmuteResumes(t *testing.T) {
	_, _, a, b := talk(t)
	if err := a.Mute(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	r := b.Heard(a.SessionID)
	before, offers := r.Packets.Load(), b.Offers()
	time.Sleep(500 * time.Millisecond)
	if n := r.Packets.Load() - before; n != 0 {
		t.Errorf("%d packets while muted", n)
	}
	unmute(t, a)
	hears(t, b, a)
	if b.Offers() != offers {
		t.Error("unmute made an offer")
	}
}

// A client that goes on sending after `mute` is not heard, and its voice comes back after `unmute`.
func TestMuteGateIsOnTheServer(t *testing.T) {
	p, _, a, b := talk(t)
	_ = p.SendRTC(a.SessionID, rtc.MuteMessage, nil)
	time.Sleep(300 * time.Millisecond)
	r := b.Heard(a.SessionID)
	before := r.Packets.Load()
	time.Sleep(500 * time.Millisecond)
	if n := r.Packets.Load() - before; n != 0 {
		t.Errorf("%d packets while muted", n)
	}
	_ = p.SendRTC(a.SessionID, rtc.UnmuteMessage, nil)
	hears(t, b, a)
}

func TestVoiceOnAndOff(t *testing.T) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{SendLevels: true})
	unmute(t, a)
	want := func(kind rtc.MessageType, d time.Duration) {
		t.Helper()
		select {
		case m := <-p.Voice:
			if m.Type != kind || m.SessionID != a.SessionID || m.UserID != a.UserID || m.CallID != call || m.GroupID != p.ID {
				t.Errorf("vad %+v, want type %d", m, kind)
			}
		case <-time.After(d):
			t.Fatalf("no voice event %d in %v", kind, d)
		}
	}
	want(rtc.VoiceOnMessage, 4*time.Second)
	want(rtc.VoiceOffMessage, 6*time.Second)
}

func TestEverySRTPProfile(t *testing.T) {
	for name, profile := range map[string]dtls.SRTPProtectionProfile{
		"AEAD_AES_128_GCM":    dtls.SRTP_AEAD_AES_128_GCM,
		"AEAD_AES_256_GCM":    dtls.SRTP_AEAD_AES_256_GCM,
		"AES128_CM_SHA1_80":   dtls.SRTP_AES128_CM_HMAC_SHA1_80,
		"each in its own one": 0,
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t)
			call := NewID()
			a := join(t, p, call, Options{Profile: profile})
			b := join(t, p, call, Options{Profile: profile})
			if profile == 0 { // mixed: one open for three different seals
				c := join(t, p, call, Options{Profile: dtls.SRTP_AES128_CM_HMAC_SHA1_80})
				d := join(t, p, call, Options{Profile: dtls.SRTP_AEAD_AES_256_GCM})
				unmute(t, a)
				hears(t, c, a)
				hears(t, d, a)
			} else {
				unmute(t, a)
			}
			hears(t, b, a)
			unmute(t, b)
			hears(t, a, b)
		})
	}
}

func TestReportsComeBothWays(t *testing.T) {
	_, _, a, b := talk(t)
	deadline := time.Now().Add(6 * time.Second)
	var sr, rr, twcc bool
	for time.Now().Before(deadline) && !(sr && rr) {
		select {
		case kind := <-a.Reports:
			rr = rr || kind == "RR"
			twcc = twcc || kind == "TWCC"
		case <-time.After(100 * time.Millisecond):
		}
		sr = sr || b.SenderReports.Load() > 0
	}
	if !sr || !rr {
		t.Errorf("sender reports at the listener %v, receiver reports at the speaker %v", sr, rr)
	}
	t.Logf("TWCC feedback seen: %v", twcc)
}

func TestD21LeakedLockExpires(t *testing.T) {
	t.Parallel()
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, Options{})
	if err := b.Lock(); err != nil { // and never unlocks
		t.Fatal(err)
	}
	unmute(t, a)
	if err := b.WaitHears(a, 25, 25*time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestUnlockWithoutLockIsHarmless(t *testing.T) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, Options{})
	for range 5 {
		_ = b.Unlock()
	}
	unmute(t, a)
	hears(t, b, a)
	if err := b.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := b.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestD25UnsolicitedAnswerIsIgnored(t *testing.T) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, Options{})
	for range 5 {
		_ = p.SendRTC(b.SessionID, rtc.SDPMessage, b.PC.LocalDescription())
		_ = p.SendRTC(b.SessionID, rtc.SDPMessage, map[string]string{"type": "answer", "sdp": "v=0\r\n"})
	}
	unmute(t, a)
	hears(t, b, a)
	unmute(t, b)
	hears(t, a, b)
}

func TestBadMessagesLeaveTheSessionAlone(t *testing.T) {
	p, call, a, b := talk(t)
	bomb := zlibBomb(t)
	for _, raw := range [][]byte{{}, {0x2a}, {0xcc, 0x2a}, {0x03}, {0x03, 0xc6, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0, 0xff, 0xff, 0xff},
		{0x04, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}, []byte("ping"), bomb} {
		if len(raw) > 0 {
			_ = b.SendRaw(raw)
		}
	}
	for _, data := range []any{[]byte("{"), []byte("null"), map[string]string{"type": "offer", "sdp": "garbage"},
		map[string]string{"type": "rollback", "sdp": ""}, map[string]string{"type": "offer",
			"sdp": "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:9\r\na=simulcast:send l;\r\na=rid:\r\n"}} {
		_ = p.SendRTC(b.SessionID, rtc.SDPMessage, data)
		_ = p.SendRTC(b.SessionID, rtc.ICEMessage, data)
	}
	_ = p.SendRTC(b.SessionID, rtc.ICEMessage, map[string]string{"candidate": strings.Repeat("x", 900000)})
	hears(t, b, a)
	if _, code, _ := p.Client.GetSession(call, b.SessionID); code != 200 {
		t.Errorf("session gone: %d", code)
	}
}

func TestPingIsAnsweredAndLockFast(t *testing.T) {
	p := connect(t)
	a := join(t, p, NewID(), Options{})
	begin := time.Now()
	_ = a.SendChannel(dc.MessageTypePing, nil)
	for a.Pongs.Load() == 0 && time.Since(begin) < 2*time.Second {
		time.Sleep(time.Millisecond)
	}
	if a.Pongs.Load() == 0 {
		t.Error("no pong")
	}
	begin = time.Now()
	if err := a.Lock(); err != nil || time.Since(begin) > 500*time.Millisecond {
		t.Errorf("lock: %v after %v", err, time.Since(begin))
	}
	_ = a.Unlock()
}

// Joins and leaves of others leave a running conversation undisturbed, and its SDP bounded.
func TestChurnDisturbsNobody(t *testing.T) {
	p, call, a, b := talk(t)
	r := b.Heard(a.SessionID)
	for range 12 {
		c := join(t, p, call, Options{})
		unmute(t, c)
		hears(t, b, c)
		c.Close()
	}
	if r.Gaps.Load() != 0 || r.Late.Load() != 0 {
		t.Errorf("%d lost, %d late during churn", r.Gaps.Load(), r.Late.Load())
	}
	deadline := time.Now().Add(5 * time.Second)
	lines := 0
	for time.Now().Before(deadline) {
		lines = strings.Count(b.PC.CurrentRemoteDescription().SDP, "m=audio")
		time.Sleep(50 * time.Millisecond)
	}
	if lines > 4 {
		t.Errorf("D42: %d audio m-lines after 12 visitors came and went one by one", lines)
	}
}

func TestEightHearEightWithLowLatency(t *testing.T) {
	p := connect(t)
	call := NewID()
	peers := make([]*Peer, 8)
	var wg sync.WaitGroup
	for i := range peers {
		peers[i] = join(t, p, call, Options{DCSignaling: i%2 == 0})
	}
	errs := make(chan error, 8)
	for _, s := range peers {
		wg.Add(1)
		go func() { defer wg.Done(); errs <- s.Unmute() }()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range peers {
		for _, s := range peers {
			if l != s {
				hearsNow(t, l, s)
			}
		}
	}
	time.Sleep(2 * time.Second) // gather latencies
	var all []int64
	for _, l := range peers {
		for _, s := range peers {
			if l == s {
				continue
			}
			r := l.Heard(s.SessionID)
			if r.Gaps.Load() != 0 || r.Late.Load() != 0 {
				t.Errorf("%d lost, %d late", r.Gaps.Load(), r.Late.Load())
			}
			for _, d := range r.Latency {
				if d > 0 {
					all = append(all, d)
				}
			}
		}
	}
	slices.Sort(all)
	t.Logf("latency of %d packets: p50 %v, p99 %v", len(all), time.Duration(all[len(all)/2]),
		time.Duration(all[len(all)*99/100]))
}

func TestHerdOfJoins(t *testing.T) {
	const n = 60
	p := connect(t)
	call := NewID()
	speaker := join(t, p, call, Options{})
	unmute(t, speaker)
	peers := make([]*Peer, n)
	for i := range peers {
		peer, err := p.Join(call, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(peer.Close)
		peers[i] = peer
	}
	for i, peer := range peers {
		if err := peer.WaitReady(30 * time.Second); err != nil {
			t.Fatal(fmt.Errorf("peer %d: %w", i, err))
		}
	}
	for _, peer := range peers {
		hearsNow(t, peer, speaker)
	}
}

// zlibBomb is an SDP message of the data channel whose payload inflates to 64 MiB.
func zlibBomb(t *testing.T) []byte {
	t.Helper()
	b, err := dc.EncodeMessage(dc.MessageTypeSDP, make([]byte, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
