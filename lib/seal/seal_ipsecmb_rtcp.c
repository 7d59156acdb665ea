// SRTCP and plain HMAC-SHA1 over ipsec-mb. Keys are expanded into the engine for each packet and wiped after it.
#include "lib/base/buf.h"
#include "lib/seal/seal_ipsecmb.h"
#include "lib/seal/sha1.h"

#include <string.h>

static void gcm_rtcp_expand(struct imb_engine *e, const struct seal_key *key)
{
	const struct rtcp_part *rtcp = key_rtcp(key);

	if (key->profile == SEAL_AEAD_AES_256_GCM)
		IMB_AES256_GCM_PRE(e->mgr, rtcp->key, &e->gcm_key);
	else
		IMB_AES128_GCM_PRE(e->mgr, rtcp->key, &e->gcm_key);
}

// AAD is the clear part and the index word, which are not neighbours in the packet.
// source: RFC 7714 sections 9.2 and 9.3
static void gcm_rtcp_protect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			     uint32_t index)
{
	const struct rtcp_part *rtcp = key_rtcp(key);
	uint8_t nonce[16], aad[SEAL_RTCP_CLEAR + SEAL_INDEX_WORD];
	uint8_t *body = pkt + SEAL_RTCP_CLEAR, *end = pkt + len;

	memcpy(aad, pkt, SEAL_RTCP_CLEAR);
	be32_put(aad + SEAL_RTCP_CLEAR, SEAL_E_BIT | index);
	seal_gcm_nonce(nonce, rtcp->salt, be32_get(pkt + 4), index);
	gcm_enc(e, key->profile == SEAL_AEAD_AES_256_GCM, &e->gcm_key,
		&(struct gcm_op){body, body, len - SEAL_RTCP_CLEAR, nonce, aad, sizeof(aad), end});
	be32_put(end + SEAL_GCM_TAG, SEAL_E_BIT | index);
}

static int gcm_rtcp_unprotect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			      uint32_t word)
{
	const struct rtcp_part *rtcp = key_rtcp(key);
	uint8_t nonce[16], tag[SEAL_GCM_TAG];
	size_t plain_len = len - SEAL_GCM_TAG - SEAL_INDEX_WORD;
	size_t aad_len = word & SEAL_E_BIT ? SEAL_RTCP_CLEAR : plain_len; // E = 0: all is AAD

	memcpy(e->scratch, pkt, aad_len);
	be32_put(e->scratch + aad_len, word);
	seal_gcm_nonce(nonce, rtcp->salt, be32_get(pkt + 4), word & ~SEAL_E_BIT);
	gcm_dec(e, key->profile == SEAL_AEAD_AES_256_GCM, &e->gcm_key,
		&(struct gcm_op){pkt + aad_len, pkt + aad_len, plain_len - aad_len, nonce, e->scratch,
				 aad_len + SEAL_INDEX_WORD, tag});
	return seal_same(tag, pkt + plain_len, sizeof(tag)) ? 0 : -EBADMSG;
}

static void cm_rtcp_crypt(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			  uint32_t index)
{
	const struct rtcp_cm_part *rtcp = key_rtcp(key);

	if (len == SEAL_RTCP_CLEAR)
		return;
	seal_cm_iv(e->iv[0], rtcp->salt, be32_get(pkt + 4), index);
	job_ctr(&e->jobs[0], e->cm_key.round_keys, IMB_KEY_128_BYTES, e->iv[0]);
	e->jobs[0].src = e->jobs[0].dst = pkt + SEAL_RTCP_CLEAR;
	e->jobs[0].msg_len_to_cipher_in_bytes = len - SEAL_RTCP_CLEAR;
	run_ctr(e, 1, IMB_KEY_128_BYTES);
}

// source: RFC 3711 section 3.4
static void cm_rtcp_protect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			    uint32_t index)
{
	cm_rtcp_crypt(e, key, pkt, len, index);
	be32_put(pkt + len, SEAL_E_BIT | index);
	job_mac(e, 0, &e->cm_key, pkt, len + SEAL_INDEX_WORD);
	run_mac(e, 1);
	memcpy(pkt + len + SEAL_INDEX_WORD, e->mac[0], SEAL_CM_TAG);
}

static int cm_rtcp_unprotect(struct imb_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			     uint32_t word)
{
	size_t plain_len = len - SEAL_INDEX_WORD - SEAL_CM_TAG;

	job_mac(e, 0, &e->cm_key, pkt, plain_len + SEAL_INDEX_WORD);
	run_mac(e, 1);
	if (!seal_same(e->mac[0], pkt + len - SEAL_CM_TAG, SEAL_CM_TAG))
		return -EBADMSG;
	if (word & SEAL_E_BIT)
		cm_rtcp_crypt(e, key, pkt, plain_len, word & ~SEAL_E_BIT);
	return 0;
}

int imb_rtcp_protect(struct seal_engine *base, const struct seal_key *key, uint8_t *pkt, size_t len,
		     uint32_t index)
{
	struct imb_engine *e = imb(base);

	if (seal_is_gcm(key->profile)) {
		gcm_rtcp_expand(e, key);
		gcm_rtcp_protect(e, key, pkt, len, index);
		explicit_bzero(&e->gcm_key, sizeof(e->gcm_key));
	} else {
		const struct rtcp_cm_part *rtcp = key_rtcp(key);
		imb_cm_expand(e, &e->cm_key, rtcp->key, rtcp->auth);
		cm_rtcp_protect(e, key, pkt, len, index);
		explicit_bzero(&e->cm_key, sizeof(e->cm_key));
	}
	return 0;
}

int imb_rtcp_unprotect(struct seal_engine *base, const struct seal_key *key, uint8_t *pkt, size_t len,
		       uint32_t word)
{
	struct imb_engine *e = imb(base);
	int rc;

	if (seal_is_gcm(key->profile)) {
		gcm_rtcp_expand(e, key);
		rc = gcm_rtcp_unprotect(e, key, pkt, len, word);
		explicit_bzero(&e->gcm_key, sizeof(e->gcm_key));
	} else {
		const struct rtcp_cm_part *rtcp = key_rtcp(key);
		imb_cm_expand(e, &e->cm_key, rtcp->key, rtcp->auth);
		rc = cm_rtcp_unprotect(e, key, pkt, len, word);
		explicit_bzero(&e->cm_key, sizeof(e->cm_key));
	}
	return rc;
}

void imb_hmac_sha1(struct seal_engine *base, const uint8_t *key, size_t key_len, const uint8_t *msg,
		   size_t len, uint8_t out[20])
{
	struct imb_engine *e = imb(base);

	if (len == 0) { // the library's burst gives a wrong MAC for an empty message
		sha1_hmac(key, key_len, msg, len, out);
		return;
	}
	imb_hmac_states(e, key, key_len, e->cm_key.inner, e->cm_key.outer);
	job_mac(e, 0, &e->cm_key, msg, len);
	run_mac(e, 1);
	memcpy(out, e->mac[0], 20);
	explicit_bzero(&e->cm_key, sizeof(e->cm_key));
}
