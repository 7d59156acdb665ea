package interop

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mattermost/rtcd/service"
	"github.com/mattermost/rtcd/service/rtc"
)

// api is the server under test: any rtcd-compatible one with self-registration on.
func api(t *testing.T) string {
	url := os.Getenv("SLUICE_API")
	if url == "" {
		t.Skip("SLUICE_API is not set (tests/interop/go.story starts a server and sets it)")
	}
	return url
}

func connect(t *testing.T) *Plugin {
	t.Helper()
	p, err := NewPlugin(api(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Client.Close() })
	return p
}

func join(t *testing.T, p *Plugin, call string, o Options) *Peer {
	t.Helper()
	peer, err := p.Join(call, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(peer.Close)
	if err := peer.WaitReady(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return peer
}

func unmute(t *testing.T, peer *Peer) {
	t.Helper()
	if err := peer.Unmute(); err != nil {
		t.Fatal(err)
	}
}

// hearsNow waits for one further packet: for many pairs in turn.
func hearsNow(t *testing.T, listener, speaker *Peer) {
	t.Helper()
	if err := listener.WaitHears(speaker, 1, 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, listener, speaker *Peer) {
	t.Helper()
	if err := listener.WaitHears(speaker, 25, 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

// talk is a call in which b hears a.
func talk(t *testing.T) (p *Plugin, call string, a, b *Peer) {
	t.Helper()
	p = connect(t)
	call = NewID()
	a = join(t, p, call, Options{})
	b = join(t, p, call, Options{})
	unmute(t, a)
	hears(t, b, a)
	return
}

func TestPluginConnectsAsAtActivation(t *testing.T) {
	p := connect(t)
	select {
	case h := <-p.Hello:
		if h["clientID"] != p.ID || len(h["connID"]) != 26 {
			t.Fatalf("hello %v", h)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("no hello")
	}
	v, err := p.Client.GetVersionInfo()
	if err != nil || !strings.HasPrefix(v.BuildVersion, "v") {
		t.Fatalf("version %+v, %v", v, err)
	}
	s, err := p.Client.GetSystemInfo()
	if err != nil || s.CPULoad < 0 {
		t.Fatalf("system %+v, %v", s, err)
	}
}

func TestRegistrationRules(t *testing.T) {
	url := api(t)
	p := connect(t)
	c, _ := service.NewClient(service.ClientConfig{URL: url, ClientID: p.ID, AuthKey: p.Key})
	if err := c.Register(p.ID, NewID()+NewID()); err == nil || !strings.Contains(err.Error(), "already registered") {
		t.Errorf("second registration of an id: %v", err)
	}
	if err := c.Register(NewID(), "short"); err == nil || !strings.Contains(err.Error(), "key not long enough") {
		t.Errorf("short key: %v", err)
	}
	if err := c.Register("", p.Key); err == nil || !strings.Contains(err.Error(), "empty key") {
		t.Errorf("empty id: %v", err)
	}
	if _, err := ConnectPlugin(url, p.ID, NewID()+NewID()); err == nil {
		t.Error("a wrong key connects")
	}
}

func TestUnregisteredClientCannotConnect(t *testing.T) {
	url := api(t)
	p := connect(t)
	if err := p.Client.Unregister(p.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := ConnectPlugin(url, p.ID, p.Key); err == nil {
		t.Fatal("connects after unregister")
	}
}

func TestSessionsAreListed(t *testing.T) {
	p := connect(t)
	call := NewID()
	if _, code, _ := p.Client.GetSessions(call); code != http.StatusNotFound {
		t.Errorf("unknown call: status %d", code)
	}
	a := join(t, p, call, Options{})
	list, code, err := p.Client.GetSessions(call)
	if err != nil || code != http.StatusOK || len(list) != 1 || list[0].SessionID != a.SessionID ||
		list[0].GroupID != p.ID || list[0].UserID != a.UserID || list[0].CallID != call {
		t.Errorf("sessions: %+v, %d, %v", list, code, err)
	}
	one, code, err := p.Client.GetSession(call, a.SessionID)
	if err != nil || code != http.StatusOK || one.Props["channelID"] != call {
		t.Errorf("session: %+v, %d, %v", one, code, err)
	}
	// Another tenant sees nothing of it.
	q := connect(t)
	if _, code, _ := q.Client.GetSessions(call); code != http.StatusNotFound {
		t.Errorf("another client's call: status %d", code)
	}
}

func TestLeaveIsAnsweredByClose(t *testing.T) {
	p := connect(t)
	a := join(t, p, NewID(), Options{})
	a.Close()
	waitClosed(t, p, a.SessionID, 3*time.Second)
	if _, code, _ := p.Client.GetSessions(a.CallID); code != http.StatusNotFound {
		t.Errorf("after the last leave: status %d", code)
	}
}

func waitClosed(t *testing.T, p *Plugin, id string, d time.Duration) {
	t.Helper()
	deadline := time.After(d)
	for {
		select {
		case got := <-p.Closed:
			if got == id {
				return
			}
		case <-deadline:
			t.Fatalf("no close for %s in %v", id, d)
		}
	}
}

func TestNoOfferInTenSecondsIsClosed(t *testing.T) {
	t.Parallel()
	p := connect(t)
	id := NewID()
	_ = p.Client.Send(*service.NewClientMessage(service.ClientMessageJoin, map[string]any{"callID": NewID(),
		"userID": NewID(), "sessionID": id, "channelID": "", "av1Support": false, "dcSignaling": false}))
	waitClosed(t, p, id, 13*time.Second)
}

// Dropping the TCP connection under the client makes it reconnect by itself, with a new hello.
func TestClientReconnectsByItself(t *testing.T) {
	p := connect(t)
	var mut sync.Mutex
	var conns []net.Conn
	attempts := make(chan int, 8)
	q, err := ConnectPlugin(api(t), p.ID, p.Key,
		service.WithClientReconnectCb(func(_ *service.Client, n int) error { offer(attempts, n); return nil }),
		service.WithDialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				mut.Lock()
				conns = append(conns, c)
				mut.Unlock()
			}
			return c, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Client.Close()
	<-q.Hello
	mut.Lock()
	for _, c := range conns {
		_ = c.Close()
	}
	mut.Unlock()
	for _, wait := range []func() bool{
		func() bool { <-attempts; return true },
		func() bool { h := <-q.Hello; return h["clientID"] == p.ID },
	} {
		ok := make(chan bool, 1)
		go func() { ok <- wait() }()
		select {
		case good := <-ok:
			if !good {
				t.Fatal("wrong hello")
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no reconnect in 5 s")
		}
	}
}

func TestD10OtherTenantsCannotTouchASession(t *testing.T) {
	p, call, a, b := talk(t)
	q := connect(t)
	_ = q.Leave(a.SessionID)
	_ = q.SendRTC(a.SessionID, rtc.MuteMessage, nil)
	_ = q.SendRTC(a.SessionID, rtc.SDPMessage, map[string]string{"type": "offer", "sdp": "v=0\r\n"})
	_ = q.Client.Send(*service.NewClientMessage(service.ClientMessageReconnect,
		map[string]string{"sessionID": a.SessionID}))
	hears(t, b, a)
	if _, code, _ := p.Client.GetSession(call, a.SessionID); code != http.StatusOK {
		t.Errorf("session gone: %d", code)
	}
	// Its messages still come to its own plugin.
	c := join(t, p, call, Options{})
	unmute(t, c)
	hears(t, a, c)
}

func TestD13SessionFollowsALivingConnection(t *testing.T) {
	p := connect(t)
	call := NewID()
	a := join(t, p, call, Options{})
	b := join(t, p, call, Options{})
	q, err := ConnectPlugin(api(t), p.ID, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Client.Close() })
	if err := q.Adopt(a); err != nil {
		t.Fatal(err)
	}
	unmute(t, b)
	hears(t, a, b) // the offer to a came over q
	if err := q.Leave(a.SessionID); err != nil {
		t.Fatal(err)
	}
	waitClosed(t, q, a.SessionID, 3*time.Second)
}

func TestD14DuplicateJoinLeavesTheFirstAlone(t *testing.T) {
	p, call, a, b := talk(t)
	for range 20 {
		_ = p.Client.Send(*service.NewClientMessage(service.ClientMessageJoin, map[string]any{"callID": call,
			"userID": a.UserID, "sessionID": a.SessionID, "channelID": call, "av1Support": false,
			"dcSignaling": false}))
	}
	hears(t, b, a)
	select {
	case id := <-p.Closed:
		t.Fatalf("close %s for a live session", id)
	default:
	}
	if list, _, _ := p.Client.GetSessions(call); len(list) != 2 {
		t.Errorf("%d sessions", len(list))
	}
}

func TestD53ARefusedJoinIsToldByClose(t *testing.T) {
	p := connect(t)
	id := NewID()
	_ = p.Client.Send(*service.NewClientMessage(service.ClientMessageJoin, map[string]any{"callID": "",
		"userID": NewID(), "sessionID": id, "channelID": "", "av1Support": false, "dcSignaling": false}))
	waitClosed(t, p, id, 3*time.Second)
}
