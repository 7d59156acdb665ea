#include "lib/rtc/send/probe.h"

#include <assert.h>

#define PROBE_MIN_BPS 10000 // keeps its time finite

void probe_init(struct probe *p, ns_t now)
{
	*p = (struct probe){.next = now + PROBE_FIRST_NS, .backoff = PROBE_AGAIN_NS};
}

static uint64_t u64_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

// 1.2 times what is needed, but no more than three times what is known to work.
static void plan_make(const struct probe_ask *a, struct probe_plan *pl)
{
	uint64_t bps = u64_min((uint64_t)a->needed_bps * 6 / 5, (uint64_t)a->estimate_bps * 3);
	uint64_t n_bytes = bps * PROBE_MIN_NS / 8 / NS_PER_S;

	if (n_bytes < (uint64_t)PROBE_MIN_PACKETS * a->packet_bytes)
		n_bytes = (uint64_t)PROBE_MIN_PACKETS * a->packet_bytes;
	pl->bps = (uint32_t)(bps < PROBE_MIN_BPS ? PROBE_MIN_BPS : u64_min(bps, UINT32_MAX));
	pl->n_bytes = (uint32_t)n_bytes;
	pl->n_packets = PROBE_MIN_PACKETS;
}

bool probe_want(struct probe *p, const struct probe_ask *a, struct probe_plan *pl)
{
	struct probe_plan plan = {.cluster = p->plan.cluster};

	if (p->is_running || a->now < p->next || !a->is_calm || a->needed_bps <= a->estimate_bps)
		return false;
	plan_make(a, &plan);
	if (p->n_probe_bytes + plan.n_bytes > PROBE_FREE_BYTES + p->n_media_bytes / PROBE_SHARE)
		return false;
	if (++plan.cluster == 0)
		plan.cluster = 1;
	*p = (struct probe){.next = p->next,
			    .backoff = p->backoff,
			    .n_media_bytes = p->n_media_bytes,
			    .n_probe_bytes = p->n_probe_bytes,
			    .plan = plan,
			    .is_running = true,
			    .first_sent = a->now, // until the first packet
			    .last_sent = a->now,
			    .wanted_bps = a->needed_bps};
	*pl = plan;
	return true;
}

static void cluster_add(struct probe *p, uint16_t n_bytes, ns_t now)
{
	if (p->n_sent++ == 0)
		p->first_sent = now;
	p->last_sent = now;
	p->sent_bytes += n_bytes;
	p->last_bytes = n_bytes;
}

uint8_t probe_media(struct probe *p, uint16_t n_bytes, ns_t now)
{
	p->n_media_bytes += n_bytes;
	if (!p->is_running || p->is_sent || p->n_sent == 0)
		return 0;
	cluster_add(p, n_bytes, now);
	return p->plan.cluster;
}

ns_t probe_due(const struct probe *p)
{
	if (!p->is_running || p->is_sent)
		return NS_NEVER;
	assert(p->plan.bps > 0);
	return p->first_sent + (ns_t)((uint64_t)p->sent_bytes * 8 * NS_PER_S / p->plan.bps);
}

bool probe_sent(struct probe *p, uint16_t n_bytes, ns_t now)
{
	if (!p->is_running || p->is_sent)
		return true;
	cluster_add(p, n_bytes, now);
	p->n_own++;
	p->n_probe_bytes += n_bytes;
	p->is_sent = p->sent_bytes >= p->plan.n_bytes && p->n_own >= p->plan.n_packets;
	return p->is_sent;
}

void probe_ack(struct probe *p, const struct sendhist_ack *a)
{
	if (!p->is_running || a->cluster != p->plan.cluster)
		return;
	if (a->event != SENDHIST_ACKED) {
		p->n_lost += a->event == SENDHIST_LOST;
		return;
	}
	if (p->n_acked++ == 0 || a->arrival_us < p->first_arrival) {
		p->first_arrival = a->arrival_us;
		p->first_bytes = a->n_bytes;
	}
	if (p->n_acked == 1 || a->arrival_us > p->last_arrival)
		p->last_arrival = a->arrival_us;
	p->acked_bytes += a->n_bytes;
}

// Rates between the first and the last packet: the last sent and the first received do not count.
static uint32_t rate_measured(const struct probe *p, bool *is_full)
{
	int64_t sent_us = (p->last_sent - p->first_sent) / NS_PER_US,
		arrival_us = p->last_arrival - p->first_arrival;
	uint64_t sent, received;

	if (p->n_acked < 2 || p->n_acked * 5u < p->n_sent * 4u || sent_us < 1000 || arrival_us < 250)
		return 0;
	sent = (uint64_t)(p->sent_bytes - p->last_bytes) * 8000000 / (uint64_t)sent_us;
	received = (uint64_t)(p->acked_bytes - p->first_bytes) * 8000000 / (uint64_t)arrival_us;
	if (received > 2 * sent)
		return 0;
	// The link was full: a little less than what it carried, so that its queue drains.
	*is_full = received * 10 < sent * 9;
	if (*is_full)
		return (uint32_t)u64_min(received * 95 / 100, UINT32_MAX);
	return (uint32_t)u64_min(u64_min(sent, received), UINT32_MAX);
}

static void attempt_over(struct probe *p, uint32_t bps, uint32_t estimate_bps, ns_t now)
{
	p->is_running = false;
	if (bps > estimate_bps) {
		p->backoff = PROBE_AGAIN_NS;
		// Nearly all of it got through: perhaps more does.
		p->next = now + ((uint64_t)bps * 10 > (uint64_t)p->plan.bps * 7 ? 0 : PROBE_AGAIN_NS);
		return;
	}
	p->next = now + p->backoff;
	p->backoff = p->backoff * 3 / 2 < PROBE_MAX_NS ? p->backoff * 3 / 2 : PROBE_MAX_NS;
}

uint32_t probe_result(struct probe *p, uint32_t estimate_bps, ns_t now, bool *is_full)
{
	uint32_t bps;

	*is_full = false;
	if (!p->is_running)
		return 0;
	// A cluster that nobody goes on sending is over, too.
	if (now - p->last_sent < PROBE_WAIT_NS && (!p->is_sent || p->n_acked + p->n_lost < p->n_sent))
		return 0;
	bps = p->is_sent ? rate_measured(p, is_full) : 0;
	attempt_over(p, bps, estimate_bps, now);
	return bps;
}

void probe_abandon(struct probe *p, ns_t now)
{
	p->is_running = false;
	p->next = now + PROBE_FIRST_NS;
}

void probe_reset(struct probe *p, ns_t now)
{
	p->is_running = false;
	p->backoff = PROBE_AGAIN_NS;
	p->next = now + PROBE_FIRST_NS;
}
