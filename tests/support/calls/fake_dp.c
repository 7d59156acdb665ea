#include "tests/support/calls/fake_dp.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/ipc/bell.h"
#include "tests/support/calls/world.h"

static void dp_ack(const struct ipc_hdr *hdr, int err)
{
	const struct ipc_leg_add *leg = (const struct ipc_leg_add *)hdr;
	struct ipc_ack a;

	ipc_begin(&a, EVT_ACK);
	a.hdr.seq = hdr->seq;
	a.cmd = hdr->type;
	a.err = err;
	if (hdr->type == CMD_LEG_ADD) {
		a.sid = leg->sid;
		a.leg = leg->leg;
	}
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
		if (world->n_legs_refused > 0) {
			world->n_legs_refused--;
			dp_ack(&m->hdr, -EEXIST);
			return;
		}
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

void dp_hang_up(void)
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

void dp_punt_to_cp(uint32_t sid, const uint8_t *data, size_t len)
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
	world->bells[0] = bell_new();
	world->bells[1] = bell_new();
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

void dp_listen(void)
{
	world->listen_fd = ipc_listen(world->socket);
	CHECK(world->listen_fd >= 0);
	world->listen_watch = loop_watch(world->loop, world->listen_fd, LOOP_READ, dp_on_accept, NULL);
}

void dp_die(void)
{
	loop_unwatch(world->listen_watch);
	world->listen_watch = NULL;
	if (world->listen_fd >= 0)
		close(world->listen_fd);
	world->listen_fd = -1;
	dp_hang_up();
}

void dp_event(void *msg)
{
	CHECK_OR_RETURN(world->chan != NULL);
	CHECK_EQ(ipc_chan_send(world->chan, msg), 0);
}

void dp_path(struct client *c)
{
	struct ipc_path e;

	ipc_begin(&e, EVT_PATH);
	e.sid = c->sid;
	e.nominated = 1;
	e.remote = e.local = (struct ipc_addr){.family = 4, .proto = 17, .port = 5};
	dp_event(&e);
}

void dp_liveness(struct client *c, enum ipc_liveness_state state)
{
	struct ipc_liveness e;

	ipc_begin(&e, EVT_LIVENESS);
	e.sid = c->sid;
	e.state = (uint8_t)state;
	dp_event(&e);
}

void dp_live(struct client *c)
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
void dp_live_track(struct client *c, unsigned track, uint8_t codec)
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

void dp_voice(struct client *c, bool on)
{
	struct ipc_voice e;

	ipc_begin(&e, EVT_VOICE);
	e.sid = c->sid;
	e.track = c->last_track.track;
	e.on = on;
	dp_event(&e);
}
