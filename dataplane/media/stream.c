#include "dataplane/media/stream.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/session.h"
#include "dataplane/core/tomb.h"
#include "dataplane/media/source.h"

#define NO_SR_NS (2 * NS_PER_S) // then arrival has to do for the clock, for want of sender reports
#define ENDED_NS (2 * NS_PER_S) // after a BYE, or the end of its track, an SSRC has no more to say
#define IDLE_NS (60 * NS_PER_S) // one that says nothing for so long has ended too

void stream_free_all(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	for (struct stream *st = s->streams, *next; st; st = next) {
		next = st->next;
		rte_mempool_put(w->dp->stream_pool, st);
	}
	s->streams = NULL;
	s->n_streams = 0;
}

void stream_unbind(struct session *s, const struct source *src)
{
	for (struct stream *st = s->streams; st; st = st->next)
		if (st->source == src) {
			st->source = NULL;
			st->announced = false;
		}
}

bool stream_clock(const struct stream *st, struct session *s, ns_t now, struct clock_map *map)
{
	*map = (struct clock_map){
		.at = now, .clock_hz = st->source ? st->source->clock_hz : 0, .valid = true};
	if (sr_map_rtp_at(&st->map, &s->clock, now, &map->rtp))
		return true;
	map->at = st->stats.last_arrival;
	map->rtp = st->stats.last_ts;
	map->valid = st->stats.started && now - st->born >= NO_SR_NS;
	return map->valid;
}

struct srtpidx stream_first_state(const struct session *s, uint32_t ssrc)
{
	struct srtpidx idx = {};
	uint64_t top;

	if (tomb_find(s, TOMB_RTP, ssrc, &top))
		srtpidx_restore(&idx, top);
	return idx;
}

static bool has_ended(const struct stream *st, ns_t now)
{
	ns_t silent = now - st->stats.last_arrival;

	return silent > IDLE_NS || (silent > ENDED_NS && (st->source == NULL || st->ended != 0));
}

struct stream *stream_find_ended(const struct session *s, ns_t now)
{
	struct stream *best = NULL;

	for (struct stream *st = s->streams; st; st = st->next)
		if (has_ended(st, now) && (!best || st->stats.last_arrival < best->stats.last_arrival))
			best = st;
	return best;
}

void stream_end(struct worker *w, struct session *s, struct stream *st)
{
	struct stream **at = &s->streams;

	ASSERT_HOME(w, s);
	ASSERT_HOT(s->n_streams > 0);
	while (*at != st)
		at = &(*at)->next;
	*at = st->next;
	s->n_streams--;
	rte_mempool_put(w->dp->stream_pool, st);
	count(w, CTR_SSRCS_ENDED, 1);
}

struct stream *stream_new(struct worker *w, struct session *s, uint32_t ssrc)
{
	struct stream *st;

	ASSERT_HOME(w, s);
	ASSERT_HOT(stream_find(s, ssrc) == NULL);
	if (s->n_streams >= SESSION_MAX_SSRCS || rte_mempool_get(w->dp->stream_pool, (void **)&st) < 0)
		return NULL;
	*st = (struct stream){
		.next = s->streams, .ssrc = ssrc, .born = w->now, .idx = stream_first_state(s, ssrc)};
	tomb_take(s, TOMB_RTP, ssrc);
	s->streams = st;
	s->n_streams++;
	return st;
}
