// Whatever happens, a receiver of video is never sent two packets under one number.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/deliver/viewer_priv.h"
#include "lib/base/rand.h"
#include "tests/support/dataplane/feed.h"

// What was sent under each number of an FEED_SSRC, by its last 2^15 ones.
struct ledger {
	uint32_t ssrc;
	uint64_t top;
	unsigned n;
	uint64_t index[1u << 15];
	uint32_t hash[1u << 15];
};

static uint32_t hash_of(const struct rig_out *o)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < o->len; i++)
		h = (h ^ o->data[i]) * 16777619u;
	return h;
}

// False: other bytes under a number that was used.
static bool ledger_enter(struct ledger *l, const struct rig_out *o)
{
	uint64_t index;
	unsigned slot;

	if (l->top == 0)
		index = be16_get(o->data + 2) + (UINT64_C(1) << 16);
	else if (!seq64_extend(l->top, be16_get(o->data + 2), &index))
		return false;
	l->top = RTE_MAX(l->top, index);
	l->n++;
	slot = index % (1u << 15);
	if (l->index[slot] == index)
		return l->hash[slot] == hash_of(o);
	l->index[slot] = index;
	l->hash[slot] = hash_of(o);
	return true;
}

static bool audit(struct ledger *media, struct ledger *rtx)
{
	bool is_right = true;

	for (unsigned i = 0; i < rig.n_sent; i++) {
		struct rig_out *o = &rig.sent[i];
		if (o->to.remote_port == feed.to.port && rig_is_rtp(o, FEED_SSRC))
			is_right &= ledger_enter(media, o);
		else if (o->to.remote_port == feed.to.port && rig_is_rtp(o, FEED_RTX_SSRC))
			is_right &= ledger_enter(rtx, o);
	}
	rig.n_sent = 0;
	return is_right;
}

static void random_nack(const struct ledger *media)
{
	uint16_t seq[20];

	for (unsigned i = 0; i < 20; i++)
		seq[i] = (uint16_t)(media->top - rand_u32() % 300);
	feed_nack(&feed.to, seq, 1 + rand_u32() % 20);
}

static void one_number_one_packet_with(bool rtx, unsigned n_steps)
{
	static struct ledger media, again;
	uint64_t missing = 0;
	unsigned layer = 0;

	CHECK_OR_RETURN(feed_open(1, 2, rtx));
	memset(&media, 0, sizeof(media));
	memset(&again, 0, sizeof(again));
	rand_seed(99);
	feed_tell(0, 500000);
	feed_tell(1, 2500000);
	feed_want_rung(0);
	for (unsigned i = 0; i < n_steps; i++) {
		uint32_t r = rand_u32();

		feed_frame(0, r % 16 == 0, 1 + r / 16 % 5);
		feed_frame(1, r / 128 % 16 == 0, 1 + r / 2048 % 5);
		feed_news();
		if (r >> 16 & 1)
			missing = feed.at[0]++;
		switch (r >> 20 & 15) {
		case 0:
			feed_want_rung(layer ^= 1);
			break;
		case 1:
		case 2:
			random_nack(&media);
			break;
		case 3:
			feed_late(missing);
			break;
		case 4:
			layer_give_up(rig_source(1, 1)->video->layer[0], missing);
			break;
		case 5:
			viewer_probe(rig.dp->worker[0], feed_session(&feed.to), 1, 1200);
			break;
		case 6: // paused for want of bandwidth, and back
			viewer_choice(feed_leg(&feed.to)->viewer)->now = SIMULCAST_NONE;
			viewer_choice(feed_leg(&feed.to)->viewer)->is_paused = true;
			viewer_choice_changed(rig.dp->worker[0], feed_session(&feed.to), feed_leg(&feed.to));
			viewer_choice(feed_leg(&feed.to)->viewer)->is_paused = false;
			feed_want_rung(layer);
			break;
		default:
			break;
		}
		if (i % 64 == 0) { // consent and the publishers' reports go on
			rig_check(&feed.from);
			rig_check(&feed.to);
			feed_tell(0, 500000);
			feed_tell(1, 2500000);
		}
		rig_run((ns_t)(r >> 24 & 63) * NS_PER_MS);
		CHECK_OR_RETURN(audit(&media, &again));
	}
	printf("# %u packets in %u steps\n", media.n, n_steps);
	CHECK(media.n > n_steps);
	CHECK_EQ(again.top > 0, rtx);
	rand_seed(0);
	feed_close();
}

static void one_number_one_packet(void)
{
	const char *steps = getenv("VIEWER_STEPS"); // 1000000 takes some minutes

	one_number_one_packet_with(true, steps ? (unsigned)atoi(steps) : 20000);
	one_number_one_packet_with(false, steps ? (unsigned)atoi(steps) : 20000);
}

CU_TestInfo viewer_send_tests[] = {
	{"switches, losses, late packets, resends, probes, pauses, wraps: a number never carries two "
	 "packets",
	 one_number_one_packet},
	CU_TEST_INFO_NULL,
};
