// What a receiver of video is sent again.
#include "dataplane/media/bwe.h"
#include "dataplane/media/layer_read.h"
#include "lib/rtc/wire/rtcp.h"
#include "tests/support/dataplane/feed.h"

static struct feed_got got[600];

static void resent_by_rtx(void)
{
	static struct feed_got first[200], again[8];
	uint16_t seq[3];
	unsigned n;

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 20);
	n = feed_collect(&feed.to, FEED_SSRC, first, 200);
	CHECK_OR_RETURN(n > 50);
	for (unsigned i = 0; i < 3; i++)
		seq[i] = first[n - 10 + i].v.seq;
	rig_run(100 * NS_PER_MS);
	feed_nack(&feed.to, seq, 3);
	CHECK_EQ(feed_collect(&feed.to, FEED_RTX_SSRC, again, 8), 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct feed_got *was = &first[n - 10 + i];
		CHECK(again[i].is_open);
		CHECK_EQ(again[i].v.pt, FEED_RTX_PT);
		CHECK_EQ(again[i].v.ts, was->v.ts);
		CHECK_EQ(again[i].v.marker, was->v.marker);
		CHECK_EQ(be16_get(again[i].payload), was->v.seq); // OSN: number of this receiver
		CHECK_EQ(again[i].len, was->len + 2);
		CHECK_MEM(again[i].payload + 2, was->payload, was->len);
	}
	feed_nack(&feed.to, seq, 3); // at once again, and again
	feed_nack(&feed.to, seq, 3);
	CHECK_EQ(feed_collect(&feed.to, FEED_RTX_SSRC, again, 8), 3);
	feed_close();
}

static void resent_byte_for_byte(void)
{
	struct rig_out was[3];
	uint16_t seq[3];
	unsigned n = 0;

	CHECK_OR_RETURN(feed_open(1, 0, false));
	feed_warm_up(0, 20);
	for (unsigned i = rig.n_sent; i-- > 0 && n < 3;)
		if (rig.sent[i].to.remote_port == feed.to.port && rig_is_rtp(&rig.sent[i], FEED_SSRC)) {
			was[n] = rig.sent[i];
			seq[n++] = be16_get(rig.sent[i].data + 2);
		}
	CHECK_OR_RETURN(n == 3);
	rig_run(100 * NS_PER_MS);
	rig.n_sent = 0;
	feed_nack(&feed.to, seq, 3);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 10), 3);
	for (unsigned i = 0, k = 0; i < rig.n_sent && k < 3; i++)
		if (rig_is_rtp(&rig.sent[i], FEED_SSRC)) {
			CHECK_EQ(rig.sent[i].len, was[k].len);
			CHECK_MEM(rig.sent[i].data, was[k].data, was[k].len);
			k++;
		}
	feed_close();
}

static void nonsense_is_not_resent(void)
{
	uint16_t seq[RTCP_MAX_NACKS];
	struct feed_got last[1];

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 5);
	CHECK(feed_collect(&feed.to, FEED_SSRC, got, 600) > 0);
	last[0] = got[feed_collect(&feed.to, FEED_SSRC, got, 600) - 1];
	rig.n_sent = 0;
	for (unsigned i = 0; i < RTCP_MAX_NACKS; i++)
		seq[i] = (uint16_t)(last[0].v.seq + 1 + i); // never sent
	feed_nack(&feed.to, seq, RTCP_MAX_NACKS);
	for (unsigned i = 0; i < RTCP_MAX_NACKS; i++)
		seq[i] = (uint16_t)(last[0].v.seq - 20000 - i); // long ago
	feed_nack(&feed.to, seq, RTCP_MAX_NACKS);
	CHECK_EQ(feed_collect(&feed.to, FEED_RTX_SSRC, got, 600), 0);
	feed_close();
}

static void resends_are_a_share(void)
{
	uint16_t seq[200];
	unsigned n, bytes = 0, m;

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 60);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	rig.n_sent = 0;
	for (unsigned i = 0; i < 200; i++)
		seq[i] = got[n - 1 - i].v.seq;
	for (unsigned k = 0; k < 20; k++) { // two seconds of asking for everything
		rig_run(100 * NS_PER_MS);
		feed_nack(&feed.to, seq, 200);
	}
	m = feed_collect(&feed.to, FEED_RTX_SSRC, got, 600);
	for (unsigned i = 0; i < m; i++)
		bytes += got[i].len;
	CHECK(m > 10);
	CHECK(bytes * 8 / 2 <
	      feed_session(&feed.to)->bwe->target / 3); // a quarter of the target, and what was saved up
	feed_close();
}

// A packet that never comes: the receiver is given padding under its number, the same bytes each time.
static void filler_closes_a_gap(void)
{
	struct layer *l;
	uint16_t hole;
	unsigned n;

	CHECK_OR_RETURN(feed_open(1, 0, false));
	feed_warm_up(0, 10);
	l = rig_source(1, 1)->video->layer[0];
	feed.at[0]++; // lost
	feed_show(0, false, 4);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	hole = (uint16_t)(got[n - 4].v.seq - 1);
	CHECK_EQ((uint16_t)(got[n - 4].v.seq - got[n - 5].v.seq), 2);
	rig.n_sent = 0;
	feed_nack(&feed.to, &hole, 1);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 9), 0); // it may still come
	layer_give_up(l, feed.at[0] - 5);
	feed_nack(&feed.to, &hole, 1);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 9), 1);
	CHECK(got[0].is_open && got[0].v.has_pad && !got[0].v.marker);
	CHECK_EQ(got[0].v.seq, hole);
	rig_run(200 * NS_PER_MS);
	feed_nack(&feed.to, &hole, 1);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 9), 2);
	{
		struct rig_out *first = NULL;
		for (unsigned i = 0; i < rig.n_sent; i++)
			if (rig_is_rtp(&rig.sent[i], FEED_SSRC) && be16_get(rig.sent[i].data + 2) == hole) {
				if (first)
					CHECK_MEM(rig.sent[i].data, first->data, first->len);
				first = &rig.sent[i];
			}
	}
	feed_close();
}

CU_TestInfo viewer_ask_tests[] = {
	{"what is asked for is sent again by RTX, in the receiver's numbers, once a round trip",
	 resent_by_rtx},
	{"without RTX it is sent again byte for byte", resent_byte_for_byte},
	{"numbers never sent or long past are not answered", nonsense_is_not_resent},
	{"resends are a share of the target whatever is asked for", resends_are_a_share},
	{"a packet that is given up becomes padding, the same each time", filler_closes_a_gap},
	CU_TEST_INFO_NULL,
};
