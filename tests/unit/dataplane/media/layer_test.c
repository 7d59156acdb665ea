#include "dataplane/media/layer.h"

#include "dataplane/media/video.h"
#include "dataplane/core/payload.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "tests/support/dataplane/rig_video.h"

#include <pthread.h>

static struct rig_peer peer;
static struct source *src;
static struct layer *layer;
static struct worker *home;

static bool open_layer(unsigned nack_buffer)
{
	if (!rig_open(2))
		return false;
	rig.conf.rtc.nack_buffer_size = nack_buffer;
	rig_join(&peer, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_video_track(&peer, 1, "1", 0x7001, 0), 0);
	rig_run(NS_PER_MS);
	home = rig.dp->worker[atomic_load(&rig.dp->session[1])->home];
	src = atomic_load(&rig.dp->session[1])->track[1];
	CHECK(src != NULL && src->video != NULL);
	layer = src->video->layer[0];
	return true;
}

static void close_layer(void)
{
	rig_leave(&peer);
	rig_close();
}

static unsigned n_free(void)
{
	struct rte_mempool *pool = rte_mempool_lookup("video");

	return rte_mempool_avail_count(pool);
}

static void feed(uint64_t index, uint8_t flags)
{
	CHECK(rig_feed(home, src, 0,
		       (struct rig_frame_packet){.index = index,
						 .ts = (uint32_t)index * 3000,
						 .flags = flags,
						 .pid = (uint16_t)index}) != LAYER_REFUSED);
}

static void what_is_added_is_read(void)
{
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint64_t top;

	CHECK_OR_RETURN(open_layer(128));
	CHECK(!layer_top(layer, &top));
	feed(1000, LAYER_START | LAYER_KEY | LAYER_MARKER);
	feed(1001, LAYER_START);
	CHECK(layer_top(layer, &top));
	CHECK_EQ(top, 1001);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 1000, &e, &m), RTXRING_HELD);
	CHECK_EQ(e.flags, LAYER_START | LAYER_KEY | LAYER_MARKER);
	CHECK_EQ(be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *, RTP_HDR_LEN + 8)), 1000);
	CHECK_EQ(pkt_of(m)->place, 1000);
	CHECK_EQ(pkt_of(m)->vp8.picture_id, 1000);
	CHECK_EQ(layer_find(layer, RTXRING_ALL, e.rank[RTXRING_ALL], &e, &m), RTXRING_HELD);
	CHECK_EQ(pkt_of(m)->place, 1000);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 999, &e, &m), RTXRING_UNKNOWN);
	CHECK(m == NULL);
	CHECK(layer_key(layer, home->now, &top));
	CHECK_EQ(top, 1000);
	close_layer();
}

static void late_fills_the_gap_once(void)
{
	struct rig_frame_packet late = {.index = 11, .ts = 33000, .pid = 11};
	struct rtxring_entry e;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(open_layer(64));
	feed(10, LAYER_START | LAYER_KEY);
	feed(13, LAYER_START);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 11, &e, &m), RTXRING_MISSING);
	CHECK_EQ(rig_feed(home, src, 0, late), LAYER_LATE);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 11, &e, &m), RTXRING_HELD);
	CHECK_EQ(pkt_of(m)->is_late, 1);
	CHECK_EQ(rig_feed(home, src, 0, late), LAYER_REFUSED);
	layer_pad(home, layer, 12, 33000);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 12, &e, &m), RTXRING_FILLER);
	feed(15, LAYER_START);
	layer_give_up(layer, 14);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 14, &e, &m), RTXRING_FILLER);
	close_layer();
}

static void memory_comes_back_after_a_grace_period(void)
{
	unsigned before;

	CHECK_OR_RETURN(open_layer(64));
	before = n_free();
	for (uint64_t i = 0; i < 300; i++)
		feed(i, LAYER_START);
	CHECK_EQ(before - n_free(), 300); // nobody was quiescent since
	rig_run(2 * NS_PER_MS);
	rig_run(2 * NS_PER_MS);
	CHECK_EQ(before - n_free(), 64);
	rig.now += LAYER_KEEP_NS + NS_PER_MS;
	home->now = rig.now;
	layer_expire(home, layer);
	rig_run(2 * NS_PER_MS);
	rig_run(2 * NS_PER_MS);
	CHECK_EQ(n_free(), before);
	close_layer();
}

static void the_end_of_a_track_frees_its_video(void)
{
	struct ipc_track_ref del = {.sid = peer.sid, .track = 1};
	unsigned before;
	uint64_t top;

	CHECK_OR_RETURN(open_layer(64));
	before = n_free();
	del.sid = peer.sid;
	for (uint64_t i = 0; i < 50; i++)
		feed(i, LAYER_START);
	CHECK_EQ(rig_cmd(&del, CMD_TRACK_DEL), 0);
	for (unsigned i = 0; i < 4; i++)
		rig_run(2 * NS_PER_MS);
	CHECK_EQ(n_free(), before);
	CHECK(!layer_top(layer, &top));
	CHECK_EQ(rig_video_track(&peer, 1, "1", 0x7002, 0), 0);
	rig_run(NS_PER_MS);
	CHECK(atomic_load(&rig.dp->session[1])->track[1]->video != NULL);
	close_layer();
}

static void a_short_pool_lets_the_oldest_go(void)
{
	static struct rte_mbuf *others[3000];
	struct rtxring_entry e;
	struct rte_mbuf *m;
	uint64_t i = 0;

	CHECK_OR_RETURN(open_layer(4096));
	CHECK_EQ(rte_pktmbuf_alloc_bulk(rte_mempool_lookup("video"), others, 3000), 0);
	while (rig_counter(CTR_VIDEO_EVICTED) == 0 && i < 100000)
		rig_feed(home, src, 0, (struct rig_frame_packet){.index = i++});
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 0, &e, &m), RTXRING_UNKNOWN);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 40, &e, &m), RTXRING_HELD);
	CHECK(rig_counter(CTR_VIDEO_EVICTED) > 0);
	rig_run(2 * NS_PER_MS);
	rig_run(2 * NS_PER_MS);
	CHECK_EQ(rig_feed(home, src, 0, (struct rig_frame_packet){.index = i}), LAYER_IN_ORDER);
	// A short pool shortens what is kept, before it is empty.
	rig_run(LAYER_KEEP_NS / 2);
	layer_expire(home, layer);
	CHECK_EQ(layer_read(layer, RTXRING_ALL, 100, &e, &m), RTXRING_UNKNOWN);
	mbufs_done(others, 3000);
	close_layer();
}

static void key_frames_are_found(void)
{
	uint64_t at;

	CHECK_OR_RETURN(open_layer(64));
	feed(10, LAYER_START | LAYER_KEY);
	feed(20, LAYER_START | LAYER_KEY);
	feed(30, LAYER_START);
	CHECK(layer_next_key(layer, 0, &at));
	CHECK_EQ(at, 10);
	CHECK(layer_next_key(layer, 11, &at));
	CHECK_EQ(at, 20);
	CHECK(!layer_next_key(layer, 21, &at));
	// The first packet of a key frame comes after its third.
	feed(33, LAYER_MARKER);
	feed(31, LAYER_START | LAYER_KEY);
	CHECK(layer_next_key(layer, 21, &at));
	CHECK_EQ(at, 31);
	close_layer();
}

static void news_are_whole(void)
{
	struct layer_info in = {.bps = 5,
				.is_active = true,
				.has_key = true,
				.sr = {.ntp = 6, .rtp = 7, .clock_hz = 8, .era = 9, .valid = true},
				.clock = {.at = 10, .rtp = 11, .clock_hz = 12, .valid = true}},
			  out = {};

	CHECK_OR_RETURN(open_layer(64));
	layer_info(layer, &out);
	CHECK(!out.is_active && !out.sr.valid && !out.clock.valid && out.bps == 0);
	layer_tell(layer, &in);
	layer_info(layer, &out);
	CHECK(out.bps == 5 && out.is_active && out.has_key);
	CHECK(out.sr.ntp == 6 && out.sr.rtp == 7 && out.sr.clock_hz == 8 && out.sr.era == 9 && out.sr.valid);
	CHECK(out.clock.at == 10 && out.clock.rtp == 11 && out.clock.clock_hz == 12 && out.clock.valid);
	CHECK_EQ(layer_wishes(layer), 0);
	layer_ask_key(layer);
	CHECK_EQ(layer_wishes(layer), 1);
	close_layer();
}

// --- readers on another thread ------------------------------------------------------------------------

#define FED 20000

static _Atomic bool fed;

// Follows the ring as a worker would and checks every payload against its index.
static void *follow(void *arg)
{
	uint64_t at = 0, top, *bad = arg;
	struct layer_info info;
	struct rtxring_entry e;
	struct rte_mbuf *m;

	do {
		if (layer_top(layer, &top)) {
			at = RTE_MAX(at, top > 60 ? top - 60 : 0);
			for (; at <= top; at++)
				if (layer_read(layer, RTXRING_ALL, at, &e, &m) == RTXRING_HELD)
					*bad += be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *,
										 RTP_HDR_LEN + 8)) != at ||
						pkt_of(m)->place != at;
		}
		layer_info(layer, &info);
		*bad += info.bps != info.sr.rtp;
		layer_ask_key(layer);
		rte_rcu_qsbr_quiescent(rig.dp->qsbr, 1);
	} while (!atomic_load(&fed));
	rte_rcu_qsbr_thread_offline(rig.dp->qsbr, 1);
	return NULL;
}

static void readers_see_whole_packets(void)
{
	uint64_t bad = 0;
	pthread_t reader;

	CHECK_OR_RETURN(open_layer(64));
	home = rig.dp->worker[0]; // reader 0 of the grace periods; the other thread is reader 1
	atomic_store(&fed, false);
	CHECK_EQ(pthread_create(&reader, NULL, follow, &bad), 0);
	for (uint64_t i = 0; i < FED; i++) {
		rig_feed(home, src, 0, (struct rig_frame_packet){.index = i, .flags = LAYER_START});
		layer_tell(layer, &(struct layer_info){.bps = (uint32_t)i, .sr = {.rtp = (uint32_t)i}});
		if (i % 16 == 0) {
			home->now += 2 * NS_PER_MS;
			rte_rcu_qsbr_quiescent(rig.dp->qsbr, 0);
			payload_reclaim(home);
		}
	}
	atomic_store(&fed, true);
	pthread_join(reader, NULL);
	rte_rcu_qsbr_thread_online(rig.dp->qsbr, 1);
	CHECK_EQ(bad, 0);
	CHECK(layer_wishes(layer) > 0);
	close_layer();
}

static void sizes_are_bounded(void)
{
	CHECK_EQ(layer_slots(32), 64);
	CHECK_EQ(layer_slots(256), 256);
	CHECK_EQ(layer_slots(8192), 4096);
}

CU_TestInfo layer_tests[] = {
	{"what is added is read, by index and by rank", what_is_added_is_read},
	{"a late packet fills its gap once, padding and giving up fill it with nothing",
	 late_fills_the_gap_once},
	{"payloads are freed a grace period after they left", memory_comes_back_after_a_grace_period},
	{"the end of a track frees its video", the_end_of_a_track_frees_its_video},
	{"when memory is short the oldest payloads go first", a_short_pool_lets_the_oldest_go},
	{"key frames are found, also when their first packet is late", key_frames_are_found},
	{"what a publisher's worker tells is read whole", news_are_whole},
	{"readers on other threads see whole packets", readers_see_whole_packets},
	{"sizes of rings are bounded", sizes_are_bounded},
	CU_TEST_INFO_NULL,
};
