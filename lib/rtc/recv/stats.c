#include "lib/rtc/recv/stats.h"

#include <errno.h>

#include "lib/rtc/wire/rtp.h"

#define HOUR_NS (3600 * NS_PER_S)

// ns of real time in RTP clock units, any ns. Exact to one unit, wraps as RTP time does.
static int64_t rtp_ticks(int64_t ns, uint32_t clock_hz)
{
	return ns / NS_PER_S * clock_hz + ns % NS_PER_S * clock_hz / NS_PER_S;
}

// --- reception ----------------------------------------------------------------------------------

// RFC 3550 A.8, on differences to the packet before, so that no absolute RTP time of arrival is needed.
static void jitter_update(struct rx_stats *s, uint32_t ts, ns_t arrival, uint32_t clock_hz)
{
	int64_t gap = arrival - s->last_arrival, d;

	if (gap < 0 || gap > HOUR_NS)
		return;
	d = rtp_ticks(gap, clock_hz) - seq32_diff(ts, s->last_ts);
	if (d < 0)
		d = -d;
	if (d > 10 * (int64_t)clock_hz) // the publisher's timestamps were set anew; not the network
		return;
	s->jitter_q4 += (uint32_t)d - ((s->jitter_q4 + 8) >> 4);
}

void rx_stats_packet(struct rx_stats *s, uint64_t index, uint32_t ts, uint32_t n_payload_bytes, ns_t arrival,
		     uint32_t clock_hz)
{
	if (!s->started) {
		s->started = true;
		s->first = s->top = index;
	} else if (clock_hz > 0) {
		jitter_update(s, ts, arrival, clock_hz);
	}
	if (index > s->top)
		s->top = index;
	if (index < s->first)
		s->first = index;
	s->n_packets++;
	s->n_bytes += n_payload_bytes;
	s->last_arrival = arrival;
	s->last_ts = ts;
	s->is_active = true;
}

void rx_stats_sr(struct rx_stats *s, uint64_t ntp, ns_t arrival)
{
	s->lsr = (uint32_t)(ntp >> 16);
	s->sr_arrival = arrival;
}

// RFC 3550 A.3.
void rx_stats_report(struct rx_stats *s, uint32_t ssrc, ns_t now, struct rtcp_block *b)
{
	uint64_t expected = s->started ? s->top - s->first + 1 : 0;
	uint64_t expected_now = expected - s->prior_expected;
	uint64_t received_now = s->n_packets - s->prior_received;
	int64_t lost = (int64_t)(expected - s->n_packets);
	int64_t since_sr = now - s->sr_arrival;

	*b = (struct rtcp_block){.ssrc = ssrc, .ext_seq = (uint32_t)s->top, .jitter = s->jitter_q4 >> 4};
	b->lost = (int32_t)(lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost);
	if (expected_now > received_now) {
		uint64_t fraction = (expected_now - received_now) * 256 / expected_now;
		b->fraction = (uint8_t)(fraction > 255 ? 255 : fraction);
	}
	if (s->lsr != 0 && since_sr >= 0 && since_sr < HOUR_NS) {
		b->lsr = s->lsr;
		b->dlsr = (uint32_t)(since_sr / NS_PER_S * 65536 + since_sr % NS_PER_S * 65536 / NS_PER_S);
	}
	s->prior_expected = expected;
	s->prior_received = s->n_packets;
	s->is_active = false;
}

// --- round trip ---------------------------------------------------------------------------------

int64_t rtt_of(const struct rtcp_block *b, uint64_t now_ntp)
{
	uint32_t v = (uint32_t)(now_ntp >> 16) - b->lsr - b->dlsr;

	if (b->lsr == 0)
		return -ENODATA;
	if (v == 0 || v > 30u << 16)
		return -ERANGE;
	return (int64_t)v * NS_PER_S / 65536;
}

void rtt_sample(struct rtt *r, int64_t rtt_ns, ns_t now)
{
	r->smooth_ns = r->smooth_ns == 0 ? rtt_ns : r->smooth_ns + (rtt_ns - r->smooth_ns) / 8;
	if (r->min_now_ns == 0 || now - r->min_since > 10 * NS_PER_S) {
		r->min_ns = r->min_now_ns == 0 || rtt_ns < r->min_now_ns ? rtt_ns : r->min_now_ns;
		r->min_now_ns = rtt_ns;
		r->min_since = now;
		return;
	}
	if (rtt_ns < r->min_now_ns)
		r->min_now_ns = rtt_ns;
	if (r->min_now_ns < r->min_ns)
		r->min_ns = r->min_now_ns;
}

// --- publisher clock ----------------------------------------------------------------------------

#define SLOT_NS (5 * NS_PER_S)
#define CLOCK_STEP_NS (2 * NS_PER_S) // a sample this far from the offset is a clock that was set
#define REJECTS_BEFORE_NEW 5
#define MAX_CLOCK_HZ 1000000 // no payload format has a faster one; keeps products within 64 bits

int64_t ntp_diff_ns(uint64_t a, uint64_t b)
{
	int64_t d = (int64_t)(a - b); // 32.32, eras wrap
	int64_t s = d >> 32;

	return s * NS_PER_S + (int64_t)((((uint64_t)d & 0xffffffff) * (uint64_t)NS_PER_S) >> 32);
}

static int64_t ntp_ns(uint64_t ntp)
{
	return (int64_t)(ntp >> 32) * NS_PER_S + (int64_t)(((ntp & 0xffffffff) * (uint64_t)NS_PER_S) >> 32);
}

// Smallest sample of the last 30 s: the packet that was delayed least. False when there was none.
static bool clock_min(const struct pub_clock *c, ns_t now, int64_t *min)
{
	int64_t oldest = now / SLOT_NS + 1 - (PUB_CLOCK_SLOTS - 1);
	bool found = false;

	for (unsigned i = 0; i < PUB_CLOCK_SLOTS; i++) {
		if (c->slot_no[i] == 0 || c->slot_no[i] < oldest)
			continue;
		if (!found || c->slot_min[i] < *min)
			*min = c->slot_min[i];
		found = true;
	}
	return found;
}

// Move the offset towards the minimum, at most 1 ms per second: downstream SRs must not jump.
static int64_t clock_offset(struct pub_clock *c, ns_t now)
{
	int64_t min = 0, step, limit = (now - c->slewed_at) / 1000;

	if (limit <= 0 || !clock_min(c, now, &min))
		return c->offset;
	step = min - c->offset;
	if (step > limit)
		step = limit;
	if (step < -limit)
		step = -limit;
	c->offset += step;
	c->slewed_at = now;
	return c->offset;
}

static void clock_sample(struct pub_clock *c, int64_t sample, ns_t now)
{
	int64_t no = now / SLOT_NS + 1, i = no % PUB_CLOCK_SLOTS;
	int64_t off = sample - c->offset;

	if (c->started && (off > CLOCK_STEP_NS || off < -CLOCK_STEP_NS))
		*c = (struct pub_clock){.era = c->era + 1};
	if (!c->started) {
		c->started = true;
		c->offset = sample;
		c->slewed_at = now;
	}
	if (c->slot_no[i] != no || sample < c->slot_min[i])
		c->slot_min[i] = sample;
	c->slot_no[i] = no;
	(void)clock_offset(c, now);
}

// Does the SR fit the one before?
static bool sr_plausible(const struct sr_map *m, uint64_t ntp, uint32_t rtp, uint32_t clock_hz)
{
	int64_t passed = ntp_diff_ns(ntp, m->ntp), want, got;

	if (passed < 0)
		return false;
	if (passed <= NS_PER_S)
		return true;
	if (passed > HOUR_NS * 6) // RTP time of a 90 kHz clock wraps after 6.6 h: nothing to compare
		return true;
	want = rtp_ticks(passed, clock_hz);
	got = seq32_diff(rtp, m->rtp);
	return got >= want - want / 20 && got <= want + want / 20;
}

int sr_map_on_sr(struct sr_map *m, struct pub_clock *c, uint64_t ntp, uint32_t rtp, uint32_t clock_hz,
		 ns_t arrival)
{
	if (ntp == 0 || clock_hz == 0 || clock_hz > MAX_CLOCK_HZ)
		return -EINVAL;
	if (m->valid && m->era == c->era && !sr_plausible(m, ntp, rtp, clock_hz) &&
	    ++m->n_rejected < REJECTS_BEFORE_NEW)
		return -EINVAL;
	clock_sample(c, arrival - ntp_ns(ntp), arrival);
	*m = (struct sr_map){.ntp = ntp, .rtp = rtp, .clock_hz = clock_hz, .era = c->era, .valid = true};
	return 0;
}

bool sr_map_rtp_at(const struct sr_map *m, struct pub_clock *c, ns_t now, uint32_t *rtp)
{
	int64_t since;

	if (!m->valid || m->era != c->era)
		return false;
	since = now - (ntp_ns(m->ntp) + clock_offset(c, now));
	*rtp = m->rtp + (uint32_t)rtp_ticks(since, m->clock_hz);
	return true;
}
