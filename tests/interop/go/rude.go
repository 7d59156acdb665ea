package interop

import (
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// AddVoices adds n microphones in one negotiation; the caller sends on the tracks.
func (peer *Peer) AddVoices(n int) (tracks []*webrtc.TrackLocalStaticRTP, err error) {
	err = peer.renegotiate(func() error {
		for i := range n {
			t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus,
				ClockRate: 48000, Channels: 2}, fmt.Sprintf("v%d", i), fmt.Sprintf("m%d", i))
			if err != nil {
				return err
			}
			if _, err = peer.PC.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{
				Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
				return err
			}
			tracks = append(tracks, t)
		}
		return nil
	})
	return tracks, err
}

// SendOfferText sends any text as an offer over the data channel.
func (peer *Peer) SendOfferText(sdp string) error {
	return peer.send(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}, true)
}

// HeardInAll is how many voice packets came, of whoever.
func (peer *Peer) HeardInAll() (n int64) {
	peer.mut.Lock()
	defer peer.mut.Unlock()
	for _, r := range peer.received {
		n += r.Packets.Load()
	}
	return n
}

// WaitHearsAnything waits for a voice packet of whoever.
func (peer *Peer) WaitHearsAnything(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if peer.HeardInAll() > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s heard nothing in %v", peer.SessionID[:6], d)
}
