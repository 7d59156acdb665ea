// What a receiver of video may send us as RTCP, opened: compounds of reports, NACK, key frame requests, transport-wide
// feedback and REMB, each after a byte that tells its length in words, against a session that is sent two videos and a
// voice. Work per compound is bounded, and whatever they say the estimate and the layers stay possible.
// sources: dataplane/worker/feedback.c dataplane/media/bwe.c dataplane/deliver/choose.c
#include "dataplane/worker/feedback.h"

#include <stdlib.h>

#include "dataplane/media/bwe.h"
#include "dataplane/gate/ice.h"
#include "dataplane/media/layer.h"
#include "dataplane/media/leg.h"
#include "dataplane/publish/publish_video.h"
#include "dataplane/worker/reports.h"
#include "dataplane/core/session.h"
#include "dataplane/media/source.h"
#include "dataplane/media/stream.h"
#include "dataplane/core/tomb.h"
#include "dataplane/media/video.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/core/dp.h"
#include "dataplane/core/cacheline.h"
#include "dataplane/deliver/choose.h"
#include "dataplane/media/layer_info.h"
#include "lib/base/err.h"
#include "lib/rtc/send/simulcast.h"

#define SSRC 0x1000
#define N_SENT 300

static struct simulcast choice[2];
static unsigned n_nacked, n_key_requests;

// --- the rest of the dataplane ----------------------------------------------------------------------------

RTE_DEFINE_PER_LCORE(unsigned, _lcore_id);
struct rte_mempool_ops_table rte_mempool_ops_table;
void __rte_panic(const char *function, const char *format, ...)
{
	abort();
}

void drop(struct worker *w, struct rte_mbuf *m, enum counter why)
{
	count(w, why, 1);
}
bool bucket_take(struct bucket *b, ns_t now, unsigned per_s, unsigned burst)
{
	return true;
}
void ice_refresh(struct session *s)
{
}
void ice_on_media(struct worker *w, struct session *s, unsigned pair, bool is_newer)
{
}
void session_due(struct worker *w, struct session *s, ns_t due)
{
	MUST(due >= 0);
}
void publish_video_sr(struct worker *w, struct session *s, struct stream *st)
{
}
void reports_map(struct worker *w, struct session *s, struct stream *st)
{
}
bool tomb_find(const struct session *s, enum tomb_kind kind, uint32_t ssrc, uint64_t *top)
{
	return false;
}
void tomb_take(struct session *s, enum tomb_kind kind, uint32_t ssrc)
{
}
bool tomb_put(struct worker *w, struct session *s, enum tomb_kind kind, uint32_t ssrc, uint64_t top)
{
	return true;
}
void *cacheline_zalloc(size_t size)
{
	return calloc(1, size);
}
int seal_rtcp_peek_index(enum seal_profile profile, const uint8_t *p, size_t len, uint32_t *index)
{
	static uint32_t next;

	*index = ++next;
	return 0;
}
int seal_rtcp_unprotect(struct seal_engine *e, const struct seal_key *k, uint8_t *p, size_t len,
			uint32_t *index)
{
	*index = 0;
	return (int)len;
}
void layer_ask_key(struct layer *l)
{
}
void layer_info(const struct layer *l, struct layer_info *i)
{
	*i = (struct layer_info){.bps = 500000, .is_active = true, .has_key = true};
}

struct simulcast *viewer_choice(struct viewer *v)
{
	return (struct simulcast *)v;
}
void viewer_choice_changed(struct worker *w, struct session *s, struct leg *leg)
{
	struct simulcast *c = viewer_choice(leg->viewer);

	MUST(c->want < 2 && c->now < 2);
	if (c->want != SIMULCAST_NONE)
		(void)simulcast_on_key(c, c->want_layer, w->now);
}
void viewer_nack(struct worker *w, struct session *s, struct leg *leg, const uint16_t *seq, unsigned n)
{
	uint16_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum ^= seq[i];
	n_nacked += n + (sum & 0);
}
void viewer_pli(struct worker *w, struct session *s, struct leg *leg)
{
	n_key_requests++;
}
void viewer_fir(struct worker *w, struct session *s, struct leg *leg, uint8_t seq_nr)
{
	n_key_requests++;
}
unsigned viewer_probe(struct worker *w, struct session *s, uint8_t cluster, unsigned max_bytes)
{
	(void)bwe_sent(s->bwe, max_bytes, cluster, w->now);
	return max_bytes;
}

// --- the session --------------------------------------------------------------------------------------------

struct world {
	struct dp dp;
	struct worker w;
	struct statseg_block stats;
	struct session s;
	struct source src;
	struct video video;
	struct leg leg[3];
	uint8_t key; // stands for one
};

static void begin(struct world *d)
{
	memset(d, 0, sizeof(*d));
	d->w.dp = &d->dp;
	d->w.stats = &d->stats;
	d->w.now = 100 * NS_PER_S;
	d->video.n_layers = 2;
	d->src.video = &d->video;
	for (unsigned i = 0; i < 3; i++) {
		d->leg[i] = (struct leg){.ssrc = SSRC + i,
					 .source = &d->src,
					 .started = true,
					 .next = i < 2 ? &d->leg[i + 1] : NULL,
					 .session = &d->s,
					 .importance = (uint8_t)i};
		if (i < 2) {
			simulcast_init(&choice[i]);
			d->leg[i].viewer = (struct viewer *)&choice[i];
		}
	}
	d->s.legs = d->leg;
	d->s.rx_key = (const struct seal_key *)&d->key;
	d->s.ext[EXT_TWCC] = 3;
	d->s.send = SEND_FREE;
	d->s.bwe = bwe_new();
	MUST(d->s.bwe != NULL);
	bwe_start(&d->w, &d->s);
	for (unsigned i = 0; i < N_SENT; i++) {
		(void)bwe_sent(d->s.bwe, 1200, 0, d->w.now);
		d->w.now += NS_PER_MS;
	}
	choose_run(&d->w, &d->s);
}

static void receive(struct world *d, const uint8_t *data, size_t len)
{
	struct {
		struct rte_mbuf m;
		struct pkt pkt;
	} p = {};
	uint8_t *copy = malloc(len);

	memcpy(copy, data, len);
	copy[0] = (uint8_t)(0x80 | (copy[0] & 0x3f));
	p.m.buf_addr = copy;
	p.m.data_len = (uint16_t)len;
	p.m.pkt_len = (uint16_t)len;
	p.m.nb_segs = 1;
	p.m.priv_size = sizeof(p.pkt);
	rte_mbuf_refcnt_set(&p.m, 2); // ours
	n_nacked = n_key_requests = 0;
	feedback_input(&d->w, &d->s, &p.m);
	MUST(n_nacked <= RTCP_MAX_NACKS && n_key_requests <= 64);
	MUST(d->s.bwe->target >= GCC_MIN_BPS && d->s.bwe->target <= GCC_CEILING_BPS);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world d;

	begin(&d);
	while (size > 9 && data[0] >= 2 && (size_t)data[0] * 4 < size) {
		size_t len = (size_t)data[0] * 4;

		receive(&d, data + 1, len);
		data += 1 + len;
		size -= 1 + len;
		for (unsigned i = 0; i < 20; i++) {
			d.w.now += NS_PER_MS;
			(void)bwe_sent(d.s.bwe, 1200, 0, d.w.now);
			choose_run(&d.w, &d.s);
		}
	}
	bwe_free(d.s.bwe);
	return 0;
}
