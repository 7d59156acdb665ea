// Calls of any size in a real dataplane: workers on their threads, sessions made by commands, paths proven by STUN,
// packets of talkers decrypted on the way in. Only the port is ours: it makes what talkers send when it is due, and
// takes what receivers get, with the time that each packet was due known from its timestamp. Receivers of video answer
// with transport-wide feedback.
//
// 1. hall_open  2. hall_add people, hall_admit  3. hall_talk  4. hall_run while time passes  5. hall_close
// thread: main, but for what the port does on its worker
#pragma once

#include <time.h>

#include <rte_ring.h>

#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/model.h"
#include "dataplane/worker/worker.h"
#include "lib/base/hist.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/wire/stun.h"
#include "tests/perf/support/perf.h"

#define HALL_MAX_TALKERS 64
#define HALL_QUEUES 2
#define HALL_SSRC 0x40000000u // of talker 0, in and out
#define HALL_RTX_SSRC 0x50000000u
#define HALL_PT 111
#define HALL_TWCC 3 // extension id
#define HALL_THEFTS 64
#define HALL_LOOK_NS 30000 // longer without a look at the port: was the core taken away?

// What one source sends: n_bytes of payload each period.
struct talker {
	uint32_t sid;
	uint16_t n_bytes, burst, ts_step; // burst: packets each time; ts_step: between times
	bool is_video;
	uint16_t key_every, key_burst; // video: each so many times it is a key frame of key_burst packets
	uint64_t period, start;        // TSC
	uint64_t n;                    // times so far
	unsigned n_of_time;            // packets so far of this time
	uint64_t index;
	uint64_t spoken, stolen,
		own_wait;     // TSC of the last one; see struct hall_queue; it waited for us so long
	struct seal_key *key; // of the worker's engine below
};

enum { HALL_VOICE, HALL_SCREEN, HALL_KINDS };

// One per worker, on cache lines of its own.
struct hall_queue {
	alignas(64) struct rte_ring *in; // from main: what people send besides media
	struct seal_engine *seal;
	uint64_t n_in[HALL_KINDS], n_out[HALL_KINDS], n_control,
		n_feedback; // of what was due in the time measured
	// TSC. stolen: time in all that this thread did not have its core for; theft: the last gaps between two looks in
	// which there was such time
	uint64_t began, looked, stolen;
	struct theft {
		uint64_t from, until, stolen;
	} theft[HALL_THEFTS];
	unsigned n_thefts;
	ns_t cpu_began;
	uint64_t n_watched;              // turns of receivers of video
	struct hist latency[HALL_KINDS]; // ns from due to sent
	struct hist own;                 // the same of voice without what was stolen
};

struct watcher;

struct hall {
	struct conf conf;
	struct dp *dp;
	struct model *model;
	struct seal_engine *seal;
	struct port port, *kernel;
	unsigned n_workers, n_people, n_talkers, n_keyed;
	bool *is_keyed;          // by person
	struct watcher *watcher; // by person
	uint32_t max_people;
	uint64_t from, until; // TSC: what is due between them is measured
	uint32_t seq;
	struct talker talker[HALL_MAX_TALKERS];
	_Atomic bool talks;
	struct hall_queue queue[HALL_QUEUES];
};

static struct hall hall;

// --- the port -------------------------------------------------------------------------------------------

static inline struct rte_mbuf *hall_mbuf(uint32_t person, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(hall.dp->rx_pool);

	if (m == NULL)
		die(EXIT_SOFTWARE, "no buffer to send from");
	memset(pkt_of(m), 0, sizeof(struct pkt));
	pkt_of(m)->key = (struct flow_key){
		.remote = {10, (uint8_t)(person >> 16), (uint8_t)(person >> 8), (uint8_t)person},
		.local = {10, 255, 0, 1},
		.remote_port = 40000,
		.local_port = 8443,
		.family = 4};
	m->l2_len = FRAME_ETH_LEN;
	m->l3_len = 20;
	memset(rte_pktmbuf_mtod(m, uint8_t *) - 42, 0, 42);
	*(rte_pktmbuf_mtod(m, uint8_t *) - 42 + 12) = 0x08; // EtherType of IPv4
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), data, len);
	return m;
}

// --- receivers of video --------------------------------------------------------------------------------
// They answer with transport-wide feedback ten times a second, each at its own time, made and read on the worker that they
// are at home on: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1; everything arrives, so one run-length chunk.

#define WATCH_NS (100 * NS_PER_MS)
#define WATCH_MAX 192     // packets between two answers; more are not answered
#define WATCH_TICK 250000 // ns
#define WATCH_TICKS_REF 256

struct watcher {
	struct seal_key *key;    // owned; NULL: watches nothing
	_Atomic bool is_leaving; // set by main; no answers from here on
	uint16_t base;           // number of the first packet since the last answer
	uint8_t n, queue, fb_count;
	uint32_t index;           // SRTCP
	uint64_t first, last;     // ticks since `from` of the hall's first second
	uint8_t delta[WATCH_MAX]; // ticks after the one before
};

static void hall_secret(uint32_t person, uint8_t key[32], uint8_t salt[16]);

// thread: main, before the person has a video leg
static inline void hall_watch_add(uint32_t person)
{
	struct watcher *to = &hall.watcher[person];
	uint8_t key[32], salt[16];

	if (to->key)
		return;
	hall_secret(person, key, salt);
	to->key = perf_alloc(seal_key_size(hall.seal));
	if (seal_key_init(hall.seal, to->key, SEAL_AEAD_AES_128_GCM, key, salt) < 0)
		die(EXIT_SOFTWARE, "key");
}

static inline void hall_watch_free(void)
{
	for (uint32_t i = 0; i < hall.max_people; i++)
		free(hall.watcher[i].key);
	free(hall.watcher);
}

static inline uint64_t watch_tick(uint64_t now)
{
	return (uint64_t)((double)now * 1e9 / (double)rte_get_tsc_hz() / WATCH_TICK);
}

// A packet arrives at who has this address.
static inline void hall_watched(unsigned queue, const uint8_t *address, const uint8_t *rtp, uint64_t now)
{
	uint32_t person = (uint32_t)address[1] << 16 | (uint32_t)address[2] << 8 | address[3];
	struct watcher *to = &hall.watcher[person];
	uint64_t tick, delta;

	if (rtp[0] >> 4 != 9 || be32_get(rtp + 12) != 0xbede0001 || rtp[16] != (HALL_TWCC << 4 | 1) ||
	    to->n == WATCH_MAX)
		return;
	tick = watch_tick(now);
	to->queue = (uint8_t)queue;
	if (to->n == 0) {
		to->base = be16_get(rtp + 17);
		to->first = to->last = tick;
	}
	delta = to->n == 0 ? tick % WATCH_TICKS_REF : RTE_MIN(tick - to->last, UINT64_C(255));
	to->delta[to->n++] = (uint8_t)delta;
	to->last = tick;
}

static inline struct rte_mbuf *watch_answer(struct hall_queue *q, uint32_t person)
{
	struct watcher *to = &hall.watcher[person];
	uint8_t msg[20 + 2 + WATCH_MAX + 3 + SEAL_MAX_RTCP_GROWTH] = {0x8f, 205};
	size_t len = (22u + to->n + 3) / 4 * 4;
	int sealed;

	be16_put(msg + 2, (uint16_t)(len / 4 - 1));
	be32_put(msg + 4, 0x30000000 + person);
	be32_put(msg + 8, HALL_SSRC);
	be16_put(msg + 12, to->base);
	be16_put(msg + 14, to->n);
	be32_put(msg + 16, (uint32_t)(to->first / WATCH_TICKS_REF) << 8 | to->fb_count++);
	be16_put(msg + 20, (uint16_t)(0x2000 | to->n)); // so many, small deltas
	memcpy(msg + 22, to->delta, to->n);
	to->n = 0;
	sealed = seal_rtcp_protect(q->seal, to->key, msg, len, sizeof(msg), ++to->index);
	if (sealed < 0)
		die(EXIT_SOFTWARE, "an answer was not sealed");
	q->n_feedback++;
	return hall_mbuf(person, msg, (size_t)sealed);
}

// Answers that are due, at most n.
static inline unsigned hall_watch(unsigned queue, uint64_t now, struct rte_mbuf **pkts, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	double seconds = (double)(now - q->began) / (double)rte_get_tsc_hz();
	uint64_t turns = (uint64_t)(seconds * 1e9 / WATCH_NS * hall.max_people);
	unsigned got = 0;

	for (; q->n_watched < turns && got < n; q->n_watched++) {
		uint32_t person = (uint32_t)(q->n_watched % hall.max_people);
		struct watcher *to = &hall.watcher[person];
		if (to->n > 0 && to->queue == queue &&
		    !atomic_load_explicit(&to->is_leaving, memory_order_relaxed))
			pkts[got++] = watch_answer(q, person);
	}
	return got;
}

// VP8 without temporal layers: descriptor with a 15-bit picture id, then the frame tag.
static inline void hall_vp8(uint8_t *payload, const struct talker *t, bool is_key)
{
	payload[0] = t->n_of_time == 0 ? 0x90 : 0x80;
	payload[1] = 0x80;
	be16_put(payload + 2, (uint16_t)(0x8000 | t->n));
	payload[4] = is_key ? 0x10 : 0x11;
}

static inline bool hall_is_key(const struct talker *t)
{
	return t->is_video && t->n % t->key_every == 0;
}

static inline uint64_t hall_due_of(const struct talker *t, uint64_t n)
{
	return t->start + n * t->period;
}

static inline bool hall_counts(uint64_t due)
{
	return due >= hall.from && due < hall.until;
}

// The next packet of a talker.
static inline struct rte_mbuf *hall_speak(struct hall_queue *q, unsigned i)
{
	struct talker *t = &hall.talker[i];
	unsigned burst = hall_is_key(t) ? t->key_burst : t->burst;
	uint8_t pkt[1500], payload[1400] = {}, level = 20;
	struct rtp_ext ext = {.id = 1, .data = &level, .len = 1};
	struct seal_rtp job = {.key = t->key,
			       .hdr = pkt,
			       .src = payload,
			       .len = t->n_bytes,
			       .ssrc = HALL_SSRC + i,
			       .index = t->index++};

	if (t->is_video)
		hall_vp8(payload, t, hall_is_key(t));
	rtp_write(pkt, true, t->n_of_time + 1 == burst, HALL_PT, (uint16_t)job.index,
		  (uint32_t)(t->n * t->ts_step), job.ssrc);
	job.hdr_len = (uint16_t)(RTP_HDR_LEN + rtp_ext_write(pkt + RTP_HDR_LEN, 100, &ext, 1));
	job.dst = pkt + job.hdr_len;
	if (seal_rtp_protect(q->seal, &job, 1) != 1)
		die(EXIT_SOFTWARE, "a packet was not sealed");
	q->n_in[t->is_video] += hall_counts(hall_due_of(t, t->n));
	if (++t->n_of_time == burst) {
		t->n_of_time = 0;
		t->n++;
	}
	return hall_mbuf(t->sid & 0xffffff, pkt, job.hdr_len + t->n_bytes + 16u);
}

// Others run on this core too. How long they did is what the thread's own clock lacks; after short gaps it is not asked.
static inline void hall_look(struct hall_queue *q, uint64_t now)
{
	double hz = (double)rte_get_tsc_hz();
	uint64_t stolen = q->stolen, cpu;
	struct timespec t;

	if (q->began == 0 || (double)(now - q->looked) > hz * HALL_LOOK_NS / 1e9) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
		if (q->began == 0) {
			q->began = q->looked = now;
			q->cpu_began = t.tv_sec * NS_PER_S + t.tv_nsec;
		}
		cpu = (uint64_t)((double)(t.tv_sec * NS_PER_S + t.tv_nsec - q->cpu_began) * hz / 1e9);
		q->stolen = RTE_MAX(q->stolen, now - q->began > cpu ? now - q->began - cpu : 0);
		stolen = RTE_MIN(q->stolen - stolen, now - q->looked);
		if ((double)stolen > hz * HALL_LOOK_NS / 1e9) {
			q->theft[q->n_thefts++ % HALL_THEFTS] = (struct theft){q->looked, now, stolen};
		}
	}
	q->looked = now;
}

// What was stolen since then. When in a gap that was is not known: as early as can be.
static inline uint64_t hall_stolen_since(const struct hall_queue *q, uint64_t then)
{
	uint64_t sum = 0;

	for (unsigned k = 1; k <= RTE_MIN(q->n_thefts, (unsigned)HALL_THEFTS); k++) {
		const struct theft *t = &q->theft[(q->n_thefts - k) % HALL_THEFTS];
		uint64_t own = t->until - t->from - t->stolen;
		if (t->until <= then)
			break;
		if (t->from >= then)
			sum += t->stolen;
		else
			sum += t->until - then - RTE_MIN(t->until - then, own);
	}
	return sum;
}

static inline unsigned hall_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	unsigned got = rte_ring_sc_dequeue_burst(q->in, (void **)pkts, n / 2, NULL);
	uint64_t now = rte_rdtsc();

	if (!atomic_load_explicit(&hall.talks, memory_order_acquire)) // pairs with hall_run
		return got;
	hall_look(q, now);
	got += hall_watch(queue, now, pkts + got, (n - got) / 2);
	for (unsigned i = queue; i < hall.n_talkers; i += hall.n_workers) {
		struct talker *t = &hall.talker[i];
		uint64_t due = hall_due_of(t, t->n);
		if (due > now || due >= hall.until)
			continue;
		for (uint64_t time = t->n; t->n == time && got < n;)
			pkts[got++] = hall_speak(q, i);
	}
	return got;
}

// Of which talker this packet is; NULL: of none.
static inline struct talker *hall_talker_of(const uint8_t *rtp)
{
	uint32_t i = be32_get(rtp + 8) - HALL_SSRC;

	if (rtp[0] >> 6 != 2 || (rtp[1] >= 192 && rtp[1] <= 223) || i >= hall.n_talkers)
		return NULL;
	return &hall.talker[i];
}

static inline void hall_heard(struct hall_queue *q, struct talker *t, const uint8_t *rtp, uint64_t now)
{
	uint64_t due = hall_due_of(t, be32_get(rtp + 4) / t->ts_step);
	double ns = 1e9 / (double)rte_get_tsc_hz();

	if (!hall_counts(due))
		return;
	q->n_out[t->is_video]++;
	hist_add(&q->latency[t->is_video], (uint64_t)((double)(now - due) * ns));
	if (!t->is_video && hall.n_workers == 1) {
		hist_add(&q->own, (uint64_t)((double)(now - due - hall_stolen_since(q, due)) * ns));
	}
}

static inline void hall_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts,
			   const struct path *const *paths, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	uint64_t now = rte_rdtsc();

	hall_look(q, now);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *rtp = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		struct talker *t = hall_talker_of(rtp);
		frame_write(pkts[i], paths[i], RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
		if (t)
			hall_heard(q, t, rtp, now);
		else
			q->n_control++;
		hall_watched(queue, paths[i]->key.remote, rtp, now);
	}
	mbufs_done(pkts, n);
}

static inline void hall_path_fill(struct port *p, struct rte_mbuf *rx, struct path *out)
{
	static const struct frame_ours ours = {.mac = {2, 0, 0, 0, 0, 1}};

	frame_path(&ours, rx, out);
}

static inline int hall_wait_fd(struct port *p, unsigned queue)
{
	return -1;
}

static const struct port_ops hall_ops = {.name = "hall",
					 .rx = hall_rx,
					 .tx = hall_tx,
					 .path_fill = hall_path_fill,
					 .wait_fd = hall_wait_fd,
					 .close = card_close};

// --- main -----------------------------------------------------------------------------------------------

static inline void hall_command(const void *msg, size_t size, enum ipc_type type)
{
	union ipc_msg cmd = {};
	int err;

	memcpy(&cmd, msg, size);
	cmd.hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)size, .seq = ++hall.seq};
	err = model_apply(hall.model, &cmd);
	if (err < 0)
		die(EXIT_SOFTWARE, "command %d: %s", type, strerror(-err));
}
#define hall_cmd(msg, type) hall_command((msg), sizeof(*(msg)), (type))

static inline uint32_t hall_sid(uint32_t person)
{
	return 0x01000000 + person;
}

static inline void hall_secret(uint32_t person, uint8_t key[32], uint8_t salt[16])
{
	memset(key, 0x11, 32);
	memset(salt, 0x22, 16);
	memcpy(key, &person, sizeof(person));
}

// Keys after the path, as after a handshake: that proves the path.
static inline void hall_keys(uint32_t person)
{
	struct ipc_session_keys keys = {
		.sid = hall_sid(person), .profile = SEAL_AEAD_AES_128_GCM, .rtcp_ssrc = 1};

	hall_secret(person, keys.rx_key, keys.rx_salt);
	hall_secret(person, keys.tx_key, keys.tx_salt);
	hall_cmd(&keys, CMD_SESSION_KEYS);
	hall.is_keyed[person] = true;
	hall.n_keyed++;
}

// What main does between commands.
static inline void hall_tend(void)
{
	union ipc_msg event;
	struct note note;

	for (unsigned i = 0; i < hall.n_workers; i++)
		while (note_take(hall.dp->worker[i], &note)) {
			if (note.type == NOTE_PATH && !hall.is_keyed[note.sid & 0xffffff] &&
			    !hall.watcher[note.sid & 0xffffff].is_leaving)
				hall_keys(note.sid & 0xffffff);
			(void)model_note(hall.model, &note, &event);
		}
	model_flush(hall.model);
}

static inline void hall_names(uint32_t person, char ufrag[IPC_UFRAG_LEN], char pwd[IPC_PWD_LEN])
{
	char text[64];

	memset(ufrag, 'u', IPC_UFRAG_LEN);
	memset(pwd, 'p', IPC_PWD_LEN);
	snprintf(text, sizeof(text), "%06x", person);
	memcpy(ufrag, text, 6);
	memcpy(pwd, text, 6);
}

static inline void hall_hmac(void *e, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
			     uint8_t out[20])
{
	seal_hmac_sha1(e, key, key_len, msg, len, out);
}

// A connectivity check that nominates.
static inline void hall_check(uint32_t person)
{
	char ufrag[IPC_UFRAG_LEN], pwd[IPC_PWD_LEN];
	uint8_t txid[STUN_TXID_LEN], msg[STUN_MAX_PROBE];
	struct stun_mac mac = {hall_hmac, hall.seal};
	struct stun_key key = {&mac, (const uint8_t *)pwd, IPC_PWD_LEN};
	struct stun_request req = {.txid = txid,
				   .to_ufrag = {ufrag, IPC_UFRAG_LEN},
				   .from_ufrag = STR("hall"),
				   .priority = 1,
				   .use_candidate = true};
	struct rte_mbuf *m;

	hall_names(person, ufrag, pwd);
	rand_bytes(txid, sizeof(txid));
	m = hall_mbuf(person, msg, (size_t)stun_write_request(msg, sizeof(msg), &req, &key));
	while (rte_ring_sp_enqueue(hall.queue[person % hall.n_workers].in, m) != 0)
		hall_tend();
}

static inline void hall_add(uint32_t person, uint32_t call)
{
	struct ipc_session_add add = {.sid = hall_sid(person), .call = call};
	struct ipc_session_extmap ext = {.sid = hall_sid(person),
					 .id = {[EXT_LEVEL] = 1, [EXT_TWCC] = HALL_TWCC}};

	hall_names(person, add.ufrag, add.pwd);
	snprintf(add.name, sizeof(add.name), "person%u", person);
	hall_cmd(&add, CMD_SESSION_ADD);
	hall_cmd(&ext, CMD_SESSION_EXTMAP);
	hall_check(person);
	hall.n_people++;
}

static inline void hall_leave(uint32_t person)
{
	struct ipc_session_ref ref = {.sid = hall_sid(person)};

	hall_cmd(&ref, CMD_SESSION_DEL);
}

// Until all have a path and keys.
static inline void hall_admit(void)
{
	ns_t until = clock_now() + 30 * NS_PER_S;

	while (hall.n_keyed < hall.n_people) {
		hall_tend();
		if (clock_now() > until)
			die(EXIT_SOFTWARE, "%u of %u have keys", hall.n_keyed, hall.n_people);
	}
}

// person's track sends from the start of hall_run.
static inline void hall_talk(uint32_t person, uint16_t track, const struct talker *how)
{
	unsigned i = hall.n_talkers++;
	struct talker *t = &hall.talker[i];
	struct ipc_track_add add = {.sid = hall_sid(person),
				    .track = track,
				    .kind = how->is_video ? KIND_VIDEO : KIND_AUDIO,
				    .enabled = 1,
				    .clock_hz = how->is_video ? 90000 : 48000,
				    .ssrc = {HALL_SSRC + i},
				    .codec[0] = {.pt = HALL_PT,
						 .codec = how->is_video ? CODEC_VP8 : CODEC_OPUS,
						 .fb = how->is_video ? FB_NACK | FB_PLI | FB_TWCC : 0}};
	uint8_t key[32], salt[16];

	if (i >= HALL_MAX_TALKERS)
		die(EXIT_SOFTWARE, "too many talkers");
	snprintf(add.mid, sizeof(add.mid), "%u", track);
	hall_cmd(&add, CMD_TRACK_ADD);
	hall_secret(person, key, salt);
	*t = *how;
	t->sid = hall_sid(person);
	t->index = 1000;
	t->key = perf_alloc(seal_key_size(hall.seal));
	if (seal_key_init(hall.seal, t->key, SEAL_AEAD_AES_128_GCM, key, salt) < 0)
		die(EXIT_SOFTWARE, "key");
}

// person hears talker i, who is `from` with this track.
static inline void hall_hear(uint32_t person, unsigned i, uint32_t from, uint16_t track)
{
	bool is_video = hall.talker[i].is_video;
	struct ipc_leg_add add = {.sid = hall_sid(person),
				  .leg = (uint16_t)i,
				  .kind = is_video ? KIND_VIDEO : KIND_AUDIO,
				  .pt = HALL_PT,
				  .src_sid = hall_sid(from),
				  .src_track = track,
				  .codec = is_video ? CODEC_VP8 : CODEC_OPUS,
				  .ssrc = HALL_SSRC + i,
				  .clock_hz = is_video ? 90000 : 48000};

	if (is_video) {
		add.rtx_pt = HALL_PT + 1;
		add.rtx_ssrc = HALL_RTX_SSRC + i;
		hall_watch_add(person);
	}
	hall_cmd(&add, CMD_LEG_ADD);
}

// Worker 0 on the last core, worker 1 on the one before; main on the first.
static inline void hall_pin(struct conf *conf)
{
	int last = perf_core();
	char cores[32];

	if (last == 0)
		return;
	snprintf(cores, sizeof(cores), "%d,%d", last, last - 1);
	free(conf->dataplane.worker_cores);
	conf->dataplane.worker_cores = strdup(cores);
	conf->dataplane.main_core = 0;
}

static inline void hall_open(unsigned n_workers, unsigned max_people)
{
	struct conf_error conf_error;
	struct eal_plan plan = {.n_workers = HALL_QUEUES};
	static bool eal;
	char error[512];

	memset(&hall, 0, sizeof(hall));
	if (conf_load(&hall.conf, NULL, &conf_error) < 0)
		die(EXIT_CONFIG, "%s", conf_error.text);
	hall.conf.rtc.port_udp = hall.conf.rtc.port_tcp = 0;
	hall.conf.dataplane.max_sessions = max_people;
	hall_pin(&hall.conf);
	hall.conf.dataplane.memory_mib = 512;
	if (!eal && eal_start(&hall.conf, &plan, error, sizeof(error)) < 0)
		die(EXIT_UNAVAILABLE, "%s", error);
	eal = true;
	plan.n_workers = hall.n_workers = n_workers;
	hall.dp = dp_open(&hall.conf, &plan, error, sizeof(error));
	if (hall.dp == NULL)
		die(EXIT_UNAVAILABLE, "%s", error);
	hall.kernel = hall.dp->port[0];
	hall.port = (struct port){.ops = &hall_ops, .n_queues = (uint16_t)n_workers};
	hall.dp->port[0] = &hall.port;
	for (unsigned i = 0; i < n_workers; i++) {
		char name[16];
		snprintf(name, sizeof(name), "hall%u", i);
		hall.queue[i].in = rte_ring_create(name, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		hall.queue[i].seal = seal_engine_new(NULL);
	}
	hall.is_keyed = perf_alloc(max_people);
	hall.max_people = max_people;
	hall.watcher = perf_alloc(max_people * sizeof(*hall.watcher));
	hall.seal = seal_engine_new(NULL);
	hall.model = model_new(hall.dp);
	if (hall.model == NULL || hall.seal == NULL || dp_launch(hall.dp) < 0)
		die(EXIT_SOFTWARE, "the dataplane did not start");
}

static inline void hall_close(void)
{
	dp_stop(hall.dp);
	for (unsigned i = 0; i < hall.n_workers; i++) {
		rte_ring_free(hall.queue[i].in);
		seal_engine_free(hall.queue[i].seal);
	}
	for (unsigned i = 0; i < hall.n_talkers; i++)
		free(hall.talker[i].key);
	free(hall.is_keyed);
	hall_watch_free();
	model_free(hall.model);
	seal_engine_free(hall.seal);
	hall.dp->port[0] = hall.kernel;
	dp_close(hall.dp);
	conf_fini(&hall.conf);
}

// Talk for so long, and measure after the first part of it, the warm-up; tend is called about every millisecond with the
// time since the measuring began, negative before.
static inline void hall_run(ns_t warm, ns_t duration, void (*tend)(ns_t since))
{
	double hz = (double)rte_get_tsc_hz();
	uint64_t now = rte_rdtsc() + (uint64_t)(hz / 100);
	ns_t start = clock_now() + warm, next = clock_now();

	hall.from = now + (uint64_t)(hz * (double)warm / 1e9);
	hall.until = hall.from + (uint64_t)(hz * (double)duration / 1e9);
	for (unsigned i = 0; i < hall.n_talkers; i++) // spread over their period
		hall.talker[i].start = now + hall.talker[i].period * i / hall.n_talkers;
	// release: starts are written before they are used; pairs with hall_rx
	atomic_store_explicit(&hall.talks, true, memory_order_release);
	while (clock_now() - start < duration) {
		next += NS_PER_MS;
		hall_tend();
		tend(clock_now() - start);
		struct timespec to = {.tv_sec = next / NS_PER_S, .tv_nsec = next % NS_PER_S};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &to, NULL);
	}
	for (ns_t until = clock_now() + NS_PER_S / 2; clock_now() < until;)
		hall_tend();
	atomic_store_explicit(&hall.talks, false, memory_order_release);
}
