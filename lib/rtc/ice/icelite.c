// Reading order: icelite_on_stun at the end (validation, in the order that spends least on strangers), the table of
// pairs; then icelite_path.c.
//
// Invariants: a pair exists only after an authenticated check from its tuple; the selected pair is always a
// used slot; nothing but an authenticated check refreshes consent (RFC 7675).
#include "lib/rtc/ice/icelite.h"

#include <errno.h>

#include "lib/rtc/ice/icelite_priv.h"

// --- credentials --------------------------------------------------------------------------------

static struct icelite_creds *creds_old(struct icelite *a)
{
	return &a->creds[(a->generation + 1) & 1];
}

static bool ct_eq(const char *a, const char *b, size_t len)
{
	unsigned diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= (unsigned)(uint8_t)(a[i] ^ b[i]);
	return diff == 0;
}

static bool creds_named(const struct icelite_creds *c, struct str ufrag)
{
	return c->is_set && ufrag.len == ICELITE_UFRAG_LEN && ct_eq(c->ufrag, ufrag.p, ICELITE_UFRAG_LEN);
}

void icelite_creds_drop_old(struct icelite *a, struct icelite_out *out)
{
	struct icelite_creds *c = creds_old(a);

	a->has_old_deadline = false;
	if (!c->is_set)
		return;
	memcpy(out->gone_ufrag, c->ufrag, ICELITE_UFRAG_LEN);
	out->events |= ICELITE_EV_CREDS_GONE;
	explicit_bzero(c, sizeof(*c));
}

// The first valid check under the current credentials starts the clock of the old ones.
static void creds_used(struct icelite *a, struct icelite_creds *c, uint32_t t)
{
	if (c->is_used)
		return;
	c->is_used = true;
	if (c == creds_now(a) && creds_old(a)->is_set) {
		a->has_old_deadline = true;
		a->old_deadline = t + OLD_CREDS;
	}
}

static void creds_set_remote(struct icelite *a, struct icelite_creds *c, struct str ufrag, struct str pwd)
{
	if (ufrag.len > 0)
		memcpy(c->remote_ufrag, ufrag.p, ufrag.len);
	c->remote_ufrag_len = (uint8_t)ufrag.len;
	if (c != creds_now(a))
		return;
	a->remote_pwd_len = 0;
	if (pwd.len > 0 && pwd.len <= ICELITE_REMOTE_PWD) {
		memcpy(a->remote_pwd, pwd.p, pwd.len);
		a->remote_pwd_len = (uint8_t)pwd.len;
	}
}

int icelite_set_creds(struct icelite *a, const char *ufrag, const char *pwd, struct str remote_ufrag,
		      struct str remote_pwd, struct icelite_out *out)
{
	struct str name = {ufrag, ICELITE_UFRAG_LEN};
	struct icelite_creds *c;

	out_clear(out);
	if (remote_ufrag.len > ICELITE_REMOTE_UFRAG)
		return -EINVAL;
	if (creds_named(creds_now(a), name)) {
		c = creds_now(a);
	} else if (creds_named(creds_old(a), name)) {
		c = creds_old(a);
	} else {
		icelite_creds_drop_old(a, out);
		if (creds_now(a)->is_set)
			a->generation++;
		a->nomination = 0;       // counts from the start again after an ICE restart
		a->probe_pair = NO_PAIR; // its answer would be signed with the old password
		a->n_probes = 0;
		c = creds_now(a);
		c->is_set = true;
		memcpy(c->ufrag, ufrag, ICELITE_UFRAG_LEN);
	}
	memcpy(c->pwd, pwd, ICELITE_PWD_LEN);
	creds_set_remote(a, c, remote_ufrag, remote_pwd);
	return 0;
}

void icelite_init(struct icelite *a, ns_t now)
{
	*a = (struct icelite){
		.born = now, .selected = NO_PAIR, .probe_pair = NO_PAIR, .rate_bucket = BUCKET_MAX};
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
	if (i == a->probe_pair)
		a->probe_pair = NO_PAIR;
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

// --- pairs --------------------------------------------------------------------------------------

int icelite_find(const struct icelite *a, const struct icelite_tuple *t)
{
	for (int i = 0; i < ICELITE_PAIRS; i++)
		if (a->pair[i].is_used && memcmp(&a->pair[i].tuple, t, sizeof(*t)) == 0)
			return i;
	return NO_PAIR;
}

void icelite_pair_remove(struct icelite *a, int i, struct icelite_out *out)
{
	assert(a->pair[i].is_used && out->n_gone < ICELITE_PAIRS);
	out->gone[out->n_gone++] = a->pair[i].tuple;
	out->events |= ICELITE_EV_PAIR_GONE;
	for (unsigned k = 0; k < ICELITE_TXIDS; k++)
		if (a->txid_pair[k] == i)
			a->txid_pair[k] = TXID_PAIR_GONE;
	if (a->probe_pair == i)
		a->probe_pair = NO_PAIR;
	if (a->selected == i) {
		a->selected = NO_PAIR;
		out->events |= ICELITE_EV_PATH;
	}
	a->pair[i] = (struct icelite_pair){};
}

// A slot for a new pair: free, or of the pair that was idle longest.
static int pair_slot(struct icelite *a, uint32_t t, struct icelite_out *out)
{
	uint32_t longest = EVICT_IDLE;
	int victim = NO_PAIR;

	for (int i = 0; i < ICELITE_PAIRS; i++) {
		uint32_t idle = t - a->pair[i].last_check;
		if (!a->pair[i].is_used)
			return i;
		if (i != a->selected && idle > longest) {
			longest = idle;
			victim = i;
		}
	}
	if (victim != NO_PAIR)
		icelite_pair_remove(a, victim, out);
	return victim;
}

static int pair_add(struct icelite *a, const struct icelite_tuple *from, uint32_t t, struct icelite_out *out)
{
	int i;

	if (t - a->minute_at >= 60000) {
		a->minute_at = t;
		a->n_new_pairs = 0;
	}
	if (a->n_new_pairs >= NEW_PAIRS_PER_MINUTE)
		return NO_PAIR;
	i = pair_slot(a, t, out);
	if (i == NO_PAIR)
		return NO_PAIR;
	a->n_new_pairs++;
	a->pair[i] = (struct icelite_pair){.tuple = *from,
					   .is_used = true,
					   .is_proven = from->proto == 6, // its handshake went there and back
					   .bucket = BUCKET_MAX,
					   .bucket_at = t,
					   .last_check = t};
	out->pair_new = (uint8_t)i;
	out->events |= ICELITE_EV_PAIR_NEW;
	return i;
}

static bool bucket_take(uint16_t *bucket, uint32_t *at, uint32_t t)
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

// Was this transaction seen from another tuple? Else remember it. MESSAGE-INTEGRITY does not cover the source
// address, so an observer can send a copy from elsewhere.
static bool txid_replayed(struct icelite *a, const uint8_t *txid, int pair)
{
	uint32_t fold = be32_get(txid) ^ be32_get(txid + 4) ^ be32_get(txid + 8);

	for (unsigned k = 0; k < ICELITE_TXIDS; k++)
		if (a->txid[k] == fold && (a->txid_pair[k] & 0x80) == 0)
			return a->txid_pair[k] != pair;
	return false;
}

static void txid_note(struct icelite *a, const uint8_t *txid, int pair)
{
	uint32_t fold = be32_get(txid) ^ be32_get(txid + 4) ^ be32_get(txid + 8);

	for (unsigned k = 0; k < ICELITE_TXIDS; k++)
		if (a->txid[k] == fold && a->txid_pair[k] == pair)
			return;
	a->txid[a->txid_at] = fold;
	a->txid_pair[a->txid_at] = (uint8_t)pair;
	a->txid_at = (uint8_t)((a->txid_at + 1) % ICELITE_TXIDS);
}

// --- STUN ---------------------------------------------------------------------------------------

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
	is_current = creds_named(creds_now(a), left);
	if (!is_current && !creds_named(creds_old(a), left))
		return ICELITE_DROP_USERNAME;
	c = is_current ? creds_now(a) : creds_old(a);
	if (i != NO_PAIR ? !bucket_take(&a->pair[i].bucket, &a->pair[i].bucket_at, t)
			 : !bucket_take(&a->rate_bucket, &a->rate_at, t))
		return ICELITE_DROP_RATE;
	key = (struct stun_key){&env->mac, (const uint8_t *)c->pwd, ICELITE_PWD_LEN};
	if (!stun_mac_check(m, key.mac, key.key, key.key_len))
		return ICELITE_DROP_INTEGRITY;
	if (c->remote_ufrag_len > 0 && !str_eq(right, (struct str){c->remote_ufrag, c->remote_ufrag_len}))
		return ICELITE_DROP_USERNAME;
	if (m->n_unknown > 0)
		return reply(out, stun_write_error(out->reply, sizeof(out->reply), stun_txid(m), 420,
						   m->unknown, m->n_unknown, &key));
	if (m->controlled) // a lite agent cannot take the other role
		return reply(out, stun_write_error(out->reply, sizeof(out->reply), stun_txid(m), 487, NULL, 0,
						   &key));
	if (txid_replayed(a, stun_txid(m), i))
		return ICELITE_DROP_REPLAY;
	if (i == NO_PAIR)
		i = pair_add(a, from, t, out);
	if (i == NO_PAIR)
		return ICELITE_DROP_PAIRS;
	txid_note(a, stun_txid(m), i);
	creds_used(a, c, t);
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
	if (a->probe_pair == NO_PAIR || a->remote_pwd_len == 0 ||
	    memcmp(stun_txid(m), a->probe_txid, STUN_TXID_LEN) != 0 || icelite_find(a, from) != a->probe_pair)
		return ICELITE_DROP_METHOD;
	if (!stun_fingerprint_check(m))
		return ICELITE_DROP_FINGERPRINT;
	if (!stun_mac_check(m, &env->mac, (const uint8_t *)a->remote_pwd, a->remote_pwd_len))
		return ICELITE_DROP_INTEGRITY;
	a->last_rx = t;
	prove(a, a->probe_pair);
	return ICELITE_OK;
}

enum icelite_verdict icelite_on_stun(struct icelite *a, const struct icelite_env *env,
				     const struct stun_msg *m, const struct icelite_tuple *from, ns_t now,
				     struct icelite_out *out)
{
	uint32_t t = ms_of(a, now);

	out_clear(out);
	if (m->method != STUN_BINDING || m->cls == STUN_INDICATION)
		return ICELITE_DROP_METHOD;
	if (m->cls == STUN_REQUEST)
		return on_request(a, env, m, from, t, out);
	return on_response(a, env, m, from, t);
}
