#include "lib/rtc/send/sendhist.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/rtc/wire/rtp.h"

enum state { UNUSED, UNDER_WAY, ACKED, LOST };

#define ARRIVAL_WRAP_US (INT64_C(64000) << 24) // 24 bits of 64 ms
#define ARRIVAL_MAX_STEP_US \
	INT64_C(60000000) // a larger one means nothing, and must not add up to an overflow

void sendhist_init(struct sendhist *h, struct sendhist_slot *slot, uint32_t n_slots)
{
	assert(n_slots >= 64 && n_slots <= 8192 && (n_slots & (n_slots - 1)) == 0);
	*h = (struct sendhist){.slot = slot, .mask = n_slots - 1};
	memset(slot, 0, n_slots * sizeof(*slot));
}

uint16_t sendhist_add(struct sendhist *h, uint16_t n_bytes, uint8_t cluster, ns_t now)
{
	h->slot[h->next & h->mask] = (struct sendhist_slot){.sent_us = (uint32_t)(now / NS_PER_US),
							    .n_bytes = n_bytes,
							    .cluster = cluster,
							    .state = UNDER_WAY};
	if (h->n_sent <= h->mask)
		h->n_sent++;
	return (uint16_t)h->next++;
}

int sendhist_begin(const struct sendhist *h, struct sendhist_iter *it, const struct rtcp_fb *fb)
{
	int rc = twcc_fb_begin(&it->fb, fb);

	if (rc < 0)
		return rc;
	it->base = seq32_extend(h->next, it->fb.base);
	it->i = 0;
	it->n_left = it->fb.n_status;
	if (it->n_left > 2 * (h->mask + 1)) // an honest report is about what may still be remembered
		it->n_left = 2 * (h->mask + 1);
	if (h->n_sent == 0 || seq32_diff(it->base, h->next) >= 0 ||
	    seq32_diff(it->base + it->n_left, h->next - h->n_sent) <= 0)
		return -ERANGE;
	return 0;
}

// Arrival times as one line: the reported ones wrap after 12 days.
static int64_t arrival_unwrap(struct sendhist *h, int64_t raw)
{
	int64_t d;

	if (!h->has_arrival) {
		h->has_arrival = true;
		h->arrival_raw = h->arrival_us = raw;
		return raw;
	}
	d = (raw - h->arrival_raw) % ARRIVAL_WRAP_US;
	if (d > ARRIVAL_WRAP_US / 2)
		d -= ARRIVAL_WRAP_US;
	else if (d < -ARRIVAL_WRAP_US / 2)
		d += ARRIVAL_WRAP_US;
	if (d > ARRIVAL_MAX_STEP_US)
		d = ARRIVAL_MAX_STEP_US;
	else if (d < -ARRIVAL_MAX_STEP_US)
		d = -ARRIVAL_MAX_STEP_US;
	h->arrival_raw = raw;
	h->arrival_us += d;
	return h->arrival_us;
}

bool sendhist_next(struct sendhist *h, struct sendhist_iter *it, ns_t now, struct sendhist_ack *a)
{
	uint32_t now_us = (uint32_t)(now / NS_PER_US);
	struct twcc_status st;

	while (it->n_left > 0 && twcc_fb_next(&it->fb, &st)) {
		uint32_t seq = it->base + it->i++;
		struct sendhist_slot *s = &h->slot[seq & h->mask];
		int64_t arrival = st.is_received ? arrival_unwrap(h, st.arrival_us) : 0;

		it->n_left--;
		if (seq32_diff(seq, h->next) >= 0 || h->next - seq > h->n_sent)
			continue;
		if (s->state == ACKED || (s->state == LOST && !st.is_received))
			continue;
		*a = (struct sendhist_ack){.sent_us =
						   now / NS_PER_US - (int64_t)(uint32_t)(now_us - s->sent_us),
					   .arrival_us = arrival,
					   .n_bytes = s->n_bytes,
					   .cluster = s->cluster,
					   .event = !st.is_received    ? SENDHIST_LOST
						    : s->state == LOST ? SENDHIST_LATE
								       : SENDHIST_ACKED};
		s->state = st.is_received ? ACKED : LOST;
		return true;
	}
	return false;
}
