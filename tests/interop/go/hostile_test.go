package interop

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	mrand "math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mattermost/rtcd/service"
	"github.com/mattermost/rtcd/service/rtc"
	"github.com/pion/stun/v3"
)

// media is the server's UDP address under test.
func media(t *testing.T) *net.UDPAddr {
	port := os.Getenv("MEDIA_PORT")
	if port == "" {
		t.Skip("MEDIA_PORT is not set")
	}
	a, err := net.ResolveUDPAddr("udp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// undisturbed runs attack while a talks and b listens: nothing is lost, and the call goes on after it.
func undisturbed(t *testing.T, attack func(a, b *Peer)) {
	t.Helper()
	p, call, a, b := talk(t)
	attack(a, b)
	hears(t, b, a)
	if r := b.Heard(a.SessionID); r.Gaps.Load() != 0 || r.Late.Load() != 0 {
		t.Errorf("%d lost, %d late", r.Gaps.Load(), r.Late.Load())
	}
	c := join(t, p, call, Options{})
	hears(t, c, a)
}

// Datagrams of every size up to 64 KiB, from 64 ports, first bytes of every protocol: 64 ports x 64 rounds.
func TestGarbageFromManyPortsDisturbsNobody(t *testing.T) {
	to := media(t)
	undisturbed(t, func(_, _ *Peer) {
		var socks []*net.UDPConn
		for range 64 {
			c, err := net.DialUDP("udp4", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			socks = append(socks, c)
		}
		b := make([]byte, 65507)
		_, _ = rand.Read(b)
		for round := range 64 {
			for i, c := range socks {
				b[0], b[1] = byte(mrand.N(256)), byte(mrand.N(256))
				if round%4 == 0 { // looks like STUN
					b[0], b[1] = 0, 1
					binary.BigEndian.PutUint32(b[4:], 0x2112a442)
				}
				n := []int{0, 1, 12, 13, 20, 28, 100, 512, 1200, 1472, 1473, 2048, 9000, 65507}[(round+i)%14]
				if round%4 == 0 && n >= 20 {
					binary.BigEndian.PutUint16(b[2:], uint16(n-20))
				}
				_, _ = c.Write(b[:n])
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// ClientHellos by the thousand from addresses that never passed an ICE check cost nothing.
func TestDTLSFromStrangersDisturbsNobody(t *testing.T) {
	to := media(t)
	undisturbed(t, func(_, _ *Peer) {
		for i := range 10000 {
			if i%100 == 0 {
				time.Sleep(2 * time.Millisecond)
			}
			c, err := net.DialUDP("udp4", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write(clientHello())
			_ = c.Close()
		}
	})
}

// clientHello is a DTLS 1.2 record with a fresh ClientHello.
func clientHello() []byte {
	body := []byte{0xfe, 0xfd}
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	body = append(body, random...)
	body = append(body, 0, 0)                           // session id, cookie
	body = append(body, 0, 2, 0xc0, 0x2b, 1, 0)         // one suite, no compression
	body = append(body, 0, 8, 0, 10, 0, 4, 0, 2, 0, 23) // supported_groups: P-256
	hs := []byte{1, 0, 0, byte(len(body)), 0, 0, 0, 0, 0, 0, 0, byte(len(body))}
	hs = append(hs, body...)
	rec := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(hs))}
	return append(rec, hs...)
}

// rawSession is what a hostile participant, not a stranger, knows: enough to send its own checks.
type rawSession struct {
	id, ufrag, pwd, localUfrag string
}

func rawJoin(t *testing.T, p *Plugin, call string) rawSession {
	t.Helper()
	s := rawSession{id: NewID(), localUfrag: "evil"}
	answers := make(chan string, 4)
	p.mut.Lock()
	p.raw[s.id] = answers
	p.mut.Unlock()
	_ = p.Client.Send(*service.NewClientMessage(service.ClientMessageJoin, map[string]any{"callID": call,
		"userID": NewID(), "sessionID": s.id, "channelID": call, "av1Support": false, "dcSignaling": false}))
	offer := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:evil\r\n" +
		"a=ice-pwd:evilevilevilevilevilevil\r\na=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB\r\n" +
		"a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n"
	_ = p.SendRTC(s.id, rtc.SDPMessage, map[string]string{"type": "offer", "sdp": offer})
	select {
	case sdp := <-answers:
		for _, line := range strings.Split(sdp, "\r\n") {
			if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
				s.ufrag = v
			}
			if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
				s.pwd = v
			}
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no answer to a data-only offer")
	}
	return s
}

func (s rawSession) check(t *testing.T, c *net.UDPConn) {
	t.Helper()
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(s.ufrag+":"+s.localUfrag),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 0, 255}},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(s.pwd), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	for range 20 {
		_, _ = c.Write(m.Raw)
		_ = c.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		if n, err := c.Read(b); err == nil && n >= 20 && b[0] == 1 && b[1] == 1 {
			return
		}
	}
	t.Fatal("no answer to an authenticated check")
}

// A participant whose path is good floods the server with ClientHellos: 10,000 begun handshakes, none finished.
func TestTenThousandHalfOpenHandshakes(t *testing.T) {
	to := media(t)
	undisturbed(t, func(a, _ *Peer) {
		p := a.server()
		for range 10 {
			s := rawJoin(t, p, a.CallID)
			c, err := net.DialUDP("udp4", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, c)
			for i := range 1000 {
				if i%50 == 0 {
					time.Sleep(time.Millisecond)
				}
				_, _ = c.Write(clientHello())
			}
			_ = c.Close()
			_ = p.Leave(s.id)
		}
	})
}

// A wrong password, a foreign ufrag and garbage behind a good header are answered by silence.
func TestBadChecksGetNoAnswer(t *testing.T) {
	to := media(t)
	p := connect(t)
	s := rawJoin(t, p, NewID())
	c, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(user, pwd string) {
		m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(user),
			stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 0, 255}},
			stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(m.Raw)
	}
	for range 20 {
		send(s.ufrag+":evil", "notthepassword0000000000")
		send("unknownufrag0000:evil", s.pwd)
		send(s.ufrag, s.pwd)
	}
	_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1500)); err == nil {
		t.Errorf("%d bytes came back", n)
	}
	s.check(t, c)
	_ = p.Leave(s.id)
}

// Hundreds of offers and lock requests of one participant do not starve another one.
func TestOfferFloodIsBounded(t *testing.T) {
	undisturbed(t, func(a, b *Peer) {
		p := a.server()
		d, _ := json.Marshal(b.PC.LocalDescription())
		for range 500 {
			_ = p.SendRTC(b.SessionID, rtc.SDPMessage, d)
			_ = b.SendChannel(7, nil)
			_ = b.SendChannel(8, nil)
		}
		join(t, p, a.CallID, Options{}).Close()
	})
}
