// Where we send: which pair is selected (on_check, and icelite_on_media when the path moved by itself), how much may
// go there before its address is proven, and what silence means.
#include "lib/base/hash.h"
#include "lib/rtc/ice/icelite_priv.h"

// --- selection ----------------------------------------------------------------------------------

// Make pair i the path. False when the path changed too often just now; the peer's next check asks again.
static bool select_pair(struct icelite *a, int i, bool nominated, uint32_t t, struct icelite_out *out)
{
	struct icelite_pair *p = &a->pair[i];
	uint8_t ip[17];

	assert(p->is_used);
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
	a->selected_at = t;
	a->last_media = t;
	if (!p->is_proven) {
		p->is_asked = false;
		p->n_probes = 0;
		p->probe_at = t;
	}
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
void icelite_on_check(struct icelite *a, int i, const struct stun_msg *m, bool is_current, uint32_t t,
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

// reserve: bytes that shall be left for others after it.
static bool may_send(struct icelite *a, unsigned pair, unsigned n, unsigned reserve)
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
	if ((uint64_t)p->n_tx_bytes + n + reserve > allowed)
		return false;
	p->n_tx_bytes = sat_add(p->n_tx_bytes, n);
	return true;
}

bool icelite_may_send_to(struct icelite *a, unsigned pair, unsigned n)
{
	return may_send(a, pair, n, 0);
}

// Media leave room for the probe that ends the limit: else they would take all of it for as long as they are sent.
bool icelite_may_send(struct icelite *a, unsigned n)
{
	bool is_probing;

	if (a->selected == NO_PAIR)
		return false;
	is_probing = a->has_keys && a->remote_pwd_len > 0 && a->pair[a->selected].n_probes < PROBES_MAX;
	return may_send(a, (unsigned)a->selected, n, is_probing ? PROBE_RESERVE : 0);
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
		icelite_pair_remove(a, i, out);
	}
}

// Is p the better one of two that may be selected? Nominated before not, UDP before TCP, then as the peer says.
static bool is_better(const struct icelite_pair *p, const struct icelite_pair *than)
{
	if (p->is_nominated != than->is_nominated)
		return p->is_nominated;
	if (p->tuple.proto != than->tuple.proto)
		return p->tuple.proto == 17;
	return p->priority > than->priority;
}

// The best pair besides the selected one that was checked within `fresh`.
static int best_spare(const struct icelite *a, bool nominated, uint32_t fresh, uint32_t t)
{
	int best = NO_PAIR;

	for (int i = 0; i < ICELITE_PAIRS; i++) {
		const struct icelite_pair *p = &a->pair[i];
		if (!p->is_used || (nominated && !p->is_nominated) || i == a->selected ||
		    t - p->last_check >= fresh)
			continue;
		if (best == NO_PAIR || is_better(p, &a->pair[best]))
			best = i;
	}
	return best;
}

// The selected pair is silent while another nominated one is checked.
static void tick_switch(struct icelite *a, uint32_t t, struct icelite_out *out)
{
	int best;

	if (a->selected == NO_PAIR || t - a->pair[a->selected].last_check < SWITCH_IDLE)
		return;
	best = best_spare(a, true, SWITCH_FRESH, t);
	if (best != NO_PAIR)
		(void)select_pair(a, best, true, t, out);
}

void icelite_on_gone(struct icelite *a, unsigned pair, ns_t now, struct icelite_out *out)
{
	uint32_t t = ms_of(a, now);
	int best;

	assert(pair < ICELITE_PAIRS);
	out_clear(out);
	if (!a->pair[pair].is_used)
		return;
	icelite_pair_remove(a, (int)pair, out);
	if (a->selected != NO_PAIR)
		return;
	best = best_spare(a, false, SWITCH_IDLE, t);
	if (best != NO_PAIR)
		(void)select_pair(a, best, a->pair[best].is_nominated, t, out);
	else if (a->liveness == ICELITE_LIVE)
		set_liveness(a, ICELITE_SUSPECT, out);
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

// --- checks of our own --------------------------------------------------------------------------

static bool probe_is_allowed(const struct icelite *a, const struct icelite_pair *p, unsigned n)
{
	if (a->liveness >= ICELITE_LOST)
		return false;
	return p->is_proven || (uint64_t)p->n_tx_bytes + n <= (uint64_t)ALLOWANCE_FACTOR * p->n_rx_bytes;
}

static uint32_t probe_wait(const struct icelite *a, int i, unsigned n_sent)
{
	if (i == a->selected && a->has_keys)
		return n_sent < PROBES_FAST ? (uint32_t)PROBE_FIRST << n_sent : (uint32_t)PROBE_SLOW;
	return (uint32_t)PROBE_RTO << n_sent;
}

// Derived and not kept: most pairs are asked once.
void icelite_probe_txid(const struct icelite *a, int i, uint8_t txid[STUN_TXID_LEN])
{
	const struct icelite_pair *p = &a->pair[i];
	uint8_t of[sizeof(p->tuple) + 2];
	uint64_t half[2];

	memcpy(of, &p->tuple, sizeof(p->tuple));
	of[sizeof(p->tuple)] = p->probe_salt;
	for (uint8_t k = 0; k < 2; k++) {
		of[sizeof(p->tuple) + 1] = (uint8_t)(a->generation << 1 | k);
		half[k] = hash_sip13(a->probe_key, of, sizeof(of));
	}
	memcpy(txid, half, STUN_TXID_LEN);
}

// A new transaction for the pair.
static void probe_begin(struct icelite *a, const struct icelite_env *env, struct icelite_pair *p)
{
	if ((a->probe_key[0] | a->probe_key[1]) == 0) {
		a->probe_key[0] = env->random(env->arg);
		a->probe_key[1] = env->random(env->arg);
	}
	p->probe_salt = (uint8_t)env->random(env->arg);
	p->is_asked = true;
}

// Ask the address of a pair to answer. Retransmissions keep their transaction.
static void probe_send(struct icelite *a, const struct icelite_env *env, int i, uint32_t t,
		       struct icelite_out *out)
{
	struct icelite_pair *p = &a->pair[i];
	struct stun_key key = {&env->mac, (const uint8_t *)a->remote_pwd, a->remote_pwd_len};
	const struct icelite_creds *c = creds_now(a);
	uint8_t txid[STUN_TXID_LEN];
	struct stun_request req = {.txid = txid,
				   .controlled = true,
				   .priority = 0x6effffff, // peer-reflexive, RFC 8445 5.1.2
				   .to_ufrag = {c->remote_ufrag, c->remote_ufrag_len},
				   .from_ufrag = {c->ufrag, ICELITE_UFRAG_LEN}};
	int len;

	if (!p->is_asked)
		probe_begin(a, env, p);
	icelite_probe_txid(a, i, txid);
	req.tie_breaker = be64_get(txid);
	len = stun_write_request(out->reply, sizeof(out->reply), &req, &key);
	assert(len > 0);
	if (!probe_is_allowed(a, p, (unsigned)len))
		return; // with the next check there will be room
	if (!p->is_proven)
		p->n_tx_bytes = sat_add(p->n_tx_bytes, (uint32_t)len);
	p->probe_at = t + probe_wait(a, i, p->n_probes);
	p->n_probes++;
	out->reply_len = (uint16_t)len;
	out->to = p->tuple;
	out->events |= ICELITE_EV_SEND;
}

static bool probe_is_possible(struct icelite *a)
{
	return a->remote_pwd_len > 0 && creds_now(a)->remote_ufrag_len > 0;
}

void icelite_check_back(struct icelite *a, const struct icelite_env *env, unsigned pair, ns_t now,
			struct icelite_out *out)
{
	struct icelite_pair *p = &a->pair[pair];

	assert(pair < ICELITE_PAIRS);
	out_clear(out);
	if (p->is_used && p->n_probes == 0 && p->generation == a->generation && probe_is_possible(a))
		probe_send(a, env, (int)pair, ms_of(a, now), out);
}

// The first one follows a check, but for a path with keys.
static bool probe_is_due(const struct icelite *a, int i, uint32_t t)
{
	const struct icelite_pair *p = &a->pair[i];

	return p->is_used && !p->is_proven && p->n_probes < PROBES_MAX && (int32_t)(t - p->probe_at) >= 0 &&
	       (p->n_probes > 0 || (a->has_keys && i == a->selected));
}

// May more than the allowance go there? One pair in each tick, the path first.
static void tick_probe(struct icelite *a, const struct icelite_env *env, uint32_t t, struct icelite_out *out)
{
	int at = a->selected == NO_PAIR ? 0 : a->selected;

	if (!probe_is_possible(a))
		return;
	for (int k = 0; k < ICELITE_PAIRS; k++) {
		int i = (at + k) % ICELITE_PAIRS;

		if (!probe_is_due(a, i, t))
			continue;
		probe_send(a, env, i, t, out);
		if (out->events & ICELITE_EV_SEND)
			return;
	}
}

// --- the way back -------------------------------------------------------------------------------

int icelite_dtls_pair(const struct icelite *a, int from)
{
	assert(from < ICELITE_PAIRS);
	if (a->selected == NO_PAIR || from < 0 || a->pair[a->selected].is_proven)
		return a->selected;
	return a->pair[from].is_used && a->pair[from].is_proven ? from : a->selected;
}

void icelite_on_handshake(struct icelite *a, unsigned pair, ns_t now, struct icelite_out *out)
{
	out_clear(out);
	if (icelite_dtls_pair(a, (int)pair) == (int)pair)
		(void)select_pair(a, (int)pair, a->pair[a->selected].is_nominated, ms_of(a, now), out);
}

void icelite_tick(struct icelite *a, const struct icelite_env *env, ns_t now, struct icelite_out *out)
{
	uint32_t t = ms_of(a, now);

	out_clear(out);
	if (a->has_old_deadline && (int32_t)(t - a->old_deadline) >= 0)
		icelite_creds_drop_old(a, out);
	tick_switch(a, t, out);
	tick_pairs(a, env->consent_ms ? env->consent_ms : CONSENT, t, out);
	tick_liveness(a, t, out);
	tick_probe(a, env, t, out);
}
