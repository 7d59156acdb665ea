package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
)

// pathOf is the candidate of the server that the peer uses: "udp4", "tcp6 passive".
func pathOf(p *Peer) (string, error) {
	pair, err := p.PC.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return "", fmt.Errorf("no pair: %v", err)
	}
	family := 4
	if strings.Contains(pair.Remote.Address, ":") {
		family = 6
	}
	return strings.TrimSpace(fmt.Sprintf("%s%d %s", pair.Remote.Protocol, family, pair.Remote.TCPType)), nil
}

func voiceOver(t *testing.T, o Options, want string) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, o)
	b := join(t, p, call, o)
	c := join(t, p, call, Options{})
	unmute(t, a)
	hears(t, b, a)
	hears(t, c, a)
	unmute(t, c)
	hears(t, a, c)
	hears(t, b, c)
	if got, err := pathOf(a); err != nil || got != want {
		t.Errorf("path %q, %v", got, err)
	}
	for _, pair := range [][2]*Peer{{a, b}, {c, b}, {a, c}} {
		r := pair[1].Heard(pair[0].SessionID)
		if r.Gaps.Load() != 0 || r.Late.Load() != 0 {
			t.Errorf("%d lost, %d late", r.Gaps.Load(), r.Late.Load())
		}
	}
}

func TestVoiceOverTCPOnly(t *testing.T) {
	voiceOver(t, Options{Networks: []webrtc.NetworkType{webrtc.NetworkTypeTCP4}}, "tcp4 passive")
}

func TestUDPIsPreferredToTCP(t *testing.T) {
	voiceOver(t, Options{Networks: []webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeUDP4}}, "udp4")
}

func TestVoiceOverIPv6Only(t *testing.T) {
	if os.Getenv("SLUICE_RTC_ENABLE_IPV6") == "" {
		t.Skip("no IPv6 on loopback")
	}
	t.Run("UDP", func(t *testing.T) {
		voiceOver(t, Options{Networks: []webrtc.NetworkType{webrtc.NetworkTypeUDP6}}, "udp6")
	})
	t.Run("TCP", func(t *testing.T) {
		voiceOver(t, Options{Networks: []webrtc.NetworkType{webrtc.NetworkTypeTCP6}}, "tcp6 passive")
	})
}
