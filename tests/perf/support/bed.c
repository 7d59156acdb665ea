#include "tests/perf/support/bed.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/payload.h"
#include "dataplane/core/session.h"
#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/ctl/keyring.h"
#include "dataplane/deliver/egress.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/media/bwe.h"
#include "dataplane/media/fanout.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/source.h"
#include "dataplane/media/video.h"
#include "dataplane/publish/video_new.h"
#include "dataplane/worker/session_life.h"
#include "lib/base/buf.h"
#include "lib/base/rand.h"
#include "lib/rtc/send/simulcast.h"
#include "lib/rtc/wire/rtp.h"
#include "tests/perf/support/perf.h"

#define BED_PT 96

void bed_open(struct bed *b)
{
	struct conf_error conf_error;
	struct eal_plan plan;
	char error[512];

	if (conf_load(&b->conf, NULL, &conf_error) < 0)
		die(EXIT_CONFIG, "%s", conf_error.text);
	b->conf.rtc.port_tcp = 0;
	b->conf.rtc.port_udp = 0; // any free one: nothing is sent there
	b->conf.dataplane.main_core = perf_core();
	plan = eal_plan(&b->conf);
	plan.n_workers = 1;
	if (eal_start(&b->conf, &plan, error, sizeof(error)) < 0 ||
	    (b->dp = dp_open(&b->conf, &plan, error, sizeof(error))) == NULL)
		die(EXIT_UNAVAILABLE, "%s", error);
	b->w = b->dp->worker[0];
	b->kernel = b->dp->port[0];
	b->m = rte_pktmbuf_alloc(b->dp->rx_pool);
	rte_rcu_qsbr_thread_register(b->dp->qsbr, 0);
	rte_rcu_qsbr_thread_online(b->dp->qsbr, 0);
}

void bed_card(struct bed *b, unsigned n_ring)
{
	if (b->dp->port[0] == &b->card.port)
		card_fini(&b->card);
	card_init(&b->card, n_ring);
	b->dp->port[0] = &b->card.port;
}

void bed_close(struct bed *b)
{
	rte_rcu_qsbr_thread_offline(b->dp->qsbr, 0);
	rte_rcu_qsbr_thread_unregister(b->dp->qsbr, 0);
	card_fini(&b->card);
	mbuf_done(b->m);
	b->dp->port[0] = b->kernel;
	dp_close(b->dp);
	eal_stop();
	conf_fini(&b->conf);
}

static void bed_make_viewer(struct bed *b, struct session *s, struct leg *leg)
{
	struct ipc_leg_add add = {.sid = s->sid, .kind = KIND_VIDEO, .pt = BED_PT, .codec = CODEC_VP8};
	struct simulcast_rung rung = {.bps = 1600000, .is_active = true};
	struct simulcast_in in = {
		.rung = &rung, .n_rungs = 1, .budget_bps = 20000000, .is_proven = true, .now = b->w->now};
	struct simulcast_out out;

	s->ext[EXT_TWCC] = 3;
	s->bwe = bwe_new();
	leg->codec = CODEC_VP8;
	leg->kind = KIND_VIDEO;
	leg->clock_hz = 90000;
	leg->source = b->source;
	leg->source_gen = source_gen(b->source);
	leg->viewer = viewer_new(&add);
	if (s->bwe == NULL || leg->viewer == NULL)
		die(EXIT_OS, "out of memory");
	bwe_start(b->w, s);
	pacer_rate(&s->bwe->pacer, 50000000, false, b->w->now); // what is measured is sending, not waiting
	viewer_start(b->w, s, leg);
	simulcast_decide(viewer_choice(leg->viewer), &in, &out);
}

static void bed_add_receiver(struct bed *b, unsigned i)
{
	struct session *s = perf_alloc(sizeof(*s));
	struct leg *leg = perf_alloc(sizeof(*leg));
	uint8_t key[32], salt[16];

	rand_bytes(key, sizeof(key));
	rand_bytes(salt, sizeof(salt));
	s->tx_key = keyring_get(b->keys, (uint16_t)b->is->profile, key, salt);
	if (s->tx_key == NULL)
		die(EXIT_SOFTWARE, "key");
	s->sid = 0x01000000 + i;
	s->rtp_tag = (uint8_t)seal_rtp_tag_len(b->is->profile);
	s->send = SEND_FREE;
	s->rtcp_armed = true;
	s->ext[EXT_LEVEL] = 1;
	session_start(b->w, s);
	card_path(&s->path, i, b->m);
	leg->session = s;
	leg->ssrc = 0x20000000 + i;
	leg->pt = BED_PT;
	leg->codec = CODEC_OPUS;
	s->legs = leg;
	if (b->is->is_video)
		bed_make_viewer(b, s, leg);
	b->to[i] = (struct receiver){leg, s};
}

static void bed_make_source(struct bed *b)
{
	struct layer_info info = {.bps = 1600000, .is_active = true, .has_key = true};

	b->source = perf_alloc(sizeof(*b->source));
	b->source->kind = KIND_VIDEO;
	b->source->clock_hz = 90000;
	b->source->video = video_new(b->dp, b->source, 1);
	if (b->source->video == NULL)
		die(EXIT_OS, "out of memory");
	layer_tell(b->source->video->layer[0], &info);
}

static void bed_publish(struct bed *b)
{
	struct leg **legs = perf_alloc(b->n * sizeof(struct leg *));

	for (unsigned i = 0; i < b->n; i++)
		legs[i] = b->to[i].leg;
	b->list = fanout_new(legs, b->n);
	free(legs);
	(void)fanout_publish(b->source, b->list);
}

// The packet that is sent, again and again under new numbers.
static void bed_packet(struct bed *b)
{
	struct pkt *pkt = pkt_of(b->m);
	uint8_t *data;

	rte_pktmbuf_reset(b->m);
	memset(pkt, 0, sizeof(*pkt));
	pkt->hdr_len = RTP_HDR_LEN + 8;
	pkt->codec = CODEC_OPUS;
	pkt->has_level = 1;
	pkt->rank = 1000;
	data = (uint8_t *)rte_pktmbuf_append(b->m, (uint16_t)(pkt->hdr_len + b->is->len));
	memset(data, 0x5a, (size_t)pkt->hdr_len + b->is->len);
	if (!b->is->is_video)
		return;
	pkt->codec = CODEC_VP8;
	pkt->pt = BED_PT;
	pkt->source = b->source;
	pkt->gen = source_gen(b->source);
	data += pkt->hdr_len; // descriptor with a 15-bit picture id, TL0PICIDX and temporal id
	memcpy(data, (const uint8_t[]){0x90, 0xe0, 0x80, 0x01, 0x01, 0x20, 0x10}, 7);
	if (vp8_parse(data, b->is->len, &pkt->vp8) < 0)
		die(EXIT_SOFTWARE, "descriptor");
}

void bed_fill(struct bed *b, const struct bench_case *c, unsigned n)
{
	b->is = c;
	b->n = n;
	b->index = 0;
	b->to = perf_alloc(n * sizeof(b->to[0]));
	b->keys = keyring_new(b->w->seal);
	b->w->now = clock_now();
	if (c->is_video)
		bed_make_source(b);
	for (unsigned i = 0; i < n; i++)
		bed_add_receiver(b, i);
	if (c->is_video)
		bed_publish(b);
	bed_packet(b);
}

// Let go of payloads that nobody reads any more, as a round of the worker does.
static void bed_tidy(struct bed *b)
{
	if (!b->is->is_video)
		return;
	layer_expire(b->w, b->source->video->layer[0]);
	rte_rcu_qsbr_quiescent(b->dp->qsbr, 0);
	payload_reclaim(b->w);
}

void bed_empty(struct bed *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct session *s = b->to[i].session;
		wheel_cancel(&b->w->wheel, &s->timer);
		b->w->n_sessions--;
		keyring_put(b->keys, (struct seal_key *)(uintptr_t)s->tx_key);
		viewer_free(b->to[i].leg->viewer);
		bwe_free(s->bwe);
		free(b->to[i].leg);
		free(s);
	}
	if (b->is->is_video) {
		layer_clear(b->w, b->source->video->layer[0]);
		for (unsigned i = 0; i < 3; i++) {
			b->w->now += NS_PER_S;
			bed_tidy(b);
		}
		video_free(b->source->video);
		free(b->source);
		fanout_free(b->list);
	}
	free(b->to);
	keyring_free(b->keys);
}

static void bed_speak(struct bed *b)
{
	struct pkt *pkt = pkt_of(b->m);

	pkt->rank++;
	pkt->ts += 960;
	egress_fan(b->w, b->to, b->n, b->m, pkt->rank);
}

// A frame: one burst of packets into the ring, then everybody is served.
static void bed_show(struct bed *b)
{
	struct pkt *pkt = pkt_of(b->m);
	struct rte_mbuf *held;
	bool is_first = b->index == 0;

	pkt->ts += 4500;
	for (unsigned i = 0; i < b->is->burst; i++) {
		uint8_t flags =
			(uint8_t)((i == 0 ? LAYER_START | LAYER_SWITCH_UP : 0) | (is_first ? LAYER_KEY : 0) |
				  (i + 1 == b->is->burst ? LAYER_MARKER : 0));
		pkt->place = ++b->index;
		pkt->arrival = b->w->now;
		if (layer_add(b->w, b->source->video->layer[0], b->m, flags, &held) != LAYER_IN_ORDER)
			die(EXIT_SOFTWARE, "the ring took no packet");
		is_first = false;
	}
	audience_wake(b->w, b->source);
	while (audience_serve(b->w) > 0)
		;
}

uint64_t bed_send(struct bed *b)
{
	uint64_t sent = b->card.port.stats[0].tx_packets;

	if (b->is->is_video)
		bed_show(b);
	else
		bed_speak(b);
	worker_send_queued(b->w);
	return b->card.port.stats[0].tx_packets - sent;
}

void bed_wait(struct bed *b)
{
	b->w->now += b->is->is_video ? b->is->burst * 5 * NS_PER_MS : 20 * NS_PER_MS;
	bed_tidy(b);
}

void bed_settle(struct bed *b)
{
	unsigned good = 0;

	for (unsigned i = 0; good < 32; i++) {
		good = bed_send(b) == (uint64_t)b->n * b->is->burst ? good + 1 : 0;
		bed_wait(b);
		if (i > 2000)
			die(EXIT_SOFTWARE, "%s does not settle", b->is->name);
	}
}
