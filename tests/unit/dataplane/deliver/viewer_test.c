// What a receiver of video is sent: from the ring of a layer to sealed packets, and when.
#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/media/bwe.h"
#include "dataplane/worker/worker.h"
#include "tests/support/dataplane/feed.h"

static struct feed_got got[600];

static void forwarded_with(unsigned n_workers)
{
	unsigned n;

	CHECK_OR_RETURN(feed_open(n_workers, 0, true));
	feed_show(0, true, 3);
	feed_tell(0, 500000);
	for (unsigned i = 0; i < 30; i++)
		feed_show(0, i == 10, 4);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK(n >= 20 * 4);
	for (unsigned i = 0; i < n; i++) {
		CHECK(got[i].is_open);
		CHECK_EQ(got[i].v.pt, FEED_PT);
		if (i == 0)
			continue;
		CHECK_EQ((uint16_t)(got[i].v.seq - got[i - 1].v.seq), 1);
		CHECK_EQ(got[i].source_index - got[i - 1].source_index, 1);
		CHECK(got[i].v.ts - got[i - 1].v.ts == (got[i - 1].v.marker ? FEED_FRAME_TS : 0));
	}
	CHECK(got[0].v.seq >= 1 && got[0].v.seq <= 0x7fff); // whatever the source's roll-over counter is
	CHECK_EQ(n > 0 && (got[0].payload[6] & 1) == 0, true); // begins with the key frame
	feed_close();
}

static void forwarded(void)
{
	forwarded_with(1);
	forwarded_with(2);
}

static void late_ones_fill_their_place(void)
{
	unsigned n;
	uint64_t missing;

	CHECK_OR_RETURN(feed_open(2, 0, true));
	feed_warm_up(0, 10);
	missing = feed.at[0]++;
	feed_show(0, false, 4);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK_EQ((uint16_t)(got[n - 4].v.seq - got[n - 5].v.seq), 2);
	feed_late(missing);
	rig_run(0);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 600), n + 1);
	CHECK_EQ((uint16_t)(got[n - 4].v.seq - got[n].v.seq), 1);
	CHECK_EQ(got[n].source_index, missing);
	feed_close();
}

// The lists of receivers are published after all commands that came together: until then they still name one who left.
static void receiver_leaves_before_the_list_does(void)
{
	union ipc_msg cmd = {.session_ref.sid = 0};

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_show(0, false, 3); // it waits for a key frame
	feed_tell(0, 500000);
	rig_run(200 * NS_PER_MS);
	CHECK(feed_leg(&feed.to)->viewer->choice.want >= 0);
	rig.n_sent = 0;
	cmd.session_ref.sid = feed.to.sid;
	cmd.hdr = (struct ipc_hdr){.type = CMD_SESSION_DEL, .len = sizeof(cmd.session_ref), .seq = ++rig.seq};
	CHECK_EQ(model_apply(rig.model, &cmd), 0);
	feed_frame(0, true, 3);
	audience_wake(feed_publisher(), rig_source(1, 1));
	worker_round(feed_publisher(), rig.now); // takes the mail, then serves
	rig_run(0);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 600), 0);
	for (unsigned i = 0; i < 10; i++)
		feed_show(0, false, 3);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 600), 0);
	feed_close();
}

// Both layers send; what the receiver gets is one stream.
static void switches(void)
{
	unsigned n, layer = 0, n_switches;

	CHECK_OR_RETURN(feed_open(2, 2, true));
	for (unsigned i = 0; i < 4; i++) {
		feed_frame(1, i == 0, 2);
		feed_show(0, i == 0, 2);
	}
	feed_tell(0, 500000);
	feed_tell(1, 2500000);
	feed_want_rung(0);
	for (unsigned k = 0; k < 40; k++) {
		if (k % 4 == 3)
			feed_want_rung(layer ^= 1);
		feed_frame(1, layer == 1, 6);
		feed_show(0, layer == 0, 3);
	}
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK_OR_RETURN(n > 100);
	n_switches = feed_leg(&feed.to)->viewer->n_switches;
	CHECK(n_switches >= 8);
	for (unsigned i = 1; i < n; i++) {
		unsigned step = (uint16_t)(got[i].v.seq - got[i - 1].v.seq);
		int32_t dt = (int32_t)(got[i].v.ts - got[i - 1].v.ts);
		CHECK(got[i].is_open);
		CHECK(step == 1 || step == 2); // 2: the frame before was cut
		CHECK(dt >= 0 && dt <= 4 * FEED_FRAME_TS);
		CHECK(((got[i].pid - got[i - 1].pid) & 0x7fff) <= 2);
	}
	feed_close();
}

static void joiner_begins_with_the_cached_key_frame(void)
{
	struct rig_peer c;
	unsigned n;

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 3);
	for (unsigned i = 0; i < 10; i++)
		feed_show(0, i == 0, 4);
	rig_join(&c, 3, SEAL_AES128_CM_SHA1_80);
	CHECK_EQ(feed_watch(&c, 5, 0x9900, true), 0);
	for (unsigned i = 0; i < 50; i++)
		rig_run(5 * NS_PER_MS);
	n = feed_collect(&c, 0x9900, got, 600);
	CHECK_EQ(n, 40); // all since the key frame, without a new one
	CHECK(n > 0 && (got[0].payload[6] & 1) == 0);
	for (unsigned i = 1; i < n; i++)
		CHECK_EQ(got[i].source_index - got[i - 1].source_index, 1);
	feed_show(0, false, 4);
	CHECK_EQ(feed_collect(&c, 0x9900, got, 600), 44);
	rig_leave(&c);
	feed_close();
}

static void bursts_are_paced(void)
{
	unsigned at_once, n;

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 5);
	rig.n_sent = 0;
	feed_frame(0, true, 400); // 80 kB
	feed_news();
	for (unsigned i = 0; i < 20; i++)
		feed_news();
	at_once = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK(at_once < 200);
	for (unsigned i = 0; i < 100; i++)
		rig_run(5 * NS_PER_MS);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK_EQ(n, 400);
	for (unsigned i = 1; i < n; i++)
		CHECK_EQ((uint16_t)(got[i].v.seq - got[i - 1].v.seq), 1);
	feed_close();
}

// Numbers and picture ids of what waits were not given yet: the cap changes where its frame is sent, not where it came.
static void cap_changes_behind_backlog(void)
{
	struct simulcast *c;
	unsigned n;
	uint64_t first;

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 5);
	rig.n_sent = 0;
	first = feed.at[0];
	feed_session(&feed.to)->bwe->pacer.bps = 1000000;
	feed_session(&feed.to)->bwe->decided = rig.now + 3600 * NS_PER_S;
	feed_session(&feed.to)->bwe->due = NS_NEVER;
	feed_frame(0, false, 120);
	feed_news();
	CHECK(feed_collect(&feed.to, FEED_SSRC, got, 600) < 100); // the rest waits
	c = viewer_choice(feed_leg(&feed.to)->viewer);
	c->want = c->now;
	c->want_layer = c->now_layer;
	c->want_cap = 0;
	feed_frame(0, false, 4);
	feed_news();
	CHECK_EQ(c->now_cap, RTXRING_ALL); // not in the middle of a frame
	for (unsigned i = 0; i < 80; i++)
		rig_run(5 * NS_PER_MS);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK_EQ(n, 124);
	for (unsigned i = 0; i < n; i++) {
		CHECK_EQ(got[i].source_index, first + i);
		CHECK_EQ((uint16_t)(got[i].v.seq - got[0].v.seq), i);
	}
	CHECK_EQ(c->now_cap, 0);
	feed_close();
}

static void stale_backlog_is_left_out(void)
{
	unsigned n;

	CHECK_OR_RETURN(feed_open(1, 0, true));
	feed_warm_up(0, 5);
	rig.n_sent = 0;
	feed_session(&feed.to)->bwe->pacer.bps = 20000; // all of a sudden nothing goes through
	feed_session(&feed.to)->bwe->decided = rig.now + 3600 * NS_PER_S;
	feed_session(&feed.to)->bwe->due = NS_NEVER;
	feed_frame(0, false, 300);
	feed_news();
	for (unsigned i = 0; i < 30; i++)
		rig_run(50 * NS_PER_MS);
	n = feed_collect(&feed.to, FEED_SSRC, got, 600);
	CHECK(n < 200);
	CHECK(rig_counter(DROP_STALE) > 100);
	feed_session(&feed.to)->bwe->pacer.bps = 10000000;
	feed_show(0, false, 4);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 600), n); // not before a key frame
	feed_show(0, true, 4);
	CHECK_EQ(feed_collect(&feed.to, FEED_SSRC, got, 600), n + 4);
	feed_close();
}

CU_TestInfo viewer_tests[] = {
	{"a receiver is sent a stream from its key frame on, in its own numbers, on one worker and on "
	 "two",
	 forwarded},
	{"a late packet fills the place that was kept", late_ones_fill_their_place},
	{"layers change inside one stream: numbers, time and picture ids go on", switches},
	{"who joins begins with the key frame in the ring", joiner_begins_with_the_cached_key_frame},
	{"a large frame leaves spread out and whole", bursts_are_paced},
	{"a temporal cap changes behind the packets that wait, at its frame", cap_changes_behind_backlog},
	{"a receiver that left is passed over until the lists say so", receiver_leaves_before_the_list_does},
	{"what waited for too long is left out up to the next key frame", stale_backlog_is_left_out},
	CU_TEST_INFO_NULL,
};
