// Keys of the ipsec-mb backend: from master key and salt to what a packet needs, expanded for RTP, plain for SRTCP.
#include "lib/seal/seal_ipsecmb.h"

#include <string.h>

struct master {
	const uint8_t *round_keys; // borrowed: the expanded master key
	const uint8_t *salt;       // borrowed, 14 bytes
	IMB_KEY_SIZE_BYTES key_len;
};

// PRF of RFC 3711 section 4.3.3: out = AES-CM keystream at ((label << 48) XOR salt) << 16.
static void derive_one(struct imb_engine *e, const struct master *master, enum seal_label label, uint8_t *out,
		       size_t out_len)
{
	static const uint8_t zeros[32];
	IMB_JOB *j = &e->jobs[0];

	memcpy(e->iv[0], master->salt, 14);
	memset(e->iv[0] + 14, 0, 2);
	e->iv[0][7] ^= (uint8_t)label;
	job_ctr(j, master->round_keys, master->key_len, e->iv[0]);
	j->src = zeros;
	j->dst = out;
	j->msg_len_to_cipher_in_bytes = out_len;
	run_ctr(e, 1, master->key_len);
}

void imb_derive(struct seal_engine *base, enum seal_profile profile, const uint8_t *master,
		const uint8_t salt[14], struct seal_session_keys *s)
{
	struct imb_engine *e = imb(base);
	alignas(64) uint8_t enc[15 * 16], dec[15 * 16];
	size_t len = seal_key_len(profile), salt_len = seal_salt_len(profile);
	struct master expanded = {enc, salt, len == 32 ? IMB_KEY_256_BYTES : IMB_KEY_128_BYTES};

	if (len == 32)
		IMB_AES_KEYEXP_256(e->mgr, master, enc, dec);
	else
		IMB_AES_KEYEXP_128(e->mgr, master, enc, dec);
	memset(s, 0, sizeof(*s));
	derive_one(e, &expanded, LABEL_RTP_KEY, s->rtp_key, len);
	derive_one(e, &expanded, LABEL_RTP_SALT, s->rtp_salt, salt_len);
	derive_one(e, &expanded, LABEL_RTCP_KEY, s->rtcp_key, len);
	derive_one(e, &expanded, LABEL_RTCP_SALT, s->rtcp_salt, salt_len);
	if (!seal_is_gcm(profile)) {
		derive_one(e, &expanded, LABEL_RTP_AUTH, s->rtp_auth, 20);
		derive_one(e, &expanded, LABEL_RTCP_AUTH, s->rtcp_auth, 20);
	}
	explicit_bzero(enc, sizeof(enc));
	explicit_bzero(dec, sizeof(dec));
}

void imb_hmac_states(struct imb_engine *e, const uint8_t *key, size_t key_len, uint8_t inner[20],
		     uint8_t outer[20])
{
	uint8_t block[64];

	assert(key_len <= sizeof(block));
	memset(block, 0x36, sizeof(block));
	for (size_t i = 0; i < key_len; i++)
		block[i] ^= key[i];
	IMB_SHA1_ONE_BLOCK(e->mgr, block, inner);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	IMB_SHA1_ONE_BLOCK(e->mgr, block, outer);
	explicit_bzero(block, sizeof(block));
}

void imb_cm_expand(struct imb_engine *e, struct cm_part *cm, const uint8_t key[16], const uint8_t auth[20])
{
	alignas(64) uint8_t dec[11 * 16];

	IMB_AES_KEYEXP_128(e->mgr, key, cm->round_keys, dec);
	explicit_bzero(dec, sizeof(dec));
	imb_hmac_states(e, auth, 20, cm->inner, cm->outer);
}

void imb_key_install(struct seal_engine *base, struct seal_key *key, const struct seal_session_keys *s)
{
	struct imb_engine *e = imb(base);

	memcpy(key->salt, s->rtp_salt, sizeof(key->salt));
	if (!seal_is_gcm(key->profile)) {
		struct rtcp_cm_part *rtcp = (void *)key_rtcp(key);
		memcpy(rtcp->key, s->rtcp_key, sizeof(rtcp->key));
		memcpy(rtcp->auth, s->rtcp_auth, sizeof(rtcp->auth));
		memcpy(rtcp->salt, s->rtcp_salt, sizeof(rtcp->salt));
		imb_cm_expand(e, (void *)key_body(key), s->rtp_key, s->rtp_auth);
		return;
	}
	struct rtcp_part *rtcp = (void *)key_rtcp(key);
	memcpy(rtcp->key, s->rtcp_key, sizeof(rtcp->key));
	memcpy(rtcp->salt, s->rtcp_salt, sizeof(rtcp->salt));
	if (key->profile == SEAL_AEAD_AES_256_GCM)
		IMB_AES256_GCM_PRE(e->mgr, s->rtp_key, (void *)key_body(key));
	else
		IMB_AES128_GCM_PRE(e->mgr, s->rtp_key, (void *)key_body(key));
}

int imb_key_expand(struct seal_engine *base, struct seal_key *key, const uint8_t *master_key,
		   const uint8_t master_salt[14])
{
	struct seal_session_keys s;

	imb_derive(base, key->profile, master_key, master_salt, &s);
	imb_key_install(base, key, &s);
	explicit_bzero(&s, sizeof(s));
	return 0;
}
