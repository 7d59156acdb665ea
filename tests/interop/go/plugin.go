// Package interop plays the Calls plugin and its users against an rtcd-compatible server: the plugin's side with
// rtcd's own client library, the users with Pion.
package interop

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/mattermost/rtcd/service"
	"github.com/mattermost/rtcd/service/rtc"
)

// Plugin is one connection of one Mattermost installation: what mattermost-plugin-calls holds per rtcd host.
type Plugin struct {
	Client *service.Client
	ID     string
	Key    string

	mut      sync.Mutex
	sessions map[string]*Peer
	raw      map[string]chan string // SDP of sessions without a Peer
	Hello    chan map[string]string
	Closed   chan string // session ids of `close`
	Voice    chan rtc.Message
	Errors   chan error
}

// NewID returns a 26-character identifier as Mattermost makes them.
func NewID() string {
	const alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"
	b := make([]byte, 26)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

// NewPlugin registers a new installation at the server and connects, as the plugin does at activation.
func NewPlugin(url string) (*Plugin, error) {
	id, key := NewID(), NewID()+NewID()
	c, err := service.NewClient(service.ClientConfig{URL: url, ClientID: id, AuthKey: key})
	if err != nil {
		return nil, err
	}
	if err := c.Register(id, key); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	return ConnectPlugin(url, id, key)
}

// ConnectPlugin connects with known credentials.
func ConnectPlugin(url, id, key string, opts ...service.ClientOption) (*Plugin, error) {
	c, err := service.NewClient(service.ClientConfig{URL: url, ClientID: id, AuthKey: key,
		ReconnectInterval: 200e6}, opts...)
	if err != nil {
		return nil, err
	}
	p := &Plugin{Client: c, ID: id, Key: key, sessions: map[string]*Peer{}, raw: map[string]chan string{},
		Hello: make(chan map[string]string, 16), Closed: make(chan string, 1024),
		Voice: make(chan rtc.Message, 1024), Errors: make(chan error, 64)}
	if err := c.Connect(); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	go p.receive()
	go func() {
		for err := range c.ErrorCh() {
			offer(p.Errors, err)
		}
	}()
	return p, nil
}

// offer sends without blocking; a full channel means nobody waits for it.
func offer[T any](ch chan T, v T) {
	select {
	case ch <- v:
	default:
	}
}

func (p *Plugin) receive() {
	for m := range p.Client.ReceiveCh() {
		switch m.Type {
		case service.ClientMessageHello:
			if d, ok := m.Data.(map[string]string); ok {
				offer(p.Hello, d)
			}
		case service.ClientMessageClose:
			if d, ok := m.Data.(map[string]string); ok {
				offer(p.Closed, d["sessionID"])
			}
		case service.ClientMessageVAD:
			if d, ok := m.Data.(rtc.Message); ok {
				offer(p.Voice, d)
			}
		case service.ClientMessageRTC:
			if d, ok := m.Data.(rtc.Message); ok {
				p.mut.Lock()
				peer, raw := p.sessions[d.SessionID], p.raw[d.SessionID]
				p.mut.Unlock()
				if peer != nil {
					peer.signal(d)
				}
				var sdp struct{ SDP string }
				if raw != nil && d.Type == rtc.SDPMessage && json.Unmarshal(d.Data, &sdp) == nil {
					offer(raw, sdp.SDP)
				}
			}
		}
	}
}

func (p *Plugin) bind(peer *Peer) {
	p.mut.Lock()
	defer p.mut.Unlock()
	p.sessions[peer.SessionID] = peer
}

// Adopt moves a peer's signaling to this connection, as another plugin node does after `reconnect`.
func (p *Plugin) Adopt(peer *Peer) error {
	p.bind(peer)
	peer.mut.Lock()
	peer.plugin = p
	peer.mut.Unlock()
	return p.Client.Send(*service.NewClientMessage(service.ClientMessageReconnect,
		map[string]string{"sessionID": peer.SessionID}))
}

// SendRTC sends one rtc message the way the plugin does: only session_id, type and data are filled.
func (p *Plugin) SendRTC(sessionID string, t rtc.MessageType, data any) error {
	var raw []byte
	switch d := data.(type) {
	case nil:
	case []byte:
		raw = d
	default:
		var err error
		if raw, err = json.Marshal(d); err != nil {
			return err
		}
	}
	return p.Client.Send(*service.NewClientMessage(service.ClientMessageRTC,
		rtc.Message{SessionID: sessionID, Type: t, Data: raw}))
}

// Leave ends a session from the plugin's side.
func (p *Plugin) Leave(sessionID string) error {
	return p.Client.Send(*service.NewClientMessage(service.ClientMessageLeave,
		map[string]string{"sessionID": sessionID}))
}
