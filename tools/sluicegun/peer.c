#include "tools/sluicegun/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"

#define JOIN_CARE_NS (5 * NS_PER_MS)
#define CARE_NS (100 * NS_PER_MS)
#define VIDEO_CARE_NS (20 * NS_PER_MS)
#define REJOIN_NS (1 * NS_PER_S)
#define PUBLISHERS_FIRST_NS (3 * NS_PER_S)
#define MUTE_NS (2 * NS_PER_S)
#define LEAVE_ONE_IN 4 // of the churn of those who talk; who listens leaves each time

// --- path ------------------------------------------------------------------------------------------------

static void on_ice_send(void *arg, const union ice_addr *to, const uint8_t *msg, size_t len)
{
	struct peer *p = arg;

	if (p->fd < 0) {
		int size = 1 << 20;
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
		int one = 1;

		p->fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (p->fd < 0)
			return;
		setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(p->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
		if (epoll_ctl(p->w->epoll, EPOLL_CTL_ADD, p->fd, &ev) < 0)
			return;
	}
	(void)!sendto(p->fd, msg, len, MSG_NOSIGNAL, &to->sa, ice_addr_len(to));
}

void peer_send(struct peer *p, const void *data, size_t len)
{
	const union ice_addr *to = &p->ice.path[p->ice.nominee].to;

	if (p->fd >= 0 && sendto(p->fd, data, len, MSG_NOSIGNAL, &to->sa, ice_addr_len(to)) < 0)
		p->w->tally->n_send_failed++;
}

static void hmac(void *engine, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		 uint8_t out[STUN_MAC_LEN])
{
	seal_hmac_sha1(engine, key, key_len, msg, len, out);
}

// --- DTLS and data channel -------------------------------------------------------------------------------

static void on_dtls_send(void *arg, const uint8_t *datagram, size_t len)
{
	peer_send(arg, datagram, len);
}

static void on_dtls_data(void *arg, const uint8_t *data, size_t len)
{
	struct peer *p = arg;

	if (p->dchan)
		dchan_input(p->dchan, data, len);
}

static void on_dtls_down(void *arg, enum dtls_end why)
{
	peer_fail(arg, dtls_end_text(why));
}

static void on_dchan_send(void *arg, const uint8_t *packet, size_t len)
{
	struct peer *p = arg;

	if (p->dtls)
		(void)!dtls_send(p->dtls, packet, len);
}

// Participants on the data channel are in; on servers without one they are when SRTP is keyed.
static void ready(struct peer *p)
{
	struct tally *t = p->w->tally;

	p->state = PEER_READY;
	p->up_since = p->w->now;
	p->w->n_busy--;
	t->n_ready++;
	t->n_up++;
	hist_add(&t->join_us, (uint64_t)(p->w->now - p->joined) / 1000);
	p->next_ping = p->w->now + NS_PER_S;
	p->next_rr = p->w->now + (ns_t)rng_below(&p->w->rng, (uint32_t)NS_PER_S);
	peer_negotiate(p);
}

static void on_dchan_up(void *arg)
{
	struct peer *p = arg;

	if (dchan_open(p->dchan, p->channel, STR("calls-dc")) < 0)
		peer_fail(p, "data channel");
}

static void on_dchan_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	struct peer *p = arg;

	if (stream == p->channel && !p->has_channel) {
		p->has_channel = true;
		ready(p);
	}
}

static void on_dchan_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data,
			     size_t len)
{
	if (kind == DCHAN_BINARY)
		peer_on_channel(arg, data, len);
}

static void on_dchan_closed(void *arg, uint16_t stream)
{
	peer_fail(arg, "data channel closed");
}

static void on_dchan_down(void *arg)
{
	peer_fail(arg, "data channel lost");
}

static const struct dchan_ops dchan_ops = {.send = on_dchan_send,
					   .on_up = on_dchan_up,
					   .on_open = on_dchan_open,
					   .on_message = on_dchan_message,
					   .on_closed = on_dchan_closed,
					   .on_down = on_dchan_down};

static struct seal_key *new_key(struct peer *p, const uint8_t *key, const uint8_t *salt)
{
	size_t size = (seal_key_size(p->w->seal) + 63) / 64 * 64;
	struct seal_key *k = aligned_alloc(64, size);

	if (k && seal_key_init(p->w->seal, k, p->profile, key, salt) < 0) {
		free(k);
		k = NULL;
	}
	return k;
}

static void on_dtls_up(void *arg)
{
	struct peer *p = arg;
	struct keys k;

	if (dtls_export(p->dtls, &k) < 0) {
		peer_fail(p, "no SRTP keys");
		return;
	}
	p->profile = (enum seal_profile)k.profile;
	p->tx = new_key(p, k.tx_key, k.tx_salt);
	p->rx = new_key(p, k.rx_key, k.rx_salt);
	keys_wipe(&k);
	*(p->profile == SEAL_AEAD_AES_128_GCM   ? &p->w->tally->n_gcm128
	  : p->profile == SEAL_AEAD_AES_256_GCM ? &p->w->tally->n_gcm256
						: &p->w->tally->n_cm) += 1;
	if (p->tx == NULL || p->rx == NULL) {
		peer_fail(p, "SRTP keys");
		return;
	}
	if (!peer_signaling(p)->has_channel) {
		ready(p);
		return;
	}
	p->dchan = dchan_new(&dchan_ops, p);
	if (p->dchan == NULL)
		peer_fail(p, "SCTP");
}

static const struct dtls_ops dtls_ops = {
	.send = on_dtls_send, .on_up = on_dtls_up, .on_data = on_dtls_data, .on_down = on_dtls_down};

// A path stands: the DTLS client of the two begins.
static void on_path(struct peer *p)
{
	bool is_client = p->desc->setup == SDP_ACTIVE;

	if (p->dtls)
		return; // ICE restart: the association lives on
	p->channel = is_client ? 0 : 1;
	p->dtls = dtls_new(p->w->dtls, is_client ? DTLS_CLIENT : DTLS_SERVER, &p->remote_cert, &dtls_ops, p);
	if (p->dtls == NULL)
		peer_fail(p, "DTLS");
	else
		dtls_start(p->dtls, p->w->now);
}

void peer_on_stun(struct peer *p, uint8_t *msg, size_t len, const union ice_addr *from)
{
	if (iceclient_input(&p->ice, msg, len, from, p->w->now))
		on_path(p);
}

void peer_on_dtls(struct peer *p, const uint8_t *msg, size_t len)
{
	if (p->dtls)
		dtls_input(p->dtls, msg, len, p->w->now);
}

// --- life ------------------------------------------------------------------------------------------------

static void join(struct peer *p)
{
	struct worker *w = p->w;

	rand_text(p->session, PEER_ID_LEN, "abcdefghijklmnopqrstuvwxyz0123456789");
	p->ice = (struct iceclient){.send = on_ice_send, .arg = p, .mac = p->ice.mac};
	iceclient_init(&p->ice);
	p->desc = calloc(1, sizeof(*p->desc));
	MUST(p->desc != NULL);
	p->state = PEER_JOINING;
	p->joined = w->now;
	p->want = p->tracks;
	w->n_busy++;
	w->tally->n_joins++;
	peer_signaling(p)->join(p);
}

// Everything of this stay; what the participant is stays.
static void reset(struct peer *p)
{
	if (p->state == PEER_JOINING)
		p->w->n_busy--;
	if (p->state == PEER_READY)
		p->w->tally->n_up--;
	wheel_cancel(&p->w->wheel, &p->voice_timer);
	wheel_cancel(&p->w->wheel, &p->screen_timer);
	dchan_free(p->dchan);
	dtls_free(p->dtls);
	p->dchan = NULL;
	p->dtls = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	if (p->tx)
		seal_key_fini(p->tx);
	if (p->rx)
		seal_key_fini(p->rx);
	free(p->tx);
	free(p->rx);
	p->tx = p->rx = NULL;
	for (unsigned i = 0; i < p->n_heard; i++)
		free(p->heard[i].items);
	p->n_heard = 0;
	free(p->desc);
	free(p->twcc_ring);
	p->desc = NULL;
	p->twcc_ring = NULL;
	for (unsigned i = 0; i < GUN_STREAMS; i++)
		(i == 0 ? &p->voice : &p->screen[i - 1])->is_on = false;
	p->has_answer = p->has_channel = p->is_muted = false;
	p->turn_at = 0;
	p->handle = 0;
	p->is_asking = false;
	p->nego = NEGO_IDLE;
	p->state = PEER_OUT;
	p->held_len = 0;
	p->rtcp_index = 0;
	p->generation++;
}

void peer_leave(struct peer *p)
{
	if (p->state == PEER_OUT)
		return;
	peer_finish(p);
	peer_signaling(p)->leave(p);
	if (p->dtls)
		dtls_close(p->dtls);
	reset(p);
	p->w->tally->n_left++;
}

void peer_fail(struct peer *p, const char *why)
{
	if (p->state == PEER_FAILED || p->state == PEER_OUT || p->w->is_over)
		return;
	if (p->state == PEER_JOINING)
		p->w->n_busy--;
	if (p->state == PEER_READY)
		p->w->tally->n_up--;
	p->state = PEER_FAILED;
	if (p->w->tally->n_failed++ < 5)
		fprintf(stderr, "sluicegun: participant %u of call %u: %s\n", p->id, p->call, why);
}

void peer_on_closed(struct peer *p)
{
	p->w->tally->n_closed++;
	peer_fail(p, "the server closed the session");
}

static void churn(struct peer *p)
{
	struct worker *w = p->w;
	ns_t pause = 0;

	if (p->next_churn == 0 || w->now < p->next_churn)
		return;
	if (p->is_muted) {
		peer_mute(p, false);
	} else if ((p->tracks & TRACK_VOICE) && rng_below(&w->rng, LEAVE_ONE_IN) != 0) {
		peer_mute(p, true);
		pause = MUTE_NS;
	} else if (!(p->tracks & TRACK_SCREEN)) {
		peer_leave(p);
	}
	if (pause == 0)
		pause = (ns_t)(rng_exponential(&w->rng, 60 / w->conf->churn) * 1e9);
	p->next_churn = w->now + pause;
}

static void care_ready(struct peer *p)
{
	struct worker *w = p->w;

	if (w->now >= p->next_ping && p->has_channel) {
		peer_ping(p);
		p->next_ping += NS_PER_S;
	}
	if (w->now >= p->next_rr) {
		peer_reports(p);
		p->next_rr += NS_PER_S;
	}
	if (p->ice.is_lost) {
		p->ice.is_lost = false;
		w->tally->n_path_lost++;
	}
	peer_turn(p);
	peer_negotiate(p);
	peer_feedback(p);
	if (!w->is_over)
		churn(p);
}

static void on_care(struct timer *t, ns_t now)
{
	struct peer *p = container_of(t, struct peer, care);
	struct worker *w = p->w;
	ns_t next = CARE_NS;

	w->now = now;
	if (p->state == PEER_OUT && !w->is_over)
		join(p);
	if (p->state == PEER_JOINING || p->state == PEER_READY) {
		iceclient_tick(&p->ice, now);
		if (p->dtls && dtls_due(p->dtls, now) <= now)
			dtls_tick(p->dtls, now);
	}
	if (p->state == PEER_JOINING) {
		next = JOIN_CARE_NS;
		if (now - p->joined > PEER_JOIN_NS)
			peer_fail(p, "not in after 20 s");
	}
	if (p->state == PEER_READY) {
		care_ready(p);
		next = p->twcc_ring || p->nego != NEGO_IDLE ? VIDEO_CARE_NS : CARE_NS;
	}
	if (p->state == PEER_OUT)
		next = REJOIN_NS;
	wheel_arm(&w->wheel, &p->care, now + next);
}

// Who sits where. With Janus a person who sends is two seats: a publisher among the first n_publishers, and a
// listener (unless there is nobody else to hear). Listeners come when the publishers are there.
static ns_t take_seat(struct peer *p, const struct gun_conf *c)
{
	unsigned seat = p->id % c->people;

	p->call = p->id / c->people;
	p->speaks_as = p->id;
	if (c->n_publishers == 0 || seat < c->n_publishers) {
		p->tracks = (uint8_t)((seat < c->voices ? TRACK_VOICE : 0) |
				      (seat < c->screens ? TRACK_SCREEN : 0));
		return 0;
	}
	if (c->persons < c->people && seat - c->n_publishers < c->n_publishers)
		p->speaks_as = p->id - c->n_publishers;
	return (ns_t)c->ramp * NS_PER_S + PUBLISHERS_FIRST_NS;
}

void peer_init(struct peer *p, struct worker *w, uint32_t id)
{
	const struct gun_conf *c = w->conf;
	ns_t after;

	w->mac = (struct stun_mac){hmac, w->seal};
	*p = (struct peer){.w = w, .id = id, .fd = -1};
	p->ice.mac = &w->mac;
	after = take_seat(p, c);
	// The run's own name, so that several runs may use one server at a time.
	snprintf(p->call_id, sizeof(p->call_id), "gun%08x%06ucall", c->seed, p->call);
	p->rtcp_ssrc = rand_u32() | 1;
	p->care.on_due = on_care;
	if (c->churn > 0)
		p->next_churn = w->now + (ns_t)c->ramp * NS_PER_S +
				(ns_t)(rng_exponential(&w->rng, 60 / c->churn) * 1e9);
	wheel_arm(&w->wheel, &p->care, w->now + after + (ns_t)(rng_unit(&w->rng) * c->ramp * 1e9));
}

void peer_fini(struct peer *p)
{
	reset(p);
	wheel_cancel(&p->w->wheel, &p->care);
	for (unsigned i = 0; i < GUN_LAYERS; i++)
		free(p->screen[i].history);
	free(p->heard);
	free(p->held);
}

void peer_silence(struct peer *p)
{
	wheel_cancel(&p->w->wheel, &p->voice_timer);
	wheel_cancel(&p->w->wheel, &p->screen_timer);
}
