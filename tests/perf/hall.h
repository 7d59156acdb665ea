// Calls of any size in a real dataplane: workers on their threads, sessions made by commands, paths proven by STUN,
// packets of talkers decrypted on the way in. Only the port is ours: it makes what talkers send when it is due, and
// takes what receivers get, with the time that each packet was due known from its timestamp.
//
// 1. hall_open  2. hall_add people, hall_admit  3. hall_talk  4. hall_run while time passes  5. hall_close
// thread: main, but for what the port does on its worker
#pragma once

#include <time.h>

#include <rte_ring.h>

#include "dataplane/dp.h"
#include "dataplane/eal.h"
#include "dataplane/mailbox.h"
#include "dataplane/model.h"
#include "dataplane/worker.h"
#include "lib/base/hist.h"
#include "lib/base/rand.h"
#include "lib/rtc/rtp.h"
#include "lib/rtc/stun.h"
#include "tests/perf/perf.h"

#define HALL_MAX_TALKERS 64
#define HALL_QUEUES 2
#define HALL_SSRC 0x40000000u // of talker 0, in and out
#define HALL_PT 111

// What one source sends: n_bytes of payload each period.
struct talker {
	uint32_t sid;
	uint16_t port, n_bytes, burst, ts_step; // burst: packets each time; ts_step: between times
	uint64_t period, start;                 // TSC
	uint64_t n;                             // times so far
	uint64_t index;
	struct seal_key *key; // of the worker's engine below
};

// One per worker, on cache lines of its own.
struct hall_queue {
	alignas(64) struct rte_ring *in; // from main: what people send besides media
	struct seal_engine *seal;
	uint64_t n_in, n_out, n_control, n_looks;
	ns_t cpu_from, cpu, wall_from, wall; // of this thread, while it talks
	struct hist latency[2];              // ns from due to sent: voice, screens
};

struct hall {
	struct conf conf;
	struct dp *dp;
	struct model *model;
	struct seal_engine *seal;
	struct port port, *kernel;
	unsigned n_workers, n_people, n_talkers, n_keyed;
	bool *is_keyed; // by person
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

static inline struct rte_mbuf *hall_speak(struct hall_queue *q, unsigned i, unsigned of_burst)
{
	static const uint8_t payload[1400];
	struct talker *t = &hall.talker[i];
	uint8_t pkt[1500], level = 20;
	struct rtp_ext ext = {.id = 1, .data = &level, .len = 1};
	struct seal_rtp job = {.key = t->key,
			       .hdr = pkt,
			       .src = payload,
			       .len = t->n_bytes,
			       .ssrc = HALL_SSRC + i,
			       .index = t->index++};

	rtp_write(pkt, true, of_burst + 1 == t->burst, HALL_PT, (uint16_t)job.index,
		  (uint32_t)(t->n * t->ts_step), job.ssrc);
	job.hdr_len = (uint16_t)(RTP_HDR_LEN + rtp_ext_write(pkt + RTP_HDR_LEN, 100, &ext, 1));
	job.dst = pkt + job.hdr_len;
	if (seal_rtp_protect(q->seal, &job, 1) != 1)
		die(EXIT_SOFTWARE, "a packet was not sealed");
	q->n_in++;
	return hall_mbuf(t->sid & 0xffffff, pkt, job.hdr_len + t->n_bytes + 16u);
}

// How much of its core the worker had: what is missing was taken by others, and so was the time of its packets.
static inline void hall_note_cpu(struct hall_queue *q)
{
	struct timespec t;

	if (q->n_looks++ % 4096 != 0)
		return;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	q->cpu = t.tv_sec * NS_PER_S + t.tv_nsec;
	q->wall = clock_now();
	if (q->n_looks == 1) {
		q->cpu_from = q->cpu;
		q->wall_from = q->wall;
	}
}

static inline unsigned hall_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	unsigned got = rte_ring_sc_dequeue_burst(q->in, (void **)pkts, n / 2, NULL);
	uint64_t now = rte_rdtsc();

	if (!atomic_load_explicit(&hall.talks, memory_order_acquire)) // pairs with hall_run
		return got;
	hall_note_cpu(q);
	for (unsigned i = queue; i < hall.n_talkers; i += hall.n_workers) {
		struct talker *t = &hall.talker[i];
		if (t->start + t->n * t->period > now || got + t->burst > n)
			continue;
		for (unsigned k = 0; k < t->burst; k++)
			pkts[got++] = hall_speak(q, i, k);
		t->n++;
	}
	return got;
}

// When what is in this RTP packet was due; 0: not of a talker.
static inline uint64_t hall_due(const uint8_t *rtp, bool *is_screen)
{
	uint32_t i = be32_get(rtp + 8) - HALL_SSRC;

	if (rtp[0] >> 6 != 2 || (rtp[1] >= 192 && rtp[1] <= 223) || i >= hall.n_talkers)
		return 0;
	*is_screen = hall.talker[i].n_bytes > 500;
	return hall.talker[i].start + be32_get(rtp + 4) / hall.talker[i].ts_step * hall.talker[i].period;
}

static inline void hall_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts,
			   const struct path *const *paths, unsigned n)
{
	struct hall_queue *q = &hall.queue[queue];
	uint64_t now = rte_rdtsc();
	double ns = 1e9 / (double)rte_get_tsc_hz();

	for (unsigned i = 0; i < n; i++) {
		bool is_screen;
		uint64_t due = hall_due(rte_pktmbuf_mtod(pkts[i], const uint8_t *), &is_screen);
		frame_write(pkts[i], paths[i], RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
		if (due == 0) {
			q->n_control++;
			continue;
		}
		q->n_out++;
		hist_add(&q->latency[is_screen], (uint64_t)((double)(now - due) * ns));
	}
	rte_pktmbuf_free_bulk(pkts, n);
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
			if (note.type == NOTE_PATH && !hall.is_keyed[note.sid & 0xffffff])
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
	struct ipc_session_extmap ext = {.sid = hall_sid(person), .id = {[EXT_LEVEL] = 1}};

	hall_names(person, add.ufrag, add.pwd);
	snprintf(add.name, sizeof(add.name), "person%u", person);
	hall_cmd(&add, CMD_SESSION_ADD);
	hall_cmd(&ext, CMD_SESSION_EXTMAP);
	hall_check(person);
	hall.n_people++;
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
				    .kind = KIND_AUDIO,
				    .enabled = 1,
				    .clock_hz = 48000,
				    .ssrc = {HALL_SSRC + i},
				    .codec[0] = {.pt = HALL_PT, .codec = CODEC_OPUS}};
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
	struct ipc_leg_add add = {.sid = hall_sid(person),
				  .leg = (uint16_t)i,
				  .kind = KIND_AUDIO,
				  .pt = HALL_PT,
				  .src_sid = hall_sid(from),
				  .src_track = track,
				  .codec = CODEC_OPUS,
				  .ssrc = HALL_SSRC + i,
				  .clock_hz = 48000};

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
	hall.seal = seal_engine_new(NULL);
	hall.model = model_new(hall.dp);
	if (hall.model == NULL || hall.seal == NULL || dp_launch(hall.dp) < 0)
		die(EXIT_SOFTWARE, "the dataplane did not start");
}

static inline void hall_close(void)
{
	struct note note;

	dp_stop(hall.dp);
	for (unsigned i = 0; i < hall.n_workers; i++) {
		while (note_take(hall.dp->worker[i], &note))
			if (note.type == NOTE_PUNT)
				rte_pktmbuf_free(note.punt);
		rte_ring_free(hall.queue[i].in);
		seal_engine_free(hall.queue[i].seal);
	}
	for (unsigned i = 0; i < hall.n_talkers; i++)
		free(hall.talker[i].key);
	free(hall.is_keyed);
	model_free(hall.model);
	seal_engine_free(hall.seal);
	hall.dp->port[0] = hall.kernel;
	dp_close(hall.dp);
	conf_fini(&hall.conf);
}

// Talk for so long; tend is called about every millisecond with the time since the start.
static inline void hall_run(ns_t duration, void (*tend)(ns_t since))
{
	uint64_t hz = rte_get_tsc_hz(), now = rte_rdtsc() + hz / 100;
	ns_t start = clock_now(), next = start;

	for (unsigned i = 0; i < hall.n_talkers; i++) // spread over their period
		hall.talker[i].start = now + hall.talker[i].period * i / hall.n_talkers;
	// release: starts are written before they are used; pairs with hall_rx
	atomic_store_explicit(&hall.talks, true, memory_order_release);
	while (clock_now() - start < duration) {
		next += NS_PER_MS;
		hall_tend();
		if (tend)
			tend(clock_now() - start);
		struct timespec to = {.tv_sec = next / NS_PER_S, .tv_nsec = next % NS_PER_S};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &to, NULL);
	}
	atomic_store_explicit(&hall.talks, false, memory_order_release);
	for (ns_t until = clock_now() + NS_PER_S / 4; clock_now() < until;)
		hall_tend();
}
