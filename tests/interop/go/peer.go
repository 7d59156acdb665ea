package interop

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattermost/rtcd/service"
	"github.com/mattermost/rtcd/service/rtc"
	"github.com/mattermost/rtcd/service/rtc/dc"
	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const audioLevelURI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

// Options of a peer; the zero value is the transcriber's: signaling over the WebSocket, no forced profile.
type Options struct {
	DCSignaling bool
	Profile     dtls.SRTPProtectionProfile // 0: Pion's own order
	SendLevels  bool                       // audio level extension on sent voice
	Networks    []webrtc.NetworkType       // none: UDP over IPv4
	AV1         bool                       // says that it can AV1
	Relay       *Relay                     // its media go through this
	NoReports   bool                       // sends no sender reports
	NoFeedback  bool                       // neither negotiates nor sends transport-wide feedback or REMB
	OpusPT      uint8                      // payload type of Opus, 0: Pion's own; without video then
	ChannelID   uint16                     // of the data channel, 0: Pion's choice
}

// Received counts what came in of one sender's voice.
type Received struct {
	Packets, Gaps, Late atomic.Int64
	LastNS              atomic.Int64
	Latency             [4096]int64 // ns, ring
	n                   atomic.Int64
	lastSeq             uint16
	started             bool
}

// Peer is one participant.
type Peer struct {
	SessionID, UserID, CallID string
	PC                        *webrtc.PeerConnection
	Connected                 chan struct{} // closed at the first `connected`
	Open                      chan struct{} // closed when the data channel is open
	Tracks                    chan string   // track ids in order of arrival
	Map                       chan dc.MediaMap
	Pongs                     atomic.Int64
	Pings                     *Pings
	Reports                   chan string // kinds of RTCP that came back for the microphone
	SenderReports             atomic.Int64

	opts     Options
	plugin   *Plugin
	channel  *webrtc.DataChannel
	lockCh   chan bool
	answered chan struct{}
	mut      sync.Mutex
	received map[string]*Received // by sender session id
	seen     []*Seen              // in order of arrival
	offers   atomic.Int64         // offers of the server that were answered
	track    *webrtc.TrackLocalStaticRTP
	sender   *webrtc.RTPSender
	muted    atomic.Bool
	sent     atomic.Int64
	done     chan struct{}
}

func newAPI(o Options) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	if err := codecsOf(m, o); err != nil {
		return nil, err
	}
	if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: audioLevelURI},
		webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	i := &interceptor.Registry{}
	if err := interceptors(m, i, o); err != nil {
		return nil, err
	}
	s := webrtc.SettingEngine{}
	if len(o.Networks) == 0 {
		o.Networks = []webrtc.NetworkType{webrtc.NetworkTypeUDP4}
	}
	s.SetNetworkTypes(o.Networks)
	s.SetIncludeLoopbackCandidate(true)
	s.SetICETimeouts(5*time.Second, 25*time.Second, 2*time.Second)
	if o.Profile != 0 {
		s.SetSRTPProtectionProfiles(o.Profile)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(i), webrtc.WithSettingEngine(s)), nil
}

// codecsOf registers Pion's own codecs, or the few of a client that differs.
func codecsOf(m *webrtc.MediaEngine, o Options) error {
	if !o.NoFeedback && o.OpusPT == 0 {
		return m.RegisterDefaultCodecs()
	}
	pt := webrtc.PayloadType(o.OpusPT)
	if pt == 0 {
		pt = 111
	}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	err := m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: pt}, webrtc.RTPCodecTypeAudio)
	if err != nil || o.OpusPT != 0 {
		return err
	}
	vp8 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: videoClock,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}}
	return m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: vp8, PayloadType: 96}, webrtc.RTPCodecTypeVideo)
}

// interceptors are Pion's default ones and numbers of transport-wide congestion control on what is sent.
func interceptors(m *webrtc.MediaEngine, i *interceptor.Registry, o Options) error {
	if err := webrtc.ConfigureNack(m, i); err != nil {
		return err
	}
	if !o.NoReports {
		if err := webrtc.ConfigureRTCPReports(i); err != nil {
			return err
		}
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(m); err != nil {
		return err
	}
	if o.NoFeedback {
		return nil
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(m, i); err != nil {
		return err
	}
	return webrtc.ConfigureTWCCSender(m, i)
}

// Join sends `join` and the first offer at once, as plugin and page do: there is no answer to a join.
func (p *Plugin) Join(callID string, o Options) (*Peer, error) {
	api, err := newAPI(o)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	peer := &Peer{SessionID: NewID(), UserID: NewID(), CallID: callID, PC: pc, opts: o, plugin: p,
		Connected: make(chan struct{}), Open: make(chan struct{}), Tracks: make(chan string, 512),
		Map: make(chan dc.MediaMap, 512), lockCh: make(chan bool, 8), Reports: make(chan string, 64), answered: make(chan struct{}, 8),
		received: map[string]*Received{}, done: make(chan struct{}), Pings: &Pings{}}
	p.bind(peer)

	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(peer.Connected) })
		}
	})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			_ = peer.server().SendRTC(peer.SessionID, rtc.ICEMessage, c.ToJSON())
		}
	})
	pc.OnTrack(peer.onTrack)
	var channel webrtc.DataChannelInit
	if o.ChannelID != 0 {
		channel.ID = &o.ChannelID
	}
	if peer.channel, err = pc.CreateDataChannel("calls-dc", &channel); err != nil {
		return nil, err
	}
	peer.channel.OnOpen(func() { close(peer.Open); go peer.ping() })
	peer.channel.OnMessage(func(m webrtc.DataChannelMessage) { peer.onChannel(m.Data) })

	if err := p.Client.Send(*service.NewClientMessage(service.ClientMessageJoin, map[string]any{
		"callID": callID, "userID": peer.UserID, "sessionID": peer.SessionID, "channelID": callID,
		"av1Support": o.AV1, "dcSignaling": o.DCSignaling})); err != nil {
		return nil, err
	}
	return peer, peer.offer()
}

func (peer *Peer) relay() *Relay {
	peer.mut.Lock()
	defer peer.mut.Unlock()
	return peer.opts.Relay
}

// SetRelay takes another relay from the next description of the server on.
func (peer *Peer) SetRelay(r *Relay) {
	peer.mut.Lock()
	defer peer.mut.Unlock()
	peer.opts.Relay = r
}

func (peer *Peer) server() *Plugin {
	peer.mut.Lock()
	defer peer.mut.Unlock()
	return peer.plugin
}

// WaitReady waits until media and data channel are up.
func (peer *Peer) WaitReady(d time.Duration) error {
	deadline := time.After(d)
	for _, ch := range []chan struct{}{peer.Connected, peer.Open} {
		select {
		case <-ch:
		case <-deadline:
			return fmt.Errorf("not ready after %v: connection %s, channel %s", d, peer.PC.ConnectionState(),
				peer.channel.ReadyState())
		}
	}
	return nil
}

func (peer *Peer) ping() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-peer.done:
			return
		case <-t.C:
			peer.Ping()
		}
	}
}

// SendChannel sends one data-channel message in rtcd's own encoding.
func (peer *Peer) SendChannel(t dc.MessageType, payload any) error {
	b, err := dc.EncodeMessage(t, payload)
	if err != nil {
		return err
	}
	return peer.channel.Send(b)
}

// SendRaw sends bytes as they are.
func (peer *Peer) SendRaw(b []byte) error { return peer.channel.Send(b) }

func (peer *Peer) onChannel(b []byte) {
	t, payload, err := dc.DecodeMessage(b)
	if err != nil {
		return
	}
	switch t {
	case dc.MessageTypePong:
		peer.Pongs.Add(1)
		peer.Pings.answered()
	case dc.MessageTypeLock:
		if v, ok := payload.(bool); ok {
			offer(peer.lockCh, v)
		}
	case dc.MessageTypeMediaMap:
		offer(peer.Map, payload.(dc.MediaMap))
	case dc.MessageTypeSDP:
		_ = peer.description(payload.([]byte), true)
	}
}

func (peer *Peer) signal(m rtc.Message) {
	switch m.Type {
	case rtc.SDPMessage:
		_ = peer.description(m.Data, false)
	case rtc.ICEMessage:
		var w struct {
			Candidate webrtc.ICECandidateInit `json:"candidate"`
		}
		if json.Unmarshal(m.Data, &w) == nil {
			if r := peer.relay(); r != nil {
				w.Candidate.Candidate = r.Candidates(w.Candidate.Candidate)
			}
			_ = peer.PC.AddICECandidate(webrtc.ICECandidateInit{Candidate: w.Candidate.Candidate})
		}
	}
}

// description applies what the server sent; an offer is answered on the path it came on.
func (peer *Peer) description(raw []byte, byChannel bool) error {
	var d webrtc.SessionDescription
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if r := peer.relay(); r != nil {
		d.SDP = r.Candidates(d.SDP)
	}
	if err := peer.PC.SetRemoteDescription(d); err != nil {
		return err
	}
	if d.Type == webrtc.SDPTypeAnswer {
		offer(peer.answered, struct{}{})
		return nil
	}
	a, err := peer.PC.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := peer.PC.SetLocalDescription(a); err != nil {
		return err
	}
	peer.offers.Add(1)
	return peer.send(a, byChannel)
}

func (peer *Peer) send(d webrtc.SessionDescription, byChannel bool) error {
	if byChannel {
		raw, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return peer.SendChannel(dc.MessageTypeSDP, raw)
	}
	return peer.server().SendRTC(peer.SessionID, rtc.SDPMessage, d)
}

// offer makes and sends an offer. The first one goes over the WebSocket, later ones as the options say.
func (peer *Peer) offer() error {
	o, err := peer.PC.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := peer.PC.SetLocalDescription(o); err != nil {
		return err
	}
	byChannel := peer.opts.DCSignaling && peer.channel.ReadyState() == webrtc.DataChannelStateOpen
	return peer.send(o, byChannel)
}

// Lock takes the signaling lock, asking again every 100 ms for up to 5 s.
func (peer *Peer) Lock() error {
	deadline := time.After(5 * time.Second)
	for {
		if err := peer.SendChannel(dc.MessageTypeLock, nil); err != nil {
			return err
		}
		select {
		case granted := <-peer.lockCh:
			if granted {
				return nil
			}
		case <-deadline:
			return errors.New("no lock after 5 s")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Unlock frees it.
func (peer *Peer) Unlock() error { return peer.SendChannel(dc.MessageTypeUnlock, nil) }

// Unmute adds the microphone (the first time) under the lock and sends 50 packets a second until Mute.
func (peer *Peer) Unmute() error {
	if err := peer.server().SendRTC(peer.SessionID, rtc.UnmuteMessage, nil); err != nil {
		return err
	}
	if peer.track != nil {
		peer.muted.Store(false)
		return nil
	}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus,
		ClockRate: 48000, Channels: 2}, "voice", "mic"+peer.SessionID)
	if err != nil {
		return err
	}
	if err := peer.renegotiate(func() (err error) {
		peer.sender, err = peer.PC.AddTrack(track)
		return err
	}); err != nil {
		return err
	}
	peer.track = track
	go peer.drain()
	go peer.talk()
	return nil
}

// Mute stops sending, as replaceTrack(null) does, and says so.
func (peer *Peer) Mute() error {
	peer.muted.Store(true)
	return peer.server().SendRTC(peer.SessionID, rtc.MuteMessage, nil)
}

func (peer *Peer) drain() {
	b := make([]byte, 1500)
	for {
		n, _, err := peer.sender.Read(b)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(b[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			offer(peer.Reports, report(p))
		}
	}
}

// VoiceBytes is the payload size of a voice packet: the mean of the load tool's speech sample.
const VoiceBytes = 170

func (peer *Peer) talk() {
	var level uint8
	for _, e := range peer.sender.GetParameters().HeaderExtensions {
		if e.URI == audioLevelURI {
			level = uint8(e.ID)
		}
	}
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(len(peer.SessionID)) * 1777}}
	p.Payload = make([]byte, VoiceBytes)
	p.Payload[0] = 0x78
	for {
		select {
		case <-peer.done:
			return
		case <-t.C:
			p.Timestamp += 960
			if peer.muted.Load() {
				continue
			}
			p.SequenceNumber++
			binary.BigEndian.PutUint64(p.Payload[1:], uint64(time.Now().UnixNano()))
			if peer.opts.SendLevels && level != 0 {
				_ = p.SetExtension(level, []byte{speech(p.Timestamp)})
			}
			if peer.track.WriteRTP(&p) == nil {
				peer.sent.Add(1)
			}
		}
	}
}

// speech is an audio level that swings as a voice does for 3 s and is silent for 3 s.
func speech(ts uint32) uint8 {
	s := ts / 960
	if s%300 < 150 {
		return uint8(20 + 40*(s%2))
	}
	return 127
}

// report names an RTCP packet.
func report(p rtcp.Packet) string {
	switch p.(type) {
	case *rtcp.SenderReport:
		return "SR"
	case *rtcp.ReceiverReport:
		return "RR"
	case *rtcp.TransportLayerCC:
		return "TWCC"
	}
	return "other"
}

func (peer *Peer) countReports(r *webrtc.RTPReceiver) {
	for {
		packets, _, err := r.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if report(p) == "SR" {
				peer.SenderReports.Add(1)
			}
		}
	}
}

func (peer *Peer) onTrack(t *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	offer(peer.Tracks, t.ID())
	go peer.countReports(receiver)
	parts := strings.Split(t.ID(), "_")
	if len(parts) != 3 {
		return
	}
	if t.Kind() == webrtc.RTPCodecTypeVideo {
		peer.onVideo(t, parts[0], parts[1])
		return
	}
	r := peer.Heard(parts[1])
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		r.count(p)
	}
}

func (r *Received) count(p *rtp.Packet) {
	r.Packets.Add(1)
	if len(p.Payload) >= 9 {
		d := time.Now().UnixNano() - int64(binary.BigEndian.Uint64(p.Payload[1:]))
		r.Latency[r.n.Add(1)%int64(len(r.Latency))] = d
	}
	if r.started {
		switch d := int16(p.SequenceNumber - r.lastSeq); {
		case d > 1:
			r.Gaps.Add(int64(d) - 1)
		case d <= 0:
			r.Late.Add(1)
			return
		}
	}
	r.started, r.lastSeq = true, p.SequenceNumber
	r.LastNS.Store(time.Now().UnixNano())
}

// Heard returns the counters of what this peer receives from a sender.
func (peer *Peer) Heard(sender string) *Received {
	peer.mut.Lock()
	defer peer.mut.Unlock()
	r := peer.received[sender]
	if r == nil {
		r = &Received{}
		peer.received[sender] = r
	}
	return r
}

// WaitHears waits until at least n further packets of sender arrive.
func (peer *Peer) WaitHears(sender *Peer, n int64, d time.Duration) error {
	r := peer.Heard(sender.SessionID)
	want := r.Packets.Load() + n
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if r.Packets.Load() >= want {
			return nil
		}
	}
	return fmt.Errorf("%s heard %d packets of %s in %v, want %d more", peer.SessionID[:6], r.Packets.Load(),
		sender.SessionID[:6], d, n)
}

// Sent is how many voice packets this peer has sent.
func (peer *Peer) Sent() int64 { return peer.sent.Load() }

// Offers is how many offers of the server this peer has answered.
func (peer *Peer) Offers() int64 { return peer.offers.Load() }

// Close ends the peer as a page does: leave by the plugin, then the connection.
func (peer *Peer) Close() {
	select {
	case <-peer.done:
		return
	default:
		close(peer.done)
	}
	_ = peer.server().Leave(peer.SessionID)
	_ = peer.PC.Close()
}
