// One receiver of a video track: where it is in the ring of which layer, what its numbers are, and what is made of
// that: the packets it is sent now, those it is sent again, and those that probe its path.
//
// Owned by the receiver's home worker from MAIL_LEG_ADD on; made and freed by main with its leg.
// thread: home worker of the receiver
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/ipc/wire.h"

#define VIEWER_SLICE 64 // packets sealed at a time, and served before voice has its turn again

struct leg;
struct probe_plan;
struct rte_mbuf;
struct session;
struct simulcast;
struct source;
struct viewer;
struct worker;

// thread: main. NULL: out of memory.
struct viewer *viewer_new(const struct ipc_leg_add *);
void viewer_free(void *viewer);

// The leg begins, ends: called with its mails.
void viewer_start(struct worker *, struct session *, struct leg *);
void viewer_stop(struct worker *, struct session *, struct leg *);

// --- forwarding ------------------------------------------------------------------------------------

// The ring of a layer of this source has something new for the receivers here: they are served by audience_serve.
void audience_wake(struct worker *, struct source *);
// Serve a slice of the receivers that wait, fairly over sources. Returns how much there was to do; > 0 while more
// waits. Called once a round, after everything that must not wait for video.
unsigned audience_serve(struct worker *);
// A packet that fills a place behind the cursors: m_peek is it (pkt_of: index, layer).
void viewer_late(struct worker *, struct source *, struct rte_mbuf *m_peek);
// Backlog whose time has come: part of the session's timer.
void viewer_run(struct worker *, struct session *);

// The choice of layer of this leg (lib/rtc/send/simulcast.h), which bwe.c steers.
struct simulcast *viewer_choice(struct viewer *);
// The choice says "paused" or changed: the viewer stops, or asks for the key frame it needs.
void viewer_choice_changed(struct worker *, struct session *, struct leg *);

// --- what receivers ask for ------------------------------------------------------------------------

// Sequence numbers of a NACK for this leg: resent within the limits of lib/rtc/send/resend.h.
void viewer_nack(struct worker *, struct session *, struct leg *, const uint16_t *seq, unsigned n);
// A PLI, or a FIR with its number: passed on within the limits of lib/rtc/send/keyreq.h.
void viewer_pli(struct worker *, struct session *, struct leg *);
void viewer_fir(struct worker *, struct session *, struct leg *, uint8_t seq_nr);
// Send one packet of a probe: a recent packet again by RTX, else padding. Bytes on the wire, 0: nothing could be sent.
unsigned viewer_probe(struct worker *, struct session *, uint8_t cluster, unsigned max_bytes);

struct clock_map;
// RTP time of what the leg is sent against our clock, for its sender reports; false: not known yet.
bool viewer_clock(const struct leg *, struct clock_map *);

// For CMD_QUERY: layer, sent_bps and the counts; the rest is the caller's.
void viewer_state(const struct viewer *, ns_t now, struct ipc_leg_state *);
