// Who may speak to us: icelite_on_stun at the end validates, in the order that spends least on strangers. Then
// icelite_path.c; icelite_creds.c and icelite_pairs.c keep what both need.
//
// Invariants: a pair exists only after an authenticated check from its tuple; the selected pair is always a
// used slot; nothing but an authenticated check refreshes consent (RFC 7675).
#include "lib/rtc/ice/icelite.h"

#include "lib/rtc/ice/icelite_priv.h"

void icelite_init(struct icelite *a, ns_t now)
{
	*a = (struct icelite){.born = now, .selected = NO_PAIR, .rate_bucket = BUCKET_MAX};
	memset(a->txid_pair, TXID_PAIR_GONE, sizeof(a->txid_pair));
}

// --- liveness and proof -------------------------------------------------------------------------

static void prove(struct icelite *a, int i)
{
	if (i == NO_PAIR)
		return;
	a->pair[i].is_proven = true;
	if (i == a->selected)
		ip_of(&a->pair[i].tuple, a->proven_ip);
}

void icelite_on_keys(struct icelite *a, int pair)
{
	assert(pair < ICELITE_PAIRS);
	a->has_keys = true;
	if (pair < 0 || !a->pair[pair].is_used)
		return;
	prove(a, pair);
	ip_of(&a->pair[pair].tuple, a->proven_ip);
	if (a->selected != NO_PAIR) { // another port of that address needs no proof either
		uint8_t ip[17];
		ip_of(&a->pair[a->selected].tuple, ip);
		a->pair[a->selected].is_proven |= memcmp(ip, a->proven_ip, sizeof(ip)) == 0;
	}
}

void icelite_on_acked(struct icelite *a, ns_t sent_at)
{
	if (a->selected != NO_PAIR && (int32_t)(ms_of(a, sent_at) - a->selected_at) > 0)
		prove(a, a->selected);
}

// --- STUN ---------------------------------------------------------------------------------------

// Is there credit for one more check? Credit is in milliseconds; time since *at adds to it.
static bool check_take(uint16_t *bucket, uint32_t *at, uint32_t t)
{
	uint32_t credit = *bucket + (t - *at);

	if (t - *at > BUCKET_MAX || credit > BUCKET_MAX)
		credit = BUCKET_MAX;
	*at = t;
	*bucket = (uint16_t)credit;
	if (credit < CHECK_COST)
		return false;
	*bucket = (uint16_t)(credit - CHECK_COST);
	return true;
}

static enum icelite_verdict reply(struct icelite_out *out, int len)
{
	assert(len > 0);
	out->reply_len = (uint16_t)len;
	return ICELITE_REPLY;
}

static enum icelite_verdict on_request(struct icelite *a, const struct icelite_env *env,
				       const struct stun_msg *m, const struct icelite_tuple *from, uint32_t t,
				       struct icelite_out *out)
{
	struct stun_addr mapped = {.family = from->family, .port = from->port};
	struct icelite_creds *c;
	struct stun_key key;
	struct str left, right;
	int i = icelite_find(a, from);
	bool is_current;

	if (!stun_fingerprint_check(m))
		return ICELITE_DROP_FINGERPRINT;
	if (!stun_username(m, &left, &right))
		return ICELITE_DROP_USERNAME;
	is_current = icelite_creds_named(creds_now(a), left);
	if (!is_current && !icelite_creds_named(creds_old(a), left))
		return ICELITE_DROP_USERNAME;
	c = is_current ? creds_now(a) : creds_old(a);
	if (i != NO_PAIR ? !check_take(&a->pair[i].bucket, &a->pair[i].bucket_at, t)
			 : !check_take(&a->rate_bucket, &a->rate_at, t))
		return ICELITE_DROP_RATE;
	key = (struct stun_key){&env->mac, (const uint8_t *)c->pwd, ICELITE_PWD_LEN};
	if (!stun_mac_check(m, key.mac, key.key, key.key_len))
		return ICELITE_DROP_INTEGRITY;
	if (c->remote_ufrag_len > 0 && !str_eq(right, (struct str){c->remote_ufrag, c->remote_ufrag_len}))
		return ICELITE_DROP_USERNAME;
	if (m->n_unknown > 0)
		return reply(out, stun_write_unknown(out->reply, sizeof(out->reply), stun_txid(m), m->unknown,
						     m->n_unknown, &key));
	if (m->controlled) // a lite agent cannot take the other role
		return reply(out, stun_write_error(out->reply, sizeof(out->reply), stun_txid(m), 487, &key));
	if (icelite_txid_replayed(a, stun_txid(m), i))
		return ICELITE_DROP_REPLAY;
	if (i == NO_PAIR)
		i = icelite_pair_add(a, from, t, out);
	if (i == NO_PAIR)
		return ICELITE_DROP_PAIRS;
	icelite_txid_note(a, stun_txid(m), i);
	icelite_creds_used(a, c, t);
	a->had_path = true;
	a->last_rx = t;
	set_liveness(a, ICELITE_LIVE, out);
	icelite_on_check(a, i, m, is_current, t, out);
	memcpy(mapped.ip, from->ip, sizeof(mapped.ip));
	return reply(out, stun_write_success(out->reply, sizeof(out->reply), stun_txid(m), &mapped, &key));
}

// Response to our path probe: whoever sent it got the probe and knows the peer's password.
static enum icelite_verdict on_response(struct icelite *a, const struct icelite_env *env,
					const struct stun_msg *m, const struct icelite_tuple *from,
					uint32_t t)
{
	int i = icelite_find(a, from);
	uint8_t txid[STUN_TXID_LEN];

	if (i == NO_PAIR || !a->pair[i].is_asked || a->remote_pwd_len == 0)
		return ICELITE_DROP_METHOD;
	icelite_probe_txid(a, i, txid);
	if (memcmp(stun_txid(m), txid, STUN_TXID_LEN) != 0)
		return ICELITE_DROP_METHOD;
	if (!stun_fingerprint_check(m))
		return ICELITE_DROP_FINGERPRINT;
	if (!stun_mac_check(m, &env->mac, (const uint8_t *)a->remote_pwd, a->remote_pwd_len))
		return ICELITE_DROP_INTEGRITY;
	a->last_rx = t;
	a->pair[i].is_asked = false;
	prove(a, i);
	return ICELITE_OK;
}

enum icelite_verdict icelite_on_stun(struct icelite *a, const struct icelite_env *env,
				     const struct stun_msg *m, const struct icelite_tuple *from, ns_t now,
				     struct icelite_out *out)
{
	uint32_t t = ms_of(a, now);

	assert(from->family == 4 || from->family == 6);
	out_clear(out);
	if (m->method != STUN_BINDING || m->cls == STUN_INDICATION)
		return ICELITE_DROP_METHOD;
	if (m->cls == STUN_REQUEST)
		return on_request(a, env, m, from, t, out);
	return on_response(a, env, m, from, t);
}
