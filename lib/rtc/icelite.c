// Reading order: icelite_on_stun (validation, in the order that spends least on strangers), pair_* (table),
// on_check (which pair is selected), icelite_on_media (a path that moved by itself), icelite_tick (silence).
//
// Invariants: a pair exists only after an authenticated check from its tuple; the selected pair is always a
// used slot; nothing but an authenticated check refreshes consent (RFC 7675).
#include "lib/rtc/icelite.h"

#include <assert.h>
#include <errno.h>

// Milliseconds unless named otherwise.
enum limits {
	CHECK_COST = 20,    // credit per check: 50/s
	BUCKET_MAX = 2000,  // burst of 100 checks
	FRESH = 2500,       // a pair checked within this time is alive (clients check every 2 to 6 s)
	SWITCH_IDLE = 8000, // selected pair without a check this long: another fresh nominated one takes over
	SWITCH_FRESH = 3000,
	EVICT_IDLE = 2000, // a full table gives up pairs idle this long
	PAIR_IDLE = 30000, // unselected pairs go
	CONSENT = 30000,   // RFC 7675 section 5.1
	SUSPECT_AFTER = 3000,
	NO_PATH_AFTER = 30000,
	OLD_CREDS = 30000,  // old credentials live on after the first check under new ones
	MEDIA_SILENT = 500, // selected path without media this long may be moved by media
	MEDIA_COUNT = 3,
	FLAGGED_COUNT = 3, // flagged checks in a row that outvote the selected pair
	NEW_PAIRS_PER_MINUTE = 16,
	CHANGES_PER_10S = 4,
	PROBES_FAST = 4, // at 0, 100, 300, 700
	PROBES_MAX = 8,  // then every 2 s
	PROBE_FIRST = 100,
	PROBE_SLOW = 2000,
	ALLOWANCE_FACTOR = 3,  // RFC 9000 section 8.1
	DTLS_ALLOWANCE = 4096, // bytes a new session may send before DTLS proves its address
};

#define NO_PAIR (-1)
#define TXID_PAIR_GONE 0xff

static uint32_t ms_of(const struct icelite *a, ns_t now)
{
	return (uint32_t)((now - a->born) / NS_PER_MS);
}

static void out_clear(struct icelite_out *out)
{
	out->events = 0;
	out->n_gone = 0;
	out->reply_len = 0;
}

// --- credentials --------------------------------------------------------------------------------

static struct icelite_creds *creds_now(struct icelite *a)
{
	return &a->creds[a->generation & 1];
}

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

static void creds_drop_old(struct icelite *a, struct icelite_out *out)
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
		creds_drop_old(a, out);
		if (creds_now(a)->is_set)
			a->generation++;
		a->nomination = 0; // counts from the start again after an ICE restart
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

void icelite_fini(struct icelite *a)
{
	explicit_bzero(a, sizeof(*a));
	a->selected = NO_PAIR;
}

// --- liveness and proof -------------------------------------------------------------------------

static void set_liveness(struct icelite *a, enum icelite_liveness state, struct icelite_out *out)
{
	if (a->liveness == state)
		return;
	a->liveness = (uint8_t)state;
	out->events |= ICELITE_EV_LIVENESS;
}

static void ip_of(const struct icelite_tuple *t, uint8_t ip[17])
{
	ip[0] = t->family;
	memcpy(ip + 1, t->ip, 16);
}

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

void icelite_on_keys(struct icelite *a)
{
	a->has_keys = true;
	prove(a, a->selected);
}

void icelite_on_proven(struct icelite *a)
{
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

static void pair_remove(struct icelite *a, int i, struct icelite_out *out)
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
		pair_remove(a, victim, out);
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
	a->pair[i] = (struct icelite_pair){
		.tuple = *from, .is_used = true, .bucket = BUCKET_MAX, .bucket_at = t, .last_check = t};
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

// --- selection ----------------------------------------------------------------------------------

// Make pair i the path. False when the path changed too often just now; the peer's next check asks again.
static bool select_pair(struct icelite *a, int i, bool nominated, uint32_t t, struct icelite_out *out)
{
	struct icelite_pair *p = &a->pair[i];
	uint8_t ip[17];

	if (i == a->selected) {
		if (nominated && !p->is_nominated)
			out->events |= ICELITE_EV_PATH;
		p->is_nominated |= nominated;
		return true;
	}
	if (a->selected != NO_PAIR) {
		if (t - a->change_at >= 10000) {
			a->change_at = t;
			a->n_changes = 0;
		}
		if (a->n_changes >= CHANGES_PER_10S)
			return false;
		a->n_changes++;
	}
	ip_of(&p->tuple, ip);
	p->is_nominated |= nominated;
	p->is_proven |= memcmp(ip, a->proven_ip, sizeof(ip)) == 0; // new port of a known address
	for (int k = 0; k < ICELITE_PAIRS; k++)
		a->pair[k].n_flagged = 0;
	a->selected = (int8_t)i;
	a->last_media = t;
	a->probe_pair = NO_PAIR;
	a->n_probes = 0;
	a->probe_at = t;
	out->events |= ICELITE_EV_PATH;
	return true;
}

// A flagged check on pair i while another pair is selected and nominated: has the peer moved?
//
// Aggressive nomination flags every pair, so "the last flag wins" would flap and "the first flag wins" would
// stick to a dead path.
static bool peer_moved(const struct icelite *a, int i, uint32_t t)
{
	const struct icelite_pair *p = &a->pair[i], *sel = &a->pair[a->selected];
	bool sel_is_fresh = t - sel->last_check < FRESH;

	if (!sel_is_fresh)
		return true;
	if (!sel->last_flagged) // flag withdrawn there, set here
		return true;
	if (p->tuple.proto != sel->tuple.proto) // UDP is better than TCP whatever the priorities say
		return p->tuple.proto == 17;
	return p->priority > sel->priority || p->n_flagged >= FLAGGED_COUNT;
}

static void nominate(struct icelite *a, int i, const struct stun_msg *m, bool is_current, uint32_t t,
		     struct icelite_out *out)
{
	const struct icelite_pair *sel = a->selected == NO_PAIR ? NULL : &a->pair[a->selected];
	bool sel_is_old = sel && sel->generation != a->generation;

	// After an ICE restart only the new credentials move the path, once it follows them.
	if (!is_current && sel && !sel_is_old)
		return;
	if (m->has_nomination && is_current) {
		if (m->nomination > a->nomination && select_pair(a, i, true, t, out))
			a->nomination = m->nomination;
		return;
	}
	if (sel == NULL || !sel->is_nominated || (is_current && sel_is_old) || a->selected == i ||
	    peer_moved(a, i, t))
		(void)select_pair(a, i, true, t, out);
}

// An authenticated check on pair i: refresh it, and decide about the path.
static void on_check(struct icelite *a, int i, const struct stun_msg *m, bool is_current, uint32_t t,
		     struct icelite_out *out)
{
	struct icelite_pair *p = &a->pair[i];
	bool flagged = m->use_candidate || m->has_nomination;
	bool sel_is_weak;

	p->last_check = t;
	p->priority = m->priority;
	p->n_flagged = (uint8_t)(flagged ? p->n_flagged + (p->n_flagged < UINT8_MAX) : 0);
	if (i == a->selected)
		for (int k = 0; k < ICELITE_PAIRS; k++)
			a->pair[k].n_flagged = 0;
	if (flagged) {
		nominate(a, i, m, is_current, t, out);
		p->is_nominated = true; // also when another one is preferred
	}
	sel_is_weak =
		a->selected == NO_PAIR || (!a->pair[a->selected].is_nominated &&
					   a->pair[a->selected].tuple.proto == 6 && p->tuple.proto == 17);
	if (!flagged && sel_is_weak) // provisional: where DTLS is answered to
		(void)select_pair(a, i, false, t, out);
	p->last_flagged = flagged;
	if (is_current)
		p->generation = a->generation;
	else if (p->generation != a->generation)
		p->generation = (uint8_t)(a->generation - 1);
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
	on_check(a, i, m, is_current, t, out);
	memcpy(mapped.ip, from->ip, sizeof(mapped.ip));
	return reply(out, stun_write_success(out->reply, sizeof(out->reply), stun_txid(m), &mapped, &key));
}

// Response to our path probe: whoever sent it got the probe and knows the peer's password.
static enum icelite_verdict on_response(struct icelite *a, const struct icelite_env *env,
					const struct stun_msg *m, const struct icelite_tuple *from,
					uint32_t t)
{
	if (a->probe_pair == NO_PAIR || memcmp(stun_txid(m), a->probe_txid, STUN_TXID_LEN) != 0 ||
	    icelite_find(a, from) != a->probe_pair)
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

// --- media --------------------------------------------------------------------------------------

static uint32_t sat_add(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

void icelite_on_rx(struct icelite *a, unsigned pair, unsigned n)
{
	assert(pair < ICELITE_PAIRS);
	a->pair[pair].n_rx_bytes = sat_add(a->pair[pair].n_rx_bytes, n);
}

void icelite_on_media(struct icelite *a, unsigned pair, bool is_newer, ns_t now, struct icelite_out *out)
{
	uint32_t t = ms_of(a, now);
	struct icelite_pair *p = &a->pair[pair];

	assert(pair < ICELITE_PAIRS);
	out_clear(out);
	if (!p->is_used)
		return;
	a->last_rx = t;
	if (a->liveness == ICELITE_SUSPECT)
		set_liveness(a, ICELITE_LIVE, out);
	if (!is_newer)
		return;
	if ((int)pair == a->selected || a->selected == NO_PAIR) {
		a->last_media = t;
		return;
	}
	// NAT rebinding: the peer goes on sending from a new address before it nominates it.
	if (t - a->last_media < MEDIA_SILENT || p->media_from != a->last_media) {
		p->media_from = a->last_media;
		p->n_media = 0;
	}
	if (t - a->last_media >= MEDIA_SILENT && ++p->n_media >= MEDIA_COUNT) {
		p->n_media = 0;
		(void)select_pair(a, (int)pair, a->pair[a->selected].is_nominated, t, out);
	}
}

bool icelite_may_send_to(struct icelite *a, unsigned pair, unsigned n)
{
	struct icelite_pair *p = &a->pair[pair];
	uint64_t allowed;

	assert(pair < ICELITE_PAIRS);
	if (!p->is_used || a->liveness >= ICELITE_LOST)
		return false;
	if (p->is_proven)
		return true;
	allowed = (uint64_t)ALLOWANCE_FACTOR * p->n_rx_bytes;
	if (!a->has_keys && allowed < DTLS_ALLOWANCE)
		allowed = DTLS_ALLOWANCE;
	if ((uint64_t)p->n_tx_bytes + n > allowed)
		return false;
	p->n_tx_bytes = sat_add(p->n_tx_bytes, n);
	return true;
}

bool icelite_may_send(struct icelite *a, unsigned n)
{
	return a->selected != NO_PAIR && icelite_may_send_to(a, (unsigned)a->selected, n);
}

// --- time ---------------------------------------------------------------------------------------

static void tick_pairs(struct icelite *a, uint32_t consent, uint32_t t, struct icelite_out *out)
{
	for (int i = 0; i < ICELITE_PAIRS; i++) {
		uint32_t idle = t - a->pair[i].last_check;
		if (!a->pair[i].is_used || idle < (i == a->selected ? consent : PAIR_IDLE))
			continue;
		if (i == a->selected)
			set_liveness(a, ICELITE_LOST, out);
		pair_remove(a, i, out);
	}
}

// The selected pair is silent while another nominated one is checked.
static void tick_switch(struct icelite *a, uint32_t t, struct icelite_out *out)
{
	int best = NO_PAIR;

	if (a->selected == NO_PAIR || t - a->pair[a->selected].last_check < SWITCH_IDLE)
		return;
	for (int i = 0; i < ICELITE_PAIRS; i++) {
		const struct icelite_pair *p = &a->pair[i];
		if (!p->is_used || !p->is_nominated || i == a->selected || t - p->last_check >= SWITCH_FRESH)
			continue;
		if (best == NO_PAIR || p->priority > a->pair[best].priority)
			best = i;
	}
	if (best != NO_PAIR)
		(void)select_pair(a, best, true, t, out);
}

static void tick_liveness(struct icelite *a, uint32_t t, struct icelite_out *out)
{
	if (!a->had_path) {
		if (t >= NO_PATH_AFTER)
			set_liveness(a, ICELITE_NO_PATH, out);
		return;
	}
	if (a->liveness == ICELITE_LIVE && t - a->last_rx >= SUSPECT_AFTER)
		set_liveness(a, ICELITE_SUSPECT, out);
}

// Ask a new address of the peer to answer, so that more than the allowance may go there.
static void tick_probe(struct icelite *a, const struct icelite_env *env, uint32_t t, struct icelite_out *out)
{
	struct stun_key key = {&env->mac, (const uint8_t *)a->remote_pwd, a->remote_pwd_len};
	const struct icelite_creds *c = creds_now(a);
	struct stun_request req = {.txid = a->probe_txid,
				   .controlled = true,
				   .priority = 0x6effffff, // peer-reflexive, RFC 8445 5.1.2
				   .to_ufrag = {c->remote_ufrag, c->remote_ufrag_len},
				   .from_ufrag = {c->ufrag, ICELITE_UFRAG_LEN}};
	uint64_t r[2];
	int len;

	if (!a->has_keys || a->selected == NO_PAIR || a->pair[a->selected].is_proven ||
	    a->remote_pwd_len == 0 || c->remote_ufrag_len == 0 || a->n_probes >= PROBES_MAX ||
	    (int32_t)(t - a->probe_at) < 0)
		return;
	if (a->probe_pair != a->selected) { // retransmissions keep their transaction
		r[0] = env->random(env->arg);
		r[1] = env->random(env->arg);
		memcpy(a->probe_txid, r, STUN_TXID_LEN);
		a->probe_pair = a->selected;
	}
	req.tie_breaker = be64_get(a->probe_txid);
	len = stun_write_request(out->reply, sizeof(out->reply), &req, &key);
	assert(len > 0);
	a->probe_at =
		t + (a->n_probes < PROBES_FAST ? (uint32_t)PROBE_FIRST << a->n_probes : (uint32_t)PROBE_SLOW);
	a->n_probes++;
	if (!icelite_may_send(a, (unsigned)len))
		return;
	out->reply_len = (uint16_t)len;
	out->to = a->pair[a->selected].tuple;
	out->events |= ICELITE_EV_SEND;
}

void icelite_tick(struct icelite *a, const struct icelite_env *env, ns_t now, struct icelite_out *out)
{
	uint32_t t = ms_of(a, now);

	out_clear(out);
	if (a->has_old_deadline && (int32_t)(t - a->old_deadline) >= 0)
		creds_drop_old(a, out);
	tick_switch(a, t, out);
	tick_pairs(a, env->consent_ms ? env->consent_ms : CONSENT, t, out);
	tick_liveness(a, t, out);
	tick_probe(a, env, t, out);
}
