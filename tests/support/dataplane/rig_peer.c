#include "tests/support/dataplane/rig_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rand.h"

struct flow_key rig_key(const struct rig_peer *p)
{
	return (struct flow_key){.remote = {127, 0, 0, 1},
				 .local = {127, 0, 0, 2},
				 .remote_port = p->port,
				 .local_port = 8443,
				 .family = 4};
}

void rig_receive(const struct rig_peer *p, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->rx_pool);

	memcpy(rte_pktmbuf_append(m, (uint16_t)len), data, len);
	memset(pkt_of(m), 0, sizeof(struct pkt));
	pkt_of(m)->key = rig_key(p);
	MUST(rig.n_in[p->queue] < BURST); // rig_run between more than a burst
	rig.in[p->queue][rig.n_in[p->queue]++] = m;
}

void rig_hmac(void *e, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len, uint8_t out[20])
{
	seal_hmac_sha1(e, key, key_len, msg, len, out);
}

void rig_check(const struct rig_peer *p)
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

static struct seal_key *rig_new_key(const struct rig_peer *p)
{
	struct seal_key *k = aligned_alloc(64, (seal_key_size(rig.seal) + 63) / 64 * 64);

	CHECK(seal_key_init(rig.seal, k, p->profile, p->key, p->salt) == 0);
	return k;
}

void rig_add(struct rig_peer *p, unsigned slot, enum seal_profile profile)
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
	add.tenant = rig.tenant;
	memcpy(add.ufrag, p->ufrag, sizeof(add.ufrag));
	memcpy(add.pwd, p->pwd, sizeof(add.pwd));
	snprintf(add.name, sizeof(add.name), "rig%u", slot);
	CHECK_EQ(rig_cmd(&add, CMD_SESSION_ADD), 0);
	CHECK_EQ(rig_cmd(&ext, CMD_SESSION_EXTMAP), 0);
}

void rig_keys(struct rig_peer *p)
{
	struct ipc_session_keys keys = {.sid = p->sid, .profile = p->profile, .rtcp_ssrc = 0x5000 + p->sid};

	memcpy(keys.rx_key, p->key, sizeof(keys.rx_key));
	memcpy(keys.tx_key, p->key, sizeof(keys.tx_key));
	memcpy(keys.rx_salt, p->salt, sizeof(keys.rx_salt));
	memcpy(keys.tx_salt, p->salt, sizeof(keys.tx_salt));
	CHECK_EQ(rig_cmd(&keys, CMD_SESSION_KEYS), 0);
}

void rig_track(const struct rig_peer *p, uint16_t track, const char *mid, uint32_t ssrc)
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

void rig_join(struct rig_peer *p, unsigned slot, enum seal_profile profile)
{
	rig_add(p, slot, profile);
	rig_check(p);
	rig_run(0);
	rig_keys(p);
	rig_track(p, 0, "0", p->ssrc);
	rig_run(0);
}

void rig_leave(struct rig_peer *p)
{
	seal_key_fini(p->tx);
	seal_key_fini(p->rx);
	free(p->tx);
	free(p->rx);
}

int rig_leg(const struct rig_peer *to, uint16_t leg, const struct rig_peer *from, uint32_t ssrc)
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

void rig_say_as(struct rig_peer *p, struct rig_voice v)
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

void rig_say(struct rig_peer *p)
{
	rig_say_as(p, (struct rig_voice){.pt = RIG_PT, .level = 20, .payload = 60});
}

const uint8_t *rig_heard(const struct rig_peer *p, uint32_t ssrc, struct rtp_view *v)
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

unsigned rig_n_heard(const struct rig_peer *p, uint32_t ssrc)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent; i++)
		n += rig.sent[i].to.remote_port == p->port && rig_is_rtp(&rig.sent[i], ssrc);
	return n;
}
