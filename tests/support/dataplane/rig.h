// A dataplane in memory for unit tests: real EAL, real workers, but rounds are driven by the test with its
// own clock, and the only port is a pair of arrays. One rig at a time.
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/media/leg.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/model.h"
#include "dataplane/gate/punt.h"
#include "dataplane/core/session.h"
#include "dataplane/media/source.h"
#include "dataplane/worker/worker.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/wire/stun.h"
#include "tests/unit/check.h"

#define RIG_SENT 4096
#define RIG_PT 111

struct rig_out {
	struct flow_key to;
	uint16_t len;
	uint8_t data[1500];
};

static inline bool rig_is_rtp(const struct rig_out *o, uint32_t ssrc)
{
	return o->len >= 12 && o->data[0] >> 6 == 2 && (o->data[1] < 192 || o->data[1] > 223) &&
	       be32_get(o->data + 8) == ssrc;
}

struct rig {
	struct conf conf;
	struct dp *dp;
	struct model *model;
	struct seal_engine *seal;
	ns_t now;
	struct port port;
	struct rte_mbuf *in[PORT_MAX_WORKERS][BURST];
	unsigned n_in[PORT_MAX_WORKERS];
	struct rig_out *sent; // RIG_SENT entries
	unsigned n_sent;
	uint32_t seq;
	uint8_t flags; // of sessions that are added: enum ipc_session_flags
};

__attribute__((weak)) int rig_eal_workers; // one EAL for all suites of the runner

static struct rig rig;

static inline unsigned rig_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	unsigned got = rig.n_in[queue];

	memcpy(pkts, rig.in[queue], got * sizeof(*pkts));
	rig.n_in[queue] = 0;
	return got;
}

static inline void rig_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts,
			  const struct path *const *paths, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		// Workers may run in threads of a test.
		unsigned at = __atomic_load_n(&rig.n_sent, __ATOMIC_RELAXED);

		while (at < RIG_SENT && !__atomic_compare_exchange_n(&rig.n_sent, &at, at + 1, true,
								     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			;
		if (at < RIG_SENT) {
			struct rig_out *o = &rig.sent[at];
			o->to = paths[i]->key;
			o->len = pkts[i]->data_len;
			memcpy(o->data, rte_pktmbuf_mtod(pkts[i], void *), o->len);
		}
		mbuf_done(pkts[i]);
	}
}

static inline void rig_path_fill(struct port *p, struct rte_mbuf *rx, struct path *out)
{
	*out = (struct path){.key = pkt_of(rx)->key};
}

static inline void rig_close_port(struct port *p)
{
}

static const struct port_ops rig_ops = {
	.name = "rig", .rx = rig_rx, .tx = rig_tx, .path_fill = rig_path_fill, .close = rig_close_port};

// A dataplane of n workers (1 or 2), registered and ready for rig_run.
static inline bool rig_open(unsigned n)
{
	struct conf_error conf_error;
	struct eal_plan plan = {.n_workers = 2, .sleeps = 1};
	char error[512] = "";

	memset(&rig, 0, sizeof(rig));
	if (conf_load(&rig.conf, NULL, &conf_error) < 0)
		return false;
	rig.conf.rtc.port_udp = 0;
	rig.conf.rtc.port_tcp = 0;
	rig.conf.rtc.enable_ipv6 = false;
	rig.conf.dataplane.max_sessions = 64;
	rig.conf.dataplane.memory_mib = 128;
	rig.conf.dataplane.video_memory_mib = 8;
	if (!rig_eal_workers && eal_start(&rig.conf, &plan, error, sizeof(error)) < 0) {
		printf("# %s\n", error);
		return false;
	}
	rig_eal_workers = 2;
	plan.n_workers = n;
	rig.dp = dp_open(&rig.conf, &plan, error, sizeof(error));
	if (rig.dp == NULL) {
		printf("# %s\n", error);
		return false;
	}
	rig.dp->port[0]->ops->close(rig.dp->port[0]);
	rig.dp->port[1]->ops->close(rig.dp->port[1]); // ICE-TCP: port_tcp_test.c opens its own
	rig.dp->tcp = NULL;
	rig.dp->n_ports = 1;
	rig.port = (struct port){.ops = &rig_ops, .n_queues = (uint16_t)n};
	rig.dp->port[0] = &rig.port;
	rig.model = model_new(rig.dp);
	rig.seal = seal_engine_new(NULL);
	rig.sent = calloc(RIG_SENT, sizeof(*rig.sent));
	rig.now = rig.dp->worker[0]->now;
	for (unsigned i = 0; i < n; i++) {
		rte_rcu_qsbr_thread_register(rig.dp->qsbr, i);
		rte_rcu_qsbr_thread_online(rig.dp->qsbr, i);
	}
	return rig.model && rig.seal && rig.sent;
}

static inline void rig_close(void)
{
	for (unsigned i = 0; i < rig.dp->n_workers; i++) {
		rte_rcu_qsbr_thread_offline(rig.dp->qsbr, i);
		rte_rcu_qsbr_thread_unregister(rig.dp->qsbr, i);
	}
	atomic_store(&rig.dp->stop, true);
	model_free(rig.model);
	seal_engine_free(rig.seal);
	dp_close(rig.dp);
	conf_fini(&rig.conf);
	free(rig.sent);
}

// One round of every worker after dt; twice, so that what one hands to the other arrives.
static inline void rig_run(ns_t dt)
{
	rig.now += dt;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < rig.dp->n_workers; i++)
			worker_round(rig.dp->worker[i], rig.now);
	model_flush(rig.model);
}

static inline uint64_t rig_counter(enum counter id)
{
	return statseg_sum(rig.dp->statseg, id);
}

// Command to the model; its err.
static inline int rig_command(void *msg, size_t size, enum ipc_type type)
{
	union ipc_msg cmd = {};

	memcpy(&cmd, msg, size);
	cmd.hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)size, .seq = ++rig.seq};
	int err = model_apply(rig.model, &cmd);
	model_flush(rig.model);
	return err;
}
#define rig_cmd(msg, type) rig_command((msg), sizeof(*(msg)), (type))

// --- clients ----------------------------------------------------------------------------------------------

struct rig_peer {
	uint32_t sid;
	uint16_t port;  // its address is 127.0.0.1:port
	unsigned queue; // its packets arrive at this worker
	char ufrag[IPC_UFRAG_LEN], pwd[IPC_PWD_LEN];
	enum seal_profile profile;
	uint8_t key[32], salt[16]; // the same both ways
	struct seal_key *tx, *rx;
	uint32_t ssrc, ts;
	uint64_t index;
};

static inline struct flow_key rig_key(const struct rig_peer *p)
{
	return (struct flow_key){.remote = {127, 0, 0, 1},
				 .local = {127, 0, 0, 2},
				 .remote_port = p->port,
				 .local_port = 8443,
				 .family = 4};
}

static inline void rig_receive(const struct rig_peer *p, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->rx_pool);

	memcpy(rte_pktmbuf_append(m, (uint16_t)len), data, len);
	memset(pkt_of(m), 0, sizeof(struct pkt));
	pkt_of(m)->key = rig_key(p);
	MUST(rig.n_in[p->queue] < BURST); // rig_run between more than a burst
	rig.in[p->queue][rig.n_in[p->queue]++] = m;
}

static inline void rig_hmac(void *e, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
			    uint8_t out[20])
{
	seal_hmac_sha1(e, key, key_len, msg, len, out);
}

static inline void rig_check(const struct rig_peer *p)
{
	struct stun_mac mac = {rig_hmac, rig.seal};
	struct stun_key key = {&mac, (const uint8_t *)p->pwd, IPC_PWD_LEN};
	uint8_t txid[STUN_TXID_LEN], msg[STUN_MAX_PROBE];
	struct stun_request req = {.txid = txid,
				   .to_ufrag = {p->ufrag, IPC_UFRAG_LEN},
				   .from_ufrag = STR("rig"),
				   .priority = 1,
				   .use_candidate = true};

	rand_bytes(txid, sizeof(txid));
	rig_receive(p, msg, (size_t)stun_write_request(msg, sizeof(msg), &req, &key));
}

static inline struct seal_key *rig_new_key(const struct rig_peer *p)
{
	struct seal_key *k = aligned_alloc(64, (seal_key_size(rig.seal) + 63) / 64 * 64);

	CHECK(seal_key_init(rig.seal, k, p->profile, p->key, p->salt) == 0);
	return k;
}

// Everything but keys and track.
static inline void rig_add(struct rig_peer *p, unsigned slot, enum seal_profile profile)
{
	struct ipc_session_add add = {};
	struct ipc_session_extmap ext = {
		.id = {[EXT_LEVEL] = 1, [EXT_TWCC] = 3, [EXT_MID] = 4, [EXT_RID] = 5, [EXT_RRID] = 6}};

	*p = (struct rig_peer){.sid = 0x01000000 + slot, .port = (uint16_t)(5000 + slot), .profile = profile};
	memset(p->ufrag, 'a' + (int)slot, sizeof(p->ufrag));
	memset(p->pwd, 'A' + (int)slot, sizeof(p->pwd));
	memset(p->key, (int)slot + 1, sizeof(p->key));
	memset(p->salt, (int)slot + 2, sizeof(p->salt));
	p->ssrc = 0x1000 + slot;
	p->index = 100;
	p->tx = rig_new_key(p);
	p->rx = rig_new_key(p);
	add.sid = ext.sid = p->sid;
	add.flags = rig.flags;
	memcpy(add.ufrag, p->ufrag, sizeof(add.ufrag));
	memcpy(add.pwd, p->pwd, sizeof(add.pwd));
	snprintf(add.name, sizeof(add.name), "rig%u", slot);
	CHECK_EQ(rig_cmd(&add, CMD_SESSION_ADD), 0);
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
}

static inline void rig_keys(struct rig_peer *p)
{
	struct ipc_session_keys keys = {.sid = p->sid, .profile = p->profile, .rtcp_ssrc = 0x5000 + p->sid};

	memcpy(keys.rx_key, p->key, sizeof(keys.rx_key));
	memcpy(keys.tx_key, p->key, sizeof(keys.tx_key));
	memcpy(keys.rx_salt, p->salt, sizeof(keys.rx_salt));
	memcpy(keys.tx_salt, p->salt, sizeof(keys.tx_salt));
	CHECK_EQ(rig_cmd(&keys, CMD_SESSION_KEYS), 0);
}

static inline void rig_track(const struct rig_peer *p, uint16_t track, const char *mid, uint32_t ssrc)
{
	struct ipc_track_add add = {.sid = p->sid,
				    .track = track,
				    .kind = KIND_AUDIO,
				    .enabled = 1,
				    .clock_hz = 48000,
				    .is_ranked = 1,
				    .ssrc = {ssrc},
				    .codec[0] = {.pt = RIG_PT, .codec = CODEC_OPUS}};

	snprintf(add.mid, sizeof(add.mid), "%s", mid);
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
}

// In with a path, keys and track 0.
static inline void rig_join(struct rig_peer *p, unsigned slot, enum seal_profile profile)
{
	rig_add(p, slot, profile);
	rig_check(p);
	rig_run(0);
	rig_keys(p);
	rig_track(p, 0, "0", p->ssrc);
	rig_run(0);
}

static inline void rig_leave(struct rig_peer *p)
{
	seal_key_fini(p->tx);
	seal_key_fini(p->rx);
	free(p->tx);
	free(p->rx);
}

static inline int rig_leg(const struct rig_peer *to, uint16_t leg, const struct rig_peer *from, uint32_t ssrc)
{
	struct ipc_leg_add add = {.sid = to->sid,
				  .leg = leg,
				  .kind = KIND_AUDIO,
				  .pt = 96,
				  .src_sid = from->sid,
				  .codec = CODEC_OPUS,
				  .ssrc = ssrc,
				  .clock_hz = 48000};

	return rig_cmd(&add, CMD_LEG_ADD);
}

struct rig_voice {
	uint8_t pt, level;
	const char *mid;  // NULL: no extension
	unsigned payload; // bytes
	bool pad;         // P bit; the last payload byte says how much
	uint8_t pad_len;
};

// One SRTP packet of the peer with its next numbers.
static inline void rig_say_as(struct rig_peer *p, struct rig_voice v)
{
	uint8_t pkt[1500], payload[1400] = {}, twcc[2] = {0, (uint8_t)p->index};
	struct rtp_ext ext[3] = {{.id = 1, .data = &v.level, .len = 1}, {.id = 3, .data = twcc, .len = 2}};
	struct seal_rtp job = {.key = p->tx,
			       .hdr = pkt,
			       .src = payload,
			       .len = (uint16_t)v.payload,
			       .ssrc = p->ssrc,
			       .index = p->index++};
	unsigned n_ext = 2;

	if (v.mid)
		ext[n_ext++] = (struct rtp_ext){
			.id = 4, .data = (const uint8_t *)v.mid, .len = (uint8_t)strlen(v.mid)};
	rtp_write(pkt, true, false, v.pt, (uint16_t)job.index, p->ts, p->ssrc);
	if (v.pad) {
		pkt[0] |= 0x20;
		payload[v.payload - 1] = v.pad_len;
	} else {
		be64_put(payload, job.index);
	}
	job.hdr_len = (uint16_t)(RTP_HDR_LEN + rtp_ext_write(pkt + RTP_HDR_LEN, 100, ext, n_ext));
	job.dst = pkt + job.hdr_len;
	p->ts += 960;
	CHECK_EQ(seal_rtp_protect(rig.seal, &job, 1), 1);
	rig_receive(p, pkt, job.hdr_len + v.payload + seal_rtp_tag_len(p->profile));
}

static inline void rig_say(struct rig_peer *p)
{
	rig_say_as(p, (struct rig_voice){.pt = RIG_PT, .level = 20, .payload = 60});
}

// Opens the newest RTP packet sent to the peer under this SSRC at this index guess; NULL when there is none.
static inline const uint8_t *rig_heard(const struct rig_peer *p, uint32_t ssrc, struct rtp_view *v)
{
	static uint8_t plain[1500];

	for (unsigned i = rig.n_sent; i-- > 0;) {
		struct rig_out *o = &rig.sent[i];
		if (o->to.remote_port != p->port || !rig_is_rtp(o, ssrc))
			continue;
		if (rtp_parse(o->data, o->len, seal_rtp_tag_len(p->profile), v) < 0)
			return NULL;
		memcpy(plain, o->data, o->len);
		struct seal_rtp job = {.key = p->rx,
				       .hdr = plain,
				       .src = plain + v->hdr_len,
				       .dst = plain + v->hdr_len,
				       .hdr_len = v->hdr_len,
				       .len = (uint16_t)(o->len - v->hdr_len),
				       .ssrc = ssrc,
				       .index = v->seq};
		return seal_rtp_unprotect(rig.seal, &job, 1) == 1 ? plain : NULL;
	}
	return NULL;
}

// RTP packets sent to the peer under this SSRC.
static inline unsigned rig_n_heard(const struct rig_peer *p, uint32_t ssrc)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent; i++)
		n += rig.sent[i].to.remote_port == p->port && rig_is_rtp(&rig.sent[i], ssrc);
	return n;
}
