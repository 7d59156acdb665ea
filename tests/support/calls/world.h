// The calls between fakes: plugin connections, addresses, metrics and store are functions here, the
// dataplane is the other end of a real ipc link on the same loop, clients are real DTLS and SCTP peers.
// Every test file of the binary includes this; the fakes are weak, so that one copy of each serves all.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/session/dcmsg.h"
#include "controlplane/calls/hub.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"
#include "controlplane/nat/natdiscover.h"
#include "controlplane/session/sigmsg.h"
#include "controlplane/store/store.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"
#include "lib/peer/dchan.h"
#include "lib/peer/dtls.h"
#include "lib/rtc/wire/msgpack.h"
#include "tests/unit/check.h"

#define MAX_CLIENTS 600
#define MAX_RECORDS 1024

struct world;

// A participant as the browser and its plugin see it.
struct client {
	struct world *w;
	char id[32];
	uint32_t sid; // learnt from CMD_SESSION_ADD
	char ufrag[IPC_UFRAG_LEN + 1];
	struct dtls *dtls;
	struct dchan *dchan;
	bool is_up, has_channel, is_down;
	uint64_t cookie;
	struct ipc_session_add add;
	struct ipc_session_keys keys;
	bool has_keys, is_deleted, is_silent, is_lost, talks; // the rest: what the snapshot says
	char *answer, *offer;                                 // SDP text, newest
	bool offer_by_dc, map_before_offer;
	unsigned n_answers, n_offers, n_closes, n_maps, n_pongs, n_text_pongs, n_locks, n_voice_on,
		n_voice_off;
	unsigned n_legs_up, n_legs_down, n_tracks, n_track_dels, n_gates, n_ice;
	bool lock_granted, last_gate, track_enabled;
	struct ipc_leg_add last_leg;
	struct ipc_track_add last_track;
	struct ipc_track_add tracks[IPC_MAX_TRACKS]; // sid 0: none; gates are in `enabled`
	uint32_t live_ssrc[IPC_MAX_TRACKS];          // video only
	uint8_t live_pt[IPC_MAX_TRACKS];
	struct ipc_leg_add legs[IPC_MAX_LEGS]; // sid 0: none
	char map_sender[64], map_type[16];     // last line of the newest media map
	char map[16][48];                      // all of it: "type sender"
	unsigned n_map;
	conn_id last_conn;
};

struct fake_record {
	char *key, *value;
	size_t key_len, value_len;
};

struct world {
	struct loop *loop;
	struct hub *hub;
	struct conf conf;
	char dir[64], socket[96];
	// dataplane
	int listen_fd;
	struct loop_fd *listen_watch, *chan_watch, *bell_watch;
	struct ipc_chan *chan;
	int ring_fd, bells[2];
	struct statseg *stats; // of the dataplane that is played
	struct pktring_mem mem;
	struct pktring_tx tx;
	struct pktring_rx rx;
	uint64_t boot_id;
	bool refuses_sessions, is_deaf;
	unsigned n_commands, n_punts, n_dels, n_queries;
	uint32_t query_seq;
	// clients
	struct client *clients[MAX_CLIENTS];
	unsigned n_clients;
	struct dtls_ctx *dtls;
	// store
	struct fake_record records[MAX_RECORDS];
	unsigned n_records;
	bool store_is_away;
	store_state_fn on_store; // who watches it
	void *on_store_arg;
	// metrics
	double sums[N_METRICS];
	struct {
		char label[32];
		double n;
	} drops[64];
	unsigned n_drops;
	unsigned n_unknown_closes;
	char last_close[64];
};

#define FAKE __attribute__((weak))
#pragma GCC diagnostic ignored "-Wunused-function"

FAKE struct world *world; // for the fakes, which get no argument of ours

static struct client *client_by_id(struct str id)
{
	for (unsigned i = 0; i < world->n_clients; i++)
		if (str_eq(str_of(world->clients[i]->id), id))
			return world->clients[i];
	return NULL;
}

static struct client *client_by_sid(uint32_t sid)
{
	for (unsigned i = 0; i < world->n_clients; i++)
		if (world->clients[i]->sid == sid)
			return world->clients[i];
	return NULL;
}

// --- plugin ------------------------------------------------------------------------------------------
static void client_on_sdp(struct client *c, struct str json, bool by_dc)
{
	struct sigmsg_sdp m;
	char **slot;

	CHECK_EQ(sigmsg_parse_sdp(json, &m), 0);
	slot = m.type == SIGMSG_OFFER ? &c->offer : &c->answer;
	free(*slot);
	*slot = strndup(m.sdp.p ? m.sdp.p : "", m.sdp.len);
	if (m.type == SIGMSG_OFFER) {
		c->n_offers++;
		c->offer_by_dc = by_dc;
		c->map_before_offer = c->n_maps >= c->n_offers;
	} else {
		c->n_answers++;
	}
	sigmsg_free(&m);
}

FAKE void plugins_send_rtc(struct plugins *p, struct str client, conn_id preferred, enum deliver deliver,
			   enum rtc_type type, struct str user_id, struct str session_id, struct str call_id,
			   struct str data)
{
	struct client *c = client_by_id(session_id);

	if (c == NULL)
		return;
	CHECK(user_id.len > 0 && call_id.len > 0);
	c->last_conn = preferred;
	if (type == RTC_SDP)
		client_on_sdp(c, data, false);
	c->n_voice_on += type == RTC_VOICE_ON;
	c->n_voice_off += type == RTC_VOICE_OFF;
	CHECK(type == RTC_SDP ? deliver == DELIVER_ALL : deliver == DELIVER_ONE);
}

FAKE void plugins_send_close(struct plugins *p, struct str client, conn_id preferred, struct str session_id)
{
	struct client *c = client_by_id(session_id);

	CHECK(str_copy(session_id, world->last_close, sizeof(world->last_close)));
	if (c != NULL && str_eq(client, STR("clientA"))) // all of its clients are
		c->n_closes++;
	else
		world->n_unknown_closes++;
}

// --- addresses, metrics ------------------------------------------------------------------------------
struct nat {
	int unused;
};

FAKE struct nat *nat_new(struct loop *l, const struct conf *c)
{
	return calloc(1, sizeof(struct nat));
}
FAKE void nat_free(struct nat *n)
{
	free(n);
}
FAKE void nat_set_tcp_port(struct nat *n, uint16_t port)
{
}
FAKE unsigned nat_candidates(struct nat *n, struct nat_candidate out[NAT_MAX_CANDIDATES])
{
	out[0] = (struct nat_candidate){
		.addr = "127.0.0.1", .base = "127.0.0.1", .port = 8443, .priority = 2130706431};
	strcpy(out[0].foundation, "2631669666");
	return 1;
}

static double *drop_count(const char *label)
{
	for (unsigned i = 0; i < world->n_drops; i++)
		if (strcmp(world->drops[i].label, label) == 0)
			return &world->drops[i].n;
	MUST(world->n_drops < ARRAY_LEN(world->drops));
	snprintf(world->drops[world->n_drops].label, sizeof(world->drops[0].label), "%s", label);
	return &world->drops[world->n_drops++].n;
}

FAKE void metric_add(struct metrics *m, enum metric id, const struct str *labels, double delta)
{
	char label[32];

	world->sums[id] += delta;
	if (id != M_SIGNALING_DROPS && id != M_SESSIONS_CLOSED && id != M_JOINS_REFUSED)
		return;
	CHECK(str_copy(labels[0], label, sizeof(label)));
	*drop_count(label) += delta;
}
FAKE void metric_set(struct metrics *m, enum metric id, const struct str *labels, double value)
{
}
FAKE void metric_observe(struct metrics *m, enum metric id, const struct str *labels, double value)
{
	CHECK(value >= 0);
	world->sums[id] += 1;
}

// --- store -------------------------------------------------------------------------------------------
static struct fake_record *record_find(struct str key)
{
	for (unsigned i = 0; i < world->n_records; i++)
		if (str_eq((struct str){world->records[i].key, world->records[i].key_len}, key))
			return &world->records[i];
	return NULL;
}

static void record_clear(struct fake_record *r)
{
	free(r->key);
	free(r->value);
	*r = world->records[--world->n_records];
}

FAKE void store_del(struct store *s, struct str key, store_done_fn done, void *arg)
{
	struct fake_record *r = record_find(key);

	MUST(done == NULL);
	if (r != NULL)
		record_clear(r);
}

FAKE void store_set(struct store *s, struct str key, struct str value, uint32_t ttl_s, store_done_fn done,
		    void *arg)
{
	MUST(done == NULL && ttl_s > 0 && key.len <= STORE_KEY_MAX && value.len <= STORE_VALUE_MAX);
	store_del(s, key, NULL, NULL);
	MUST(world->n_records < MAX_RECORDS);
	world->records[world->n_records++] = (struct fake_record){
		strndup(key.p, key.len), memcpy(malloc(value.len), value.p, value.len), key.len, value.len};
}

static struct {
	struct deferred d;
	store_each_fn each;
	store_done_fn done;
	void *arg;
} scan;

static void on_scan(struct deferred *d)
{
	for (unsigned i = world->n_records; i-- > 0;) {
		struct fake_record r = world->records[i];
		char *value = memcpy(malloc(r.value_len), r.value, r.value_len);
		scan.each(scan.arg, (struct str){r.key, r.key_len}, (struct str){value, r.value_len});
		free(value);
	}
	scan.done(scan.arg, 0, STR_NONE);
}

FAKE void store_scan(struct store *s, struct str prefix, store_each_fn each, store_done_fn done, void *arg)
{
	scan.d.fn = on_scan;
	scan.each = each;
	scan.done = done;
	scan.arg = arg;
	if (!world->store_is_away)
		loop_defer(world->loop, &scan.d);
}

FAKE struct store_watcher *store_watch(struct store *s, store_state_fn fn, void *arg)
{
	world->on_store = fn;
	world->on_store_arg = arg;
	return (struct store_watcher *)world;
}

FAKE void store_unwatch(struct store *s, struct store_watcher *w)
{
	world->on_store = NULL;
}

// The store comes back without what it had.
static void store_lose_all(void)
{
	while (world->n_records > 0)
		record_clear(&world->records[0]);
	world->on_store(world->on_store_arg, STORE_EMPTY);
}

FAKE void store_cancel(struct store *s, const void *arg)
{
	loop_defer_cancel(world->loop, &scan.d);
}

// --- dataplane ---------------------------------------------------------------------------------------
static void dp_ack(const struct ipc_hdr *hdr, int err)
{
	struct ipc_ack a;

	ipc_begin(&a, EVT_ACK);
	a.hdr.seq = hdr->seq;
	a.cmd = hdr->type;
	a.err = err;
	CHECK_EQ(ipc_chan_send(world->chan, &a), 0);
}

static void dp_snapshot(void)
{
	struct ipc_bare end;

	for (unsigned i = 0; i < world->n_clients; i++) {
		struct client *c = world->clients[i];
		struct ipc_snap_session s;
		struct ipc_snap_track t;
		struct ipc_snap_leg l;
		if (c->sid == 0 || c->is_deleted)
			continue;
		ipc_begin(&s, EVT_SNAP_SESSION);
		s.sid = c->sid;
		s.call = c->add.call;
		s.cookie = c->add.cookie;
		memcpy(s.name, c->add.name, sizeof(s.name));
		memcpy(s.ufrag, c->add.ufrag, sizeof(s.ufrag));
		memcpy(s.pwd, c->add.pwd, sizeof(s.pwd));
		s.profile = c->has_keys ? c->keys.profile : 0;
		s.liveness = c->is_lost ? LIVE_LOST : LIVE_OK;
		CHECK_EQ(ipc_chan_send(world->chan, &s), 0);
		for (unsigned k = 0; k < IPC_MAX_TRACKS; k++) {
			if (c->tracks[k].sid == 0)
				continue;
			ipc_begin(&t, EVT_SNAP_TRACK);
			t.add = c->tracks[k];
			t.live_ssrc = c->is_silent               ? 0
				      : t.add.kind == KIND_VIDEO ? c->live_ssrc[k]
								 : t.add.ssrc[0];
			t.live_pt = c->live_pt[k];
			t.voice_on = c->talks;
			CHECK_EQ(ipc_chan_send(world->chan, &t), 0);
		}
		for (unsigned k = 0; k < IPC_MAX_LEGS; k++) {
			if (c->legs[k].sid == 0)
				continue;
			ipc_begin(&l, EVT_SNAP_LEG);
			l.add = c->legs[k];
			CHECK_EQ(ipc_chan_send(world->chan, &l), 0);
		}
	}
	ipc_begin(&end, EVT_SNAP_END);
	CHECK_EQ(ipc_chan_send(world->chan, &end), 0);
}

static void dp_session_add(const union ipc_msg *m)
{
	char name[33] = "";
	struct client *c;

	memcpy(name, m->session_add.name, sizeof(m->session_add.name));
	if (world->refuses_sessions) {
		dp_ack(&m->hdr, -ENOSPC);
		return;
	}
	c = client_by_id(str_of(name));
	if (c != NULL) {
		c->sid = m->session_add.sid;
		c->add = m->session_add;
		c->is_deleted = false;
	}
	dp_ack(&m->hdr, 0);
}

static void dp_command(const union ipc_msg *m)
{
	struct client *c = client_by_sid(m->session_add.sid);

	world->n_commands++;
	switch (m->hdr.type) {
	case CMD_HELLO:
		dp_ack(&m->hdr, 0);
		return;
	case CMD_SNAPSHOT:
		dp_ack(&m->hdr, 0);
		dp_snapshot();
		return;
	case CMD_SESSION_ADD:
		dp_session_add(m);
		return;
	case CMD_SESSION_DEL:
		world->n_dels++;
		if (c)
			c->is_deleted = true;
		break;
	case CMD_SESSION_KEYS:
		if (c) {
			c->keys = m->session_keys;
			c->has_keys = true;
		}
		break;
	case CMD_SESSION_ICE:
		if (c)
			c->n_ice++;
		break;
	case CMD_TRACK_ADD:
		if (c) {
			c->n_tracks++;
			c->last_track = c->tracks[m->track_add.track] = m->track_add;
			c->track_enabled = m->track_add.enabled;
		}
		break;
	case CMD_TRACK_GATE:
		if (c) {
			c->n_gates++;
			c->last_gate = m->track_gate.enabled;
			c->tracks[m->track_gate.track].enabled = m->track_gate.enabled;
		}
		break;
	case CMD_TRACK_DEL:
		if (c) {
			c->n_track_dels++;
			c->last_track.sid = c->tracks[m->track_ref.track].sid = 0;
		}
		break;
	case CMD_QUERY:
		world->n_queries++;
		world->query_seq = m->hdr.seq;
		break;
	case CMD_LEG_ADD:
		if (c) {
			c->n_legs_up++;
			c->last_leg = c->legs[m->leg_add.leg] = m->leg_add;
		}
		break;
	case CMD_LEG_DEL:
		if (c) {
			c->n_legs_down++;
			c->last_leg.sid = c->legs[m->leg_ref.leg].sid = 0;
		}
		break;
	default:
		break;
	}
	dp_ack(&m->hdr, 0);
}

static void dp_hang_up(void)
{
	loop_unwatch(world->chan_watch);
	loop_unwatch(world->bell_watch);
	world->chan_watch = world->bell_watch = NULL;
	ipc_chan_free(world->chan);
	world->chan = NULL;
	pktring_unmap(&world->mem);
	for (int i = 0; i < 2; i++)
		if (world->bells[i] >= 0)
			close(world->bells[i]);
	if (world->ring_fd >= 0)
		close(world->ring_fd);
	statseg_close(world->stats);
	world->stats = NULL;
	world->ring_fd = world->bells[0] = world->bells[1] = -1;
}

static void dp_on_socket(void *arg, unsigned events)
{
	union ipc_msg m;

	if (events & LOOP_WRITE)
		CHECK_EQ(ipc_chan_flush(world->chan), 0);
	while (world->chan != NULL) {
		const char *why = "";
		int len = ipc_chan_recv(world->chan, &m, NULL, NULL, &why);
		if (len == -EAGAIN)
			break;
		if (len <= 0) {
			CHECK_EQ(len, 0);
			if (len < 0)
				check_note(__FILE__, __LINE__, "%s: %s", ipc_type_name(m.hdr.type), why);
			dp_hang_up();
			return;
		}
		dp_command(&m);
	}
	if (world->chan)
		loop_rewatch(world->chan_watch,
			     LOOP_READ | (ipc_chan_wants_write(world->chan) ? LOOP_WRITE : 0));
}

static void dp_on_bell(void *arg, unsigned events)
{
	uint8_t frame[sizeof(struct punt_hdr) + PUNT_MAX_PAYLOAD];

	pktring_wake(&world->rx);
	for (;;) {
		int len = pktring_pop(&world->rx, frame, sizeof(frame));
		if (len == -EAGAIN) {
			if (pktring_sleep(&world->rx))
				return;
			continue;
		}
		CHECK_OR_RETURN(len > (int)sizeof(struct punt_hdr));
		const struct punt_hdr *h = (void *)frame;
		struct client *c = client_by_sid(h->sid);
		CHECK(h->kind == PUNT_DTLS);
		world->n_punts++;
		if (c && c->dtls)
			dtls_input(c->dtls, frame + sizeof(*h), h->len, loop_now(world->loop));
	}
}

static void dp_punt_to_cp(uint32_t sid, const uint8_t *data, size_t len)
{
	struct punt_hdr h = {.sid = sid, .kind = PUNT_DTLS, .len = (uint16_t)len};

	if (world->chan == NULL)
		return;
	pktring_push(&world->tx, &h, sizeof(h), data, len) == 0 ? pktring_kick(&world->tx) : (void)0;
}

static void dp_on_accept(void *arg, unsigned events)
{
	struct ipc_hello h;
	int fd = ipc_accept(world->listen_fd), stats;

	if (fd < 0 || world->is_deaf) {
		if (fd >= 0)
			close(fd);
		return;
	}
	dp_hang_up();
	world->chan = ipc_chan_new(fd, IPC_FROM_DP, 4 << 20);
	world->ring_fd = pktring_create(1 << 20, N_PUNT_RINGS(1));
	world->bells[0] = pktring_doorbell();
	world->bells[1] = pktring_doorbell();
	CHECK_EQ(pktring_map(&world->mem, world->ring_fd, 1 << 20, N_PUNT_RINGS(1)), 0);
	pktring_tx_init(&world->tx, &world->mem, PUNT_RING_TO_CP(0), world->bells[0]);
	pktring_rx_init(&world->rx, &world->mem, PUNT_RING_TO_DP(0), world->bells[1]);
	world->stats = statseg_create(2, 1);
	stats = statseg_fd(world->stats);
	ipc_begin(&h, EVT_HELLO);
	h.version = IPC_VERSION;
	h.boot_id = world->boot_id;
	h.punt_size = 1 << 20;
	h.n_workers = 1;
	h.media_port = 8443;
	h.max_sessions = 10000;
	CHECK_EQ(ipc_chan_send_fds(world->chan, &h,
				   (int[]){world->ring_fd, stats, world->bells[0], world->bells[1]}, 4),
		 0);
	world->chan_watch = loop_watch(world->loop, fd, LOOP_READ, dp_on_socket, NULL);
	world->bell_watch = loop_watch(world->loop, world->bells[1], LOOP_READ, dp_on_bell, NULL);
	dp_on_bell(NULL, LOOP_READ);
}

static void dp_listen(void)
{
	world->listen_fd = ipc_listen(world->socket);
	CHECK(world->listen_fd >= 0);
	world->listen_watch = loop_watch(world->loop, world->listen_fd, LOOP_READ, dp_on_accept, NULL);
}

static void dp_die(void)
{
	loop_unwatch(world->listen_watch);
	world->listen_watch = NULL;
	if (world->listen_fd >= 0)
		close(world->listen_fd);
	world->listen_fd = -1;
	dp_hang_up();
}

static void dp_event(void *msg)
{
	CHECK_OR_RETURN(world->chan != NULL);
	CHECK_EQ(ipc_chan_send(world->chan, msg), 0);
}

static void dp_path(struct client *c)
{
	struct ipc_path e;

	ipc_begin(&e, EVT_PATH);
	e.sid = c->sid;
	e.nominated = 1;
	e.remote = e.local = (struct ipc_addr){.family = 4, .proto = 17, .port = 5};
	dp_event(&e);
}

static void dp_liveness(struct client *c, enum ipc_liveness_state state)
{
	struct ipc_liveness e;

	ipc_begin(&e, EVT_LIVENESS);
	e.sid = c->sid;
	e.state = (uint8_t)state;
	dp_event(&e);
}

static void dp_live(struct client *c)
{
	struct ipc_track_live e;

	ipc_begin(&e, EVT_TRACK_LIVE);
	e.sid = c->sid;
	e.track = c->last_track.track;
	e.pt = c->last_track.codec[0].pt;
	e.codec = c->last_track.codec[0].codec;
	e.ssrc = c->last_track.ssrc[0] ? c->last_track.ssrc[0] : 77;
	dp_event(&e);
}

// First packet of a track that is not the last one declared.
static void dp_live_track(struct client *c, unsigned track, uint8_t codec)
{
	struct ipc_track_live e;

	ipc_begin(&e, EVT_TRACK_LIVE);
	e.sid = c->sid;
	e.track = (uint16_t)track;
	for (unsigned i = 0; i < IPC_TRACK_CODECS; i++)
		if (c->tracks[track].codec[i].codec == codec)
			e.pt = c->live_pt[track] = c->tracks[track].codec[i].pt;
	e.codec = codec;
	e.ssrc = c->live_ssrc[track] = 9000 + track;
	dp_event(&e);
}

static void dp_voice(struct client *c, bool on)
{
	struct ipc_voice e;

	ipc_begin(&e, EVT_VOICE);
	e.sid = c->sid;
	e.track = c->last_track.track;
	e.on = on;
	dp_event(&e);
}

// --- world -------------------------------------------------------------------------------------------
static void world_hub(void)
{
	world->hub = hub_new(world->loop, &world->conf, NULL, NULL, NULL);
	CHECK(world->hub != NULL);
}

static void world_init(void)
{
	struct conf_error err;

	world = calloc(1, sizeof(*world));
	log_set_level(getenv("SLUICE_TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
	world->loop = loop_new();
	world->listen_fd = world->ring_fd = world->bells[0] = world->bells[1] = -1;
	strcpy(world->dir, "/tmp/sluice-calls-XXXXXX");
	MUST(mkdtemp(world->dir) != NULL);
	snprintf(world->socket, sizeof(world->socket), "%s/dp.sock", world->dir);
	MUST(conf_parse(&world->conf, "test", "", 0, &err) == 0);
	free(world->conf.dataplane.socket);
	world->conf.dataplane.socket = strdup(world->socket);
	world->boot_id = 1;
	world->dtls = dtls_ctx_new();
	dp_listen();
	world_hub();
}

#define world_until(cond, seconds)                                    \
	({                                                            \
		ns_t end_ = clock_now() + (ns_t)((seconds)*NS_PER_S); \
		while (!(cond) && clock_now() < end_)                 \
			world_turn();                                 \
		(cond);                                               \
	})
#define world_for(seconds) ((void)world_until(false, seconds))

static void world_turn(void)
{
	loop_turn(world->loop, 5 * NS_PER_MS);
	for (unsigned i = 0; i < world->n_clients; i++) {
		struct client *c = world->clients[i];
		if (c->dtls && !c->is_up)
			dtls_tick(c->dtls, loop_now(world->loop));
	}
}

static bool world_serves(void)
{
	struct hub_load l;

	hub_load(world->hub, &l);
	return !l.restoring && world->chan != NULL;
}

static unsigned world_sessions(void)
{
	struct hub_load l;

	hub_load(world->hub, &l);
	return l.n_sessions;
}

static void client_gone(struct client *c)
{
	dchan_free(c->dchan);
	c->dchan = NULL;
	dtls_free(c->dtls);
	c->dtls = NULL;
}

static void world_fini(void)
{
	for (unsigned i = 0; i < world->n_clients; i++)
		client_gone(world->clients[i]);
	hub_free(world->hub);
	dp_die();
	while (world->n_records > 0)
		record_clear(&world->records[0]);
	for (unsigned i = 0; i < world->n_clients; i++) {
		free(world->clients[i]->answer);
		free(world->clients[i]->offer);
		free(world->clients[i]);
	}
	dtls_ctx_free(world->dtls);
	loop_free(world->loop);
	conf_fini(&world->conf);
	unlink(world->socket);
	rmdir(world->dir);
	free(world);
	world = NULL;
}

// --- clients -----------------------------------------------------------------------------------------
static struct client *client_new(const char *id)
{
	struct client *c = calloc(1, sizeof(*c));

	MUST(c != NULL && world->n_clients < MAX_CLIENTS && strlen(id) < sizeof(c->id));
	strcpy(c->id, id);
	c->w = world;
	world->clients[world->n_clients++] = c;
	return c;
}

static void client_join(struct client *c, const char *call, bool dc_signaling)
{
	struct join_msg j = {.call_id = str_of(call),
			     .user_id = STR("user"),
			     .session_id = str_of(c->id),
			     .channel_id = STR("channel"),
			     .has_channel = true,
			     .dc_signaling = dc_signaling,
			     .has_dc = true};

	hub_join(world->hub, 1, STR("clientA"), &j);
}

static void client_rtc(struct client *c, enum rtc_type type, const char *data)
{
	hub_rtc(world->hub, 1, STR("clientA"), str_of(c->id), type, str_of(data));
}

static void client_send_sdp(struct client *c, enum sigmsg_type type, const char *sdp, bool by_dc)
{
	static char json[SIGMSG_MAX_JSON];
	static uint8_t msg[SIGMSG_MAX_JSON];
	struct wbuf w = wbuf_of(json, sizeof(json)), m = wbuf_of(msg, sizeof(msg));

	sigmsg_write_sdp(&w, type, str_of(sdp));
	CHECK(!w.full);
	if (!by_dc) {
		hub_rtc(world->hub, 1, STR("clientA"), str_of(c->id), RTC_SDP,
			(struct str){json, wbuf_len(&w)});
		return;
	}
	CHECK_EQ(dcmsg_write_sdp(&m, (struct str){json, wbuf_len(&w)}), 0);
	CHECK_EQ(dchan_send(c->dchan, 0, DCHAN_BINARY, msg, wbuf_len(&m)), 0);
}

// Data channel, and a microphone when ssrc is not 0; as Chromium writes it, shortened.
static char *client_sdp(struct client *c, uint32_t ssrc)
{
	char *out;
	char mic[2048] = "";

	if (ssrc != 0)
		snprintf(mic, sizeof(mic),
			 "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:cccc\r\n"
			 "a=ice-pwd:cccccccccccccccccccccccc\r\na=fingerprint:sha-256 "
			 "%s\r\na=setup:actpass\r\na=mid:1\r\n"
			 "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
			 "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\na=msid:stream-%s "
			 "track-1\r\n"
			 "a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n"
			 "a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=ssrc:%u "
			 "cname:c\r\n",
			 dtls_ctx_fingerprint(world->dtls), c->id, ssrc);
	MUST(asprintf(&out,
		      "v=0\r\no=- 1 %u IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE "
		      "0%s\r\na=extmap-allow-mixed\r\n"
		      "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 "
		      "0.0.0.0\r\na=ice-ufrag:cccc\r\n"
		      "a=ice-pwd:cccccccccccccccccccccccc\r\na=ice-options:trickle\r\na=fingerprint:sha-256 "
		      "%s\r\n"
		      "a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n%s",
		      ssrc ? 2 : 1, ssrc ? " 1" : "", dtls_ctx_fingerprint(world->dtls), mic) > 0);
	return out;
}

static void client_offer(struct client *c, uint32_t ssrc, bool by_dc)
{
	char *sdp = client_sdp(c, ssrc);

	client_send_sdp(c, SIGMSG_OFFER, sdp, by_dc);
	free(sdp);
}

static void on_client_send(void *arg, const uint8_t *p, size_t len)
{
	struct client *c = arg;

	dp_punt_to_cp(c->sid, p, len);
}
static void on_client_packet(void *arg, const uint8_t *p, size_t len)
{
	struct client *c = arg;

	if (c->dtls && dtls_send(c->dtls, p, len) < 0)
		c->is_down = true;
}
static void on_client_up(void *arg)
{
	struct client *c = arg;

	CHECK_EQ(dchan_open(c->dchan, 0, STR("calls-dc")), 0);
}
static void on_client_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	((struct client *)arg)->has_channel = true;
}

static void client_on_map(struct client *c, const uint8_t *data, size_t len)
{
	struct mp_reader r = mp_reader_of(data, len);
	uint64_t type;
	uint32_t n, two;
	struct str mid, key, value;

	c->n_maps++;
	c->n_map = 0;
	CHECK_OR_RETURN(mp_read_uint(&r, &type) == 0 && mp_read_map(&r, &n) == 0);
	for (; n > 0; n--) {
		CHECK_OR_RETURN(mp_read_str(&r, &mid) == 0 && mp_read_map(&r, &two) == 0 && two == 2);
		CHECK_OR_RETURN(mp_read_str(&r, &key) == 0 && mp_read_str(&r, &value) == 0);
		CHECK(str_copy(value, c->map_type, sizeof(c->map_type)));
		CHECK_OR_RETURN(mp_read_str(&r, &key) == 0 && mp_read_str(&r, &value) == 0);
		CHECK(str_copy(value, c->map_sender, sizeof(c->map_sender)));
		if (c->n_map < ARRAY_LEN(c->map))
			snprintf(c->map[c->n_map++], sizeof(c->map[0]), "%s %.31s", c->map_type,
				 c->map_sender);
	}
}

static void on_client_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data,
			      size_t len)
{
	static char json[DCMSG_MAX_JSON];
	struct client *c = arg;
	struct dcmsg m;
	int n;

	if (kind == DCHAN_TEXT) {
		c->n_text_pongs += len == 4 && memcmp(data, "pong", 4) == 0;
		return;
	}
	CHECK_EQ(dcmsg_parse(data, len, &m), 0);
	switch (m.type) {
	case DCMSG_PONG:
		c->n_pongs++;
		break;
	case DCMSG_LOCK:
		c->n_locks++;
		CHECK_EQ(len, 3);
		c->lock_granted = data[2] == 0xc3;
		break;
	case DCMSG_MEDIA_MAP:
		client_on_map(c, data, len);
		break;
	case DCMSG_SDP:
		n = dcmsg_inflate(m.zipped, json, sizeof(json));
		CHECK_OR_RETURN(n > 0);
		client_on_sdp(c, (struct str){json, (size_t)n}, true);
		break;
	default:
		break;
	}
}
static void on_client_closed(void *arg, uint16_t stream)
{
}
static void on_client_down(void *arg)
{
	((struct client *)arg)->has_channel = false;
}
static const struct dchan_ops client_dchan_ops = {on_client_packet,  on_client_up,     on_client_open,
						  on_client_message, on_client_closed, on_client_down};

static void on_client_dtls_up(void *arg)
{
	struct client *c = arg;

	c->is_up = true;
	c->dchan = dchan_new(&client_dchan_ops, c);
}
static void on_client_data(void *arg, const uint8_t *p, size_t len)
{
	struct client *c = arg;

	if (c->dchan)
		dchan_input(c->dchan, p, len);
}
static void on_client_end(void *arg, enum dtls_end why)
{
	((struct client *)arg)->is_down = true;
}
static const struct dtls_ops client_dtls_ops = {on_client_send, on_client_dtls_up, on_client_data,
						on_client_end};

// The fingerprint the answer announced.
static struct dtls_fingerprint answer_fingerprint(const struct client *c)
{
	struct dtls_fingerprint fp = {};
	const char *at = c->answer ? strstr(c->answer, "a=fingerprint:sha-256 ") : NULL;

	CHECK(at != NULL);
	if (at)
		CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), (struct str){at + 22, 95}), 0);
	return fp;
}

static void client_start_dtls(struct client *c)
{
	struct dtls_fingerprint fp = answer_fingerprint(c);

	c->dtls = dtls_new(world->dtls, DTLS_CLIENT, &fp, &client_dtls_ops, c);
	dtls_start(c->dtls, loop_now(world->loop));
}

// Join, negotiate, connect, open the channel.
static struct client *client_connect(const char *id, const char *call, uint32_t ssrc, bool dc_signaling)
{
	struct client *c = client_new(id);

	client_join(c, call, dc_signaling);
	CHECK(world_until(c->sid != 0, 2));
	client_offer(c, ssrc, false);
	CHECK_EQ(c->n_answers, 1);
	dp_path(c);
	client_start_dtls(c);
	CHECK(world_until(c->has_channel, 5));
	return c;
}

// Accept the newest offer as a browser does that has nothing to add.
static char *client_accept(struct client *c)
{
	char *out = NULL, *copy = strdup(c->offer ? c->offer : ""), *rest = copy, *line;
	size_t size;
	FILE *f = open_memstream(&out, &size);
	bool is_data = false;

	while ((line = strsep(&rest, "\n")) != NULL) {
		line[strcspn(line, "\r")] = '\0';
		if (strncmp(line, "m=", 2) == 0)
			is_data = strncmp(line, "m=application", 13) == 0;
		if (strncmp(line, "a=ice-lite", 10) == 0 || strncmp(line, "a=candidate", 11) == 0 ||
		    strncmp(line, "a=ssrc", 6) == 0 || strncmp(line, "a=msid:", 7) == 0 || *line == '\0' ||
		    strncmp(line, "a=end-of", 8) == 0)
			continue;
		if (strncmp(line, "a=ice-ufrag:", 12) == 0)
			fputs("a=ice-ufrag:cccc\r\n", f);
		else if (strncmp(line, "a=ice-pwd:", 10) == 0)
			fputs("a=ice-pwd:cccccccccccccccccccccccc\r\n", f);
		else if (strncmp(line, "a=fingerprint", 13) == 0)
			fprintf(f, "a=fingerprint:sha-256 %s\r\n", dtls_ctx_fingerprint(world->dtls));
		else if (strncmp(line, "a=setup:", 8) == 0)
			fputs("a=setup:active\r\n", f);
		else if (!is_data && strcmp(line, "a=sendonly") == 0)
			fputs("a=recvonly\r\n", f);
		else if (!is_data && strcmp(line, "a=recvonly") == 0)
			fputs("a=sendonly\r\n", f);
		else if (strncmp(line, "o=", 2) == 0)
			fprintf(f, "o=- 1 %u IN IP4 127.0.0.1\r\n", 10 + c->n_offers);
		else
			fprintf(f, "%s\r\n", line);
	}
	fclose(f);
	free(copy);
	return out;
}

static void client_answer(struct client *c)
{
	char *sdp = client_accept(c);

	client_send_sdp(c, SIGMSG_ANSWER, sdp, c->offer_by_dc);
	free(sdp);
}

static void client_dc(struct client *c, const void *data, size_t len, enum dchan_kind kind)
{
	CHECK_EQ(dchan_send(c->dchan, 0, kind, data, len), 0);
}
