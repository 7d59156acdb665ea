package interop

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattermost/rtcd/service/rtc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"
)

const (
	midURI      = "urn:ietf:params:rtp-hdrext:sdes:mid"
	ridURI      = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	videoClock  = 90000
	videoMTU    = 1180
	freezeAfter = 500 * time.Millisecond // without a decodable frame
)

// Encoding is one layer of a video that is sent; RID is empty without simulcast.
type Encoding struct {
	RID  string
	Clip *Clip
}

// Shown is a video that a peer sends.
type Shown struct {
	StreamID                   string
	PLIs, NACKs, TWCCs, Frames atomic.Int64
	Packets                    atomic.Int64

	sender *webrtc.RTPSender
	stop   chan struct{}
	once   sync.Once
	keys   []chan struct{}
}

// AnnounceScreen and AnnounceCamera tell the server whose track with this stream id comes or is there.
func (peer *Peer) AnnounceScreen(streamID string) error {
	return peer.server().SendRTC(peer.SessionID, rtc.ScreenOnMessage, map[string]string{"screenStreamID": streamID})
}

func (peer *Peer) AnnounceCamera(streamID string) error {
	return peer.server().SendRTC(peer.SessionID, rtc.VideoOnMessage, map[string]string{"videoStreamID": streamID})
}

// Share announces a screen and sends it.
func (peer *Peer) Share(layers ...Encoding) (*Shown, error) {
	id := NewID()
	if err := peer.AnnounceScreen(id); err != nil {
		return nil, err
	}
	return peer.Show(id, layers...)
}

// Unshare ends it as the page does: the track goes under the lock, then the announcement.
func (peer *Peer) Unshare(s *Shown) error {
	s.Stop()
	if err := peer.renegotiate(func() error { return peer.PC.RemoveTrack(s.sender) }); err != nil {
		return err
	}
	return peer.server().SendRTC(peer.SessionID, rtc.ScreenOffMessage, nil)
}

// Stop ends sending.
func (s *Shown) Stop() { s.once.Do(func() { close(s.stop) }) }

// renegotiate changes the connection and offers, under the lock.
func (peer *Peer) renegotiate(change func() error) error {
	if err := peer.Lock(); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	for len(peer.answered) > 0 { // of earlier offers
		<-peer.answered
	}
	if err := peer.offer(); err != nil {
		return err
	}
	select {
	case <-peer.answered:
	case <-time.After(10 * time.Second):
		return errors.New("no answer after 10 s")
	}
	return peer.Unlock()
}

// Show adds a video track and sends its layers in real time until Stop; a PLI makes each layer begin anew with its
// key frame.
func (peer *Peer) Show(streamID string, layers ...Encoding) (*Shown, error) {
	s := &Shown{StreamID: streamID, stop: make(chan struct{})}
	mime := webrtc.MimeTypeVP8
	if layers[0].Clip.FourCC == "AV01" {
		mime = webrtc.MimeTypeAV1
	}
	tracks := make([]*webrtc.TrackLocalStaticRTP, len(layers))
	err := peer.renegotiate(func() (err error) {
		for i, l := range layers {
			var o []func(*webrtc.TrackLocalStaticRTP)
			if l.RID != "" {
				o = append(o, webrtc.WithRTPStreamID(l.RID))
			}
			if tracks[i], err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime, ClockRate: videoClock},
				"video", streamID, o...); err != nil {
				return err
			}
			if i > 0 {
				err = s.sender.AddEncoding(tracks[i])
			} else if tr, e := peer.PC.AddTransceiverFromTrack(tracks[0],
				webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); e == nil {
				s.sender = tr.Sender()
			} else {
				err = e
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		key := make(chan struct{}, 1)
		s.keys = append(s.keys, key)
		go peer.play(s, tracks[i], l, key)
		go s.feedback(l.RID, key)
	}
	return s, nil
}

func (peer *Peer) midOf(s *webrtc.RTPSender) string {
	for _, t := range peer.PC.GetTransceivers() {
		if t.Sender() == s {
			return t.Mid()
		}
	}
	return ""
}

func (peer *Peer) play(s *Shown, track *webrtc.TrackLocalStaticRTP, l Encoding, key <-chan struct{}) {
	var payloader rtp.Payloader = &codecs.VP8Payloader{EnablePictureID: true}
	if l.Clip.FourCC == "AV01" {
		payloader = &codecs.AV1Payloader{}
	}
	packetizer := rtp.NewPacketizer(videoMTU, 0, 0, payloader, rtp.NewRandomSequencer(), videoClock)
	extensions := map[uint8][]byte{}
	for _, e := range s.sender.GetParameters().HeaderExtensions {
		if e.URI == midURI {
			extensions[uint8(e.ID)] = []byte(peer.midOf(s.sender))
		} else if e.URI == ridURI {
			extensions[uint8(e.ID)] = []byte(l.RID)
		}
	}
	t := time.NewTicker(time.Second / time.Duration(l.Clip.FPS))
	defer t.Stop()
	for i := 0; ; i = (i + 1) % len(l.Clip.Frames) {
		select {
		case <-peer.done:
			return
		case <-s.stop:
			return
		case <-t.C:
		}
		select {
		case <-key:
			i = 0
		default:
		}
		for _, p := range packetizer.Packetize(l.Clip.Frames[i], uint32(videoClock/l.Clip.FPS)) {
			if l.RID != "" {
				for id, value := range extensions {
					_ = p.SetExtension(id, value)
				}
			}
			if track.WriteRTP(p) == nil {
				s.Packets.Add(1)
			}
		}
		s.Frames.Add(1)
	}
}

// feedback counts what comes back for a layer, and asks for the key frame that a PLI wants.
func (s *Shown) feedback(rid string, key chan struct{}) {
	for {
		var packets []rtcp.Packet
		var err error
		if rid == "" {
			packets, _, err = s.sender.ReadRTCP()
		} else {
			packets, _, err = s.sender.ReadSimulcastRTCP(rid)
		}
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				s.PLIs.Add(1)
				offer(key, struct{}{})
			case *rtcp.TransportLayerNack:
				for _, pair := range p.Nacks {
					s.NACKs.Add(int64(len(pair.PacketList())))
				}
			case *rtcp.TransportLayerCC:
				s.TWCCs.Add(1)
			}
		}
	}
}

// Seen is what a peer receives of one video track.
type Seen struct {
	Kind, Sender, Codec, FourCC string // kind: screen, video
	Packets, Resent, PLIs       atomic.Int64
	Late                        atomic.Int64

	mut    sync.Mutex
	frames []Frame // decodable ones
	lost   int     // frames that were passed over until the next key frame
	ended  bool
}

// Frames that could be decoded so far.
func (v *Seen) Frames() []Frame {
	v.mut.Lock()
	defer v.mut.Unlock()
	return v.frames[:len(v.frames):len(v.frames)]
}

func (v *Seen) passedOver() int {
	v.mut.Lock()
	defer v.mut.Unlock()
	return v.lost
}

// Freezes of at least freezeAfter from a time on to now: how many, and how long in all.
func (v *Seen) Freezes(from, to time.Time) (n int, total time.Duration, longest time.Duration) {
	last := from
	gap := func(at time.Time) {
		if d := at.Sub(last); d > freezeAfter {
			n++
			total += d
			longest = max(longest, d)
		}
		last = at
	}
	for _, f := range v.Frames() {
		if f.At.After(from) && f.At.Before(to) {
			gap(f.At)
		}
	}
	gap(to)
	return
}

func (peer *Peer) onVideo(t *webrtc.TrackRemote, kind, sender string) {
	v := &Seen{Kind: kind, Sender: sender, Codec: t.Codec().MimeType, FourCC: "VP80"}
	var depacketizer rtp.Depacketizer = &codecs.VP8Packet{}
	if strings.EqualFold(v.Codec, webrtc.MimeTypeAV1) {
		v.FourCC, depacketizer = "AV01", &codecs.AV1Depacketizer{}
	}
	peer.mut.Lock()
	peer.seen = append(peer.seen, v)
	peer.mut.Unlock()
	builder := samplebuilder.New(1024, depacketizer, videoClock, samplebuilder.WithMaxTimeDelay(time.Second))
	broken, asked := true, time.Time{}
	var last uint16
	for {
		p, attributes, err := t.ReadRTP()
		if err != nil {
			v.mut.Lock()
			v.ended = true
			v.mut.Unlock()
			return
		}
		if attributes.Get(webrtc.AttributeRtxSsrc) != nil {
			v.Resent.Add(1)
		}
		if len(p.Payload) == 0 { // padding of a probe
			continue
		}
		if v.Packets.Add(1) > 1 && int16(p.SequenceNumber-last) <= 0 {
			v.Late.Add(1)
		} else {
			last = p.SequenceNumber
		}
		builder.Push(p)
		for s := builder.Pop(); s != nil; s = builder.Pop() {
			key := v.FourCC == "VP80" && s.Data[0]&1 == 0 || v.FourCC == "AV01" && av1Key(s.Data)
			if v.FourCC == "AV01" {
				s.Data = append([]byte{0x12, 0}, s.Data...)
			}
			broken = (broken || s.PrevDroppedPackets > 0) && !key
			v.mut.Lock()
			if broken {
				v.lost++
			} else {
				v.frames = append(v.frames, Frame{s.Data, s.PacketTimestamp, time.Now(), key})
			}
			v.mut.Unlock()
		}
		if broken && time.Since(asked) > 300*time.Millisecond {
			asked = time.Now()
			v.PLIs.Add(1)
			_ = peer.AskKey(uint32(t.SSRC()))
		}
	}
}

// av1Key: the frame begins with a sequence header, which encoders send with key frames alone.
func av1Key(b []byte) bool { return len(b) > 0 && b[0]>>3&15 == 1 }

// AskKey sends a PLI.
func (peer *Peer) AskKey(ssrc uint32) error {
	return peer.PC.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
}

// Seen returns the newest track of that kind and sender, nil without one.
func (peer *Peer) Seen(kind, sender string) *Seen {
	peer.mut.Lock()
	defer peer.mut.Unlock()
	for i := len(peer.seen) - 1; i >= 0; i-- {
		if v := peer.seen[i]; v.Kind == kind && v.Sender == sender && !v.ended {
			return v
		}
	}
	return nil
}

// WaitSees waits for n further frames that can be decoded.
func (peer *Peer) WaitSees(kind string, sender *Peer, n int, d time.Duration) (*Seen, error) {
	end := time.Now().Add(d)
	var v *Seen
	for ; v == nil; time.Sleep(5 * time.Millisecond) {
		if v = peer.Seen(kind, sender.SessionID); v == nil && time.Now().After(end) {
			return nil, errors.New("no track " + kind)
		}
	}
	for want := len(v.Frames()) + n; len(v.Frames()) < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return v, fmt.Errorf("too few frames of %s in %s: %d packets, %d frames, %d passed over", kind, v.Codec, v.Packets.Load(),
				len(v.Frames()), v.passedOver())
		}
	}
	return v, nil
}
