// hostile plays participants of real WebRTC sessions: attackers of several kinds, and bystanders who measure what they lose.
// It prints `ready ...` when its sessions are up, works for -seconds, and prints one line of JSON:
//
//	hostile -api http://127.0.0.1:8045 -seconds 10 bystanders -people 10
//	hostile -api http://127.0.0.1:8045 -seconds 10 keys -n 8
//	hostile -api http://127.0.0.1:8045 toggle -n 8
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	interop "sluice.test/interop"
)

type kind func(args []string, o common) (any, error)

type common struct {
	api  string
	time time.Duration
}

var kinds = map[string]kind{"bystanders": bystanders, "keys": keys, "toggle": toggle, "lines": lines, "flood": flood,
	"offer": offerText, "victim": victim}

func main() {
	api := flag.String("api", "", "server's API URL")
	seconds := flag.Float64("seconds", 10, "how long to work")
	flag.Parse()
	run := kinds[flag.Arg(0)]
	if run == nil {
		fmt.Fprintln(os.Stderr, "hostile: which kind?")
		os.Exit(64)
	}
	out, err := run(flag.Args()[1:], common{*api, time.Duration(*seconds * float64(time.Second))})
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

func ready(words ...any) { fmt.Println(append([]any{"ready"}, words...)...) }

// flags parses the arguments of a kind: numbers by name.
func flags(args []string, defaults map[string]int) map[string]int {
	set := flag.NewFlagSet("kind", flag.ExitOnError)
	values := map[string]*int{}
	for name, v := range defaults {
		values[name] = set.Int(name, v, "")
	}
	_ = set.Parse(args)
	out := map[string]int{}
	for name, v := range values {
		out[name] = *v
	}
	return out
}

// room is one call of one tenant.
type room struct {
	plugin *interop.Plugin
	call   string
	all    []*interop.Peer
}

func newRoom(api string) (*room, error) {
	p, err := interop.NewPlugin(api)
	if err != nil {
		return nil, err
	}
	return &room{plugin: p, call: interop.NewID()}, nil
}

func (r *room) join() (*interop.Peer, error) {
	p, err := r.plugin.Join(r.call, interop.Options{DCSignaling: true, SendLevels: true, NoReports: true})
	if err != nil {
		return nil, err
	}
	r.all = append(r.all, p)
	return p, p.WaitReady(15 * time.Second)
}

// pair joins a talker and a listener who hears it.
func (r *room) pair() (talker, listener *interop.Peer, err error) {
	if talker, err = r.join(); err != nil {
		return
	}
	if listener, err = r.join(); err != nil {
		return
	}
	if err = talker.Unmute(); err != nil {
		return
	}
	err = listener.WaitHears(talker, 5, 10*time.Second)
	return
}

func (r *room) close() {
	for _, p := range r.all {
		p.Close()
	}
}
