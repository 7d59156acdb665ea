// Video of a publisher, from its packets to what is in the rings.
#include <pthread.h>

#include "dataplane/publish/intake.h"
#include "dataplane/media/layer_info.h"
#include "dataplane/media/layer_read.h"
#include "dataplane/worker/worker.h"
#include "tests/support/dataplane/show.h"

static void a_new_declaration_moves_the_track(void)
{
	CHECK_OR_RETURN(show_open(1, L, 0));
	show_shoot_run(L, 100, 3);
	CHECK_EQ(rig_video_track(&sender, 1, "1", H, 0), 0); // the client chose another SSRC
	rig_run(600 * MS);
	show_shoot(L, 103, 0); // (from before: nobody claims it now)
	show_shoot(H, 9, LAYER_KEY);
	rig_run(0);
	show_shoot(H, 10, 0);
	rig_run(0);
	CHECK_EQ(show_top(0), 104);
	rig_run(2 * NS_PER_S);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 1);
	show_close();
}

// --- held back ----------------------------------------------------------------------------------------------------

static void held_video_is_counted_but_not_kept(void)
{
	struct ipc_track_gate gate = {.track = 1};

	CHECK_OR_RETURN(show_open(1, L, 0));
	gate.sid = sender.sid;
	show_shoot_run(L, 100, 3);
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_run(0);
	show_listen();
	for (unsigned i = 0; i < 100; i++) {
		if (i != 50)
			show_shoot(L, 103 + i, 0);
		rig_run(20 * MS);
	}
	show_listen();
	CHECK_EQ(show_top(0), 102);
	CHECK_EQ(rig_counter(DROP_MUTED), 99);
	CHECK(told.n_rr > 0 && told.n_twcc > 5);
	CHECK_EQ(told.n_lost, 0);
	CHECK_EQ(told.n_nack, 0);
	gate.enabled = 1;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_run(0);
	rig_run(21 * MS);
	show_listen();
	CHECK_EQ(told.n_pli, 1);
	show_shoot(L, 203, LAYER_KEY);
	rig_run(0);
	CHECK_EQ(show_top(0), 103); // right behind the last one
	show_close();
}

static void held_from_the_first_packet_on(void)
{
	struct ipc_track_gate gate = {.track = 1};

	CHECK_OR_RETURN(show_open(1, L, 0));
	gate.sid = sender.sid;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	show_shoot_run(L, 100, 5);
	CHECK_EQ(rig_counter(DROP_MUTED), 5);
	CHECK_EQ(rig_counter(CTR_VIDEO_KEPT), 0);
	rig_run(200 * MS);
	show_listen();
	gate.enabled = 1;
	CHECK_EQ(rig_cmd(&gate, CMD_TRACK_GATE), 0);
	rig_run(0);
	rig_run(21 * MS);
	show_listen();
	CHECK_EQ(told.n_pli, 1); // before the next packet comes: a still screen sends few
	show_shoot(L, 105, LAYER_KEY);
	rig_run(0);
	CHECK_EQ(show_top(0), 105);
	show_close();
}

static void another_ssrc_takes_over(void)
{
	struct rtxring_entry e, f;
	struct rte_mbuf *m;

	CHECK_OR_RETURN(show_open(1, 0, 0));
	rig_shoot(&sender,
		  (struct rig_shot){
			  .ssrc = L, .index = 100, .ts = 5000, .mid = "1", .flags = LAYER_KEY | LAYER_START});
	rig_run(0);
	rig_shoot(&sender,
		  (struct rig_shot){
			  .ssrc = H, .index = 7, .ts = 999, .mid = "1", .flags = LAYER_KEY | LAYER_START});
	rig_run(10 * MS);
	CHECK_EQ(rig_counter(DROP_STALE), 1); // one at a time
	rig_run(600 * MS);
	rig_shoot(&sender,
		  (struct rig_shot){.ssrc = H, .index = 8, .ts = 999, .flags = LAYER_KEY | LAYER_START});
	rig_run(0);
	CHECK_EQ(show_top(0), 101);
	show_state(0, 100, &e, &m);
	CHECK_EQ(show_state(0, 101, &f, &m), RTXRING_HELD);
	CHECK_EQ(f.rank[RTXRING_ALL], e.rank[RTXRING_ALL] + 1);
	CHECK_EQ(f.ts - e.ts, 610 * 90);
	CHECK_EQ(pkt_of(m)->ts, f.ts);
	show_close();
}

// --- two workers --------------------------------------------------------------------------------------------------

static void other_workers_get_one_word_per_burst(void)
{
	uint64_t before;

	CHECK_OR_RETURN(show_open(2, L, 0));
	CHECK(atomic_load(&rig.dp->session[1])->home != atomic_load(&rig.dp->session[2])->home);
	sender.queue = atomic_load(&rig.dp->session[1])->home;
	show_shoot(L, 100, LAYER_KEY);
	rig_run(0);
	before = rig_counter(CTR_FANOUT_NOTICES);
	for (unsigned i = 1; i <= 20; i++)
		show_shoot(L, 100 + i, 0);
	show_shoot(L, 122, 0);
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_FANOUT_NOTICES), before + 1);
	show_shoot(L, 121, 0); // a late one is told by itself
	rig_run(0);
	CHECK_EQ(rig_counter(CTR_FANOUT_NOTICES), before + 2);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 1);
	CHECK(show_is_held(0, 121));
	show_close();
}

// --- threads --------------------------------------------------------------------------------------------------------

static _Atomic bool over;

// The receivers' worker with its own thread; it looks at every packet that is there.
static void *watch(void *arg)
{
	struct worker *w = rig.dp->worker[atomic_load(&rig.dp->session[2])->home];
	const struct layer *l = arg;
	uint64_t at = 0, top, bad = 0;
	struct rtxring_entry e;
	struct layer_info info;
	struct rte_mbuf *m;

	while (!atomic_load(&over)) {
		worker_round(w, clock_now());
		layer_info(l, &info);
		if (!layer_top(l, &top))
			continue;
		for (at = RTE_MAX(at, top > 1000 ? top - 1000 : 0); at <= top; at++)
			if (layer_read(l, RTXRING_ALL, at, &e, &m) == RTXRING_HELD)
				bad += be64_get(rte_pktmbuf_mtod_offset(m, uint8_t *,
									pkt_of(m)->hdr_len + 8)) != at;
	}
	return (void *)(uintptr_t)bad;
}

static void receivers_read_while_the_publisher_writes(void)
{
	struct worker *w;
	pthread_t thread;
	void *bad;

	CHECK_OR_RETURN(show_open(2, L, 0));
	w = rig.dp->worker[atomic_load(&rig.dp->session[1])->home];
	sender.queue = w->id;
	atomic_store(&over, false);
	CHECK_EQ(pthread_create(&thread, NULL, watch, rig_source(1, 1)->video->layer[0]), 0);
	for (uint64_t i = 0; i < 6000; i++) {
		if (i % 10 != 3)
			show_shoot(L, 100 + i, i % 300 == 0 ? LAYER_KEY : 0);
		if (i % 10 == 7)
			show_shoot(L, 100 + i - 4, 0); // late
		if (i % 20 == 19)
			worker_round(w, clock_now());
		if (i % 100 == 0)
			layer_ask_key(rig_source(1, 1)->video->layer[0]);
		while (show_n_kept() > 2500) // far above any real rate: wait for a grace period
			worker_round(w, clock_now());
	}
	atomic_store(&over, true);
	pthread_join(thread, &bad);
	CHECK_EQ((uintptr_t)bad, 0);
	CHECK_EQ(rig_counter(CTR_VIDEO_KEPT), 6000);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 600);
	rig.now = clock_now();
	rig_run(MS);
	show_close();
}

static void av1_is_told_by_its_obus(void)
{
	static const uint8_t key[16] = {0x18, 0x0a}, more[16] = {0x90, 0x32}, frame[16] = {0x10, 0x32};
	struct ipc_track_add add = {.track = 2,
				    .kind = KIND_VIDEO,
				    .enabled = 1,
				    .mid = "2",
				    .clock_hz = 90000,
				    .ssrc = {H},
				    .codec = {{.pt = 45, .codec = CODEC_AV1, .fb = FB_NACK | FB_PLI}}};
	struct rig_shot shot = {.ssrc = H, .index = 10, .ts = 100, .pt = 45, .payload = key, .n_bytes = 16};
	struct rtxring_entry e;
	struct rte_mbuf *m;
	struct layer *l;

	CHECK_OR_RETURN(show_open(1, L, 0));
	add.sid = sender.sid;
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	rig_shoot(&sender, shot);
	rig_run(0);
	shot.index++;
	shot.payload = more;
	shot.flags = LAYER_MARKER;
	rig_shoot(&sender, shot);
	rig_run(0);
	shot.index++;
	shot.ts += 3000;
	shot.payload = frame;
	rig_shoot(&sender, shot);
	rig_run(0);
	l = rig_source(1, 2)->video->layer[0];
	CHECK_EQ(layer_read(l, RTXRING_ALL, 10, &e, &m), RTXRING_HELD);
	CHECK_EQ(e.flags, LAYER_KEY | LAYER_START | LAYER_SWITCH_UP);
	CHECK_EQ(pkt_of(m)->vp8.len, 0);
	layer_read(l, RTXRING_ALL, 11, &e, &m);
	CHECK_EQ(e.flags, LAYER_MARKER);
	layer_read(l, RTXRING_ALL, 12, &e, &m);
	CHECK_EQ(e.flags, LAYER_START | LAYER_MARKER);
	show_close();
}

CU_TestInfo publish_video_tests[] = {
	{"a new declaration moves the track to another SSRC", a_new_declaration_moves_the_track},
	{"D39: video that is held back is counted, not kept, and starts with a key frame",
	 held_video_is_counted_but_not_kept},
	{"D39: held from the first packet on, its key frame is asked for at the release",
	 held_from_the_first_packet_on},
	{"another SSRC takes over without a break in numbers and time", another_ssrc_takes_over},
	{"other workers get one word per burst, and one per late packet",
	 other_workers_get_one_word_per_burst},
	{"receivers read while the publisher writes", receivers_read_while_the_publisher_writes},
	{"AV1 is told by its OBUs", av1_is_told_by_its_obus},
	CU_TEST_INFO_NULL,
};
