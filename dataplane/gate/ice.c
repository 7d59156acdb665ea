#include "dataplane/gate/ice.h"

#include <string.h>

#include <rte_jhash.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/media/bwe.h"
#include "lib/rtc/wire/stun.h"

// What icelite drops, by our names.
static const uint8_t verdict_drop[ICELITE_N_VERDICTS] = {
	[ICELITE_DROP_METHOD] = DROP_STUN_NOT_BINDING,
	[ICELITE_DROP_FINGERPRINT] = DROP_STUN_FINGERPRINT,
	[ICELITE_DROP_USERNAME] = DROP_STUN_REMOTE_UFRAG,
	[ICELITE_DROP_RATE] = DROP_STUN_RATE,
	[ICELITE_DROP_INTEGRITY] = DROP_STUN_BAD_INTEGRITY,
	[ICELITE_DROP_REPLAY] = DROP_STUN_REPLAY_SRC,
	[ICELITE_DROP_PAIRS] = DROP_STUN_NO_PAIR,
};

static struct icelite_tuple tuple_of(const struct flow_key *key)
{
	struct icelite_tuple t = {.family = key->family,
				  .proto = key->conn ? 6 : 17,
				  .port = key->remote_port,
				  .conn = key->conn};

	memcpy(t.ip, key->remote, sizeof(t.ip));
	t.local = rte_jhash(key->local, sizeof(key->local), (uint32_t)key->port << 16 | key->local_port);
	return t;
}

int ice_pair(const struct session *s, const struct flow_key *key)
{
	for (int i = 0; i < ICELITE_PAIRS; i++)
		if (memcmp(&s->pair_path[i].key, key, sizeof(*key)) == 0)
			return i;
	return -1;
}

static int pair_of_tuple(const struct session *s, const struct icelite_tuple *t)
{
	for (int i = 0; i < ICELITE_PAIRS; i++) {
		struct icelite_tuple have = tuple_of(&s->pair_path[i].key);
		if (memcmp(&have, t, sizeof(have)) == 0)
			return i;
	}
	return -1;
}

struct flow ice_route(struct worker *w, struct rte_mbuf *m, struct flow by_address)
{
	struct stun_msg msg;
	struct str left, right;
	struct flow flow = {};

	if (stun_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &msg) < 0) {
		count(w, DROP_STUN_MALFORMED, 1);
		return (struct flow){};
	}
	if (msg.cls != STUN_REQUEST) {
		if (by_address.sid == 0)
			count(w, DROP_STUN_NO_TRANSACTION, 1);
		return by_address;
	}
	if (by_address.sid == 0 && strangers_over(&w->strangers, &pkt_of(m)->key, w->now)) {
		count(w, DROP_STUN_SOURCE_RATE, 1);
		return (struct flow){};
	}
	if (stun_username(&msg, &left, &right) && left.len == IPC_UFRAG_LEN)
		flow = ufrag_find(w->dp, left.p);
	if (flow.sid == 0) {
		strangers_failed(&w->strangers, &pkt_of(m)->key, w->now);
		count(w, DROP_STUN_UNKNOWN_UFRAG, 1);
	}
	return flow;
}

void ice_refresh(struct session *s)
{
	const struct icelite_pair *sel = icelite_path(&s->ice);

	if (sel == NULL || s->ice.liveness == ICELITE_LOST || s->ice.liveness == ICELITE_NO_PATH)
		s->send = SEND_NOT;
	else
		s->send = sel->is_proven ? SEND_FREE : SEND_ASK;
}

// --- events of icelite ---------------------------------------------------------------------------

// A port that keeps connections hears who uses them: after each check, so that a message may be lost.
static void tell_port(struct worker *w, const struct flow_key *key, uint32_t sid, bool is_bound)
{
	struct port *port = w->dp->port[key->port];

	if (port->ops->bind)
		port->ops->bind(port, w->id, key, sid, is_bound);
}

static void close_pair(struct worker *w, const struct flow_key *key, uint32_t sid)
{
	flow_del(w->dp, key, sid);
	tell_port(w, key, sid, false);
}

static void unbind_pairs(struct worker *w, struct session *s, const struct icelite_out *out)
{
	for (unsigned i = 0; i < out->n_gone; i++) {
		int pair = pair_of_tuple(s, &out->gone[i]);
		if (pair < 0)
			continue;
		close_pair(w, &s->pair_path[pair].key, s->sid);
		if (s->dtls_to == pair + 1)
			s->dtls_to = DTLS_PAIR_GONE;
		memset(&s->pair_path[pair], 0, sizeof(s->pair_path[pair]));
	}
}

static void bind_pair(struct worker *w, struct session *s, unsigned pair, struct rte_mbuf *m)
{
	const struct flow_key *key = &pkt_of(m)->key;
	struct port *port = w->dp->port[key->port];

	port->ops->path_fill(port, m, &s->pair_path[pair]);
	flow_add(w->dp, key, (struct flow){.sid = s->sid, .home = s->home, .pair = (uint8_t)pair});
}

static void note_path(struct worker *w, struct session *s)
{
	const struct icelite_pair *sel = icelite_path(&s->ice);
	struct note note = {.type = NOTE_PATH, .sid = s->sid};

	if (sel != NULL) {
		note.path.key = s->path.key;
		note.path.nominated = sel->is_nominated;
	}
	s->owed &= (uint8_t)~OWED_PATH;
	if (!note_post(w, &note))
		s->owed |= OWED_PATH;
}

static void note_liveness(struct worker *w, struct session *s)
{
	struct note note = {.type = NOTE_LIVENESS, .sid = s->sid, .liveness = s->ice.liveness};

	s->owed &= (uint8_t)~OWED_LIVENESS;
	if (!note_post(w, &note))
		s->owed |= OWED_LIVENESS;
}

void ice_pay(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	if (s->owed & OWED_PATH)
		note_path(w, s);
	if (s->owed & OWED_LIVENESS)
		note_liveness(w, s);
}

static void select_path(struct worker *w, struct session *s)
{
	if (icelite_path(&s->ice) != NULL) {
		const struct path *path = &s->pair_path[s->ice.selected];
		bool is_other =
			s->path.key.family != 0 && memcmp(&path->key, &s->path.key, sizeof(path->key)) != 0;

		s->path = *path;
		count(w, CTR_PATHS_SELECTED, 1);
		if (is_other)
			bwe_path_changed(w, s);
	}
	note_path(w, s);
}

void ice_prove(struct worker *w, struct session *s)
{
	ASSERT_HOME(w, s);
	if (s->send != SEND_ASK || s->tx_key == NULL)
		return;
	s->ice_due = w->now;
	session_due(w, s, w->now);
}

static void send_probe(struct worker *w, struct session *s, const struct icelite_out *out)
{
	int pair = pair_of_tuple(s, &out->to);
	struct rte_mbuf *m = pair < 0 ? NULL : worker_packet(w, out->reply, out->reply_len);

	if (m == NULL)
		return;
	count(w, CTR_STUN_PROBES, 1);
	worker_send(w, &s->pair_path[pair], m);
}

void ice_apply(struct worker *w, struct session *s, const struct icelite_out *out, struct rte_mbuf *m)
{
	ASSERT_HOME(w, s);
	if (out->events & (ICELITE_EV_PAIR_GONE | ICELITE_EV_PATH))
		worker_send_queued(w); // what was allowed to go to the old address goes there
	if (out->events & ICELITE_EV_PAIR_GONE)
		unbind_pairs(w, s, out); // before PAIR_NEW, which may reuse the slot
	if ((out->events & ICELITE_EV_PAIR_NEW) && m != NULL)
		bind_pair(w, s, out->pair_new, m);
	if (out->events & ICELITE_EV_PATH) {
		select_path(w, s);
		ice_prove(w, s);
	}
	if (out->events & ICELITE_EV_LIVENESS) {
		count(w, CTR_CONSENT_LOST, s->ice.liveness == ICELITE_LOST);
		note_liveness(w, s);
	}
	if (out->events & ICELITE_EV_CREDS_GONE) {
		struct note note = {.type = NOTE_UFRAG_GONE, .sid = s->sid};
		memcpy(note.ufrag, out->gone_ufrag, sizeof(note.ufrag));
		note_post(w, &note);
	}
	if (out->events & ICELITE_EV_SEND)
		send_probe(w, s, out);
	ice_refresh(s);
}

void ice_on_media(struct worker *w, struct session *s, unsigned pair, bool is_newer)
{
	struct icelite_out out;

	ASSERT_HOME(w, s);
	ASSERT_HOT(pair < ICELITE_PAIRS);
	out.events = 0;
	icelite_on_media(&s->ice, pair, is_newer, w->now, &out);
	if (out.events)
		ice_apply(w, s, &out, NULL);
}

// --- one message ----------------------------------------------------------------------------------

// An error response may go to an address that is no pair: send it at once, on a path of this call only.
static void reply_to(struct worker *w, struct rte_mbuf *rx, int pair, struct session *s,
		     const struct icelite_out *out)
{
	const struct flow_key *key = &pkt_of(rx)->key;
	struct port *port = w->dp->port[key->port];
	struct rte_mbuf *m = worker_packet(w, out->reply, out->reply_len);
	struct path here;
	const struct path *to = &here;

	if (m == NULL)
		return;
	if (pair >= 0) {
		worker_send(w, &s->pair_path[pair], m);
		return;
	}
	port->ops->path_fill(port, rx, &here);
	port->ops->tx(port, w->id, &m, &to, 1);
}

// Layer-2 addresses and queue may have changed without the flow's key changing.
static void relearn_path(struct worker *w, struct session *s, int pair, struct rte_mbuf *m)
{
	struct port *port = w->dp->port[pkt_of(m)->key.port];
	struct path now;

	port->ops->path_fill(port, m, &now);
	if (memcmp(&now, &s->pair_path[pair], sizeof(now)) == 0)
		return;
	s->pair_path[pair] = now;
	if (pair == s->ice.selected)
		s->path = now;
}

// Behind our reply, so that the pair is valid at the client when it comes.
static void check_back(struct worker *w, struct session *s, unsigned pair)
{
	struct icelite_out out;

	icelite_check_back(&s->ice, &w->ice, pair, w->now, &out);
	if (out.events & ICELITE_EV_SEND)
		send_probe(w, s, &out);
}

void ice_input(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	const struct flow_key *key = &pkt_of(m)->key;
	struct icelite_tuple from = tuple_of(key);
	struct icelite_out out;
	struct stun_msg msg;
	enum icelite_verdict verdict;
	int pair;

	ASSERT_HOME(w, s);
	if (stun_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &msg) < 0) {
		drop(w, m, DROP_STUN_MALFORMED);
		return;
	}
	// Again on the home worker: it is the one that spends the HMACs and sees them fail.
	if (icelite_find(&s->ice, &from) < 0 && strangers_over(&w->strangers, key, w->now)) {
		drop(w, m, DROP_STUN_SOURCE_RATE);
		return;
	}
	verdict = icelite_on_stun(&s->ice, &w->ice, &msg, &from, w->now, &out);
	ice_apply(w, s, &out, m);
	if (verdict != ICELITE_REPLY && verdict != ICELITE_OK) {
		if (verdict == ICELITE_DROP_INTEGRITY)
			strangers_failed(&w->strangers, key, w->now);
		drop(w, m, verdict_drop[verdict]);
		return;
	}
	pair = icelite_find(&s->ice, &from);
	if (pair >= 0) {
		icelite_on_rx(&s->ice, (unsigned)pair, m->data_len);
		if (flow_find(w->dp, key).sid != s->sid) // another session had the address before
			flow_add(w->dp, key,
				 (struct flow){.sid = s->sid, .home = s->home, .pair = (uint8_t)pair});
		relearn_path(w, s, pair, m);
		tell_port(w, key, s->sid, true);
	}
	count(w, CTR_STUN_REQUESTS, verdict == ICELITE_REPLY);
	if (verdict == ICELITE_REPLY && out.reply_len > 0) {
		count(w, be16_get(out.reply) == 0x0101 ? CTR_STUN_RESPONSES : CTR_STUN_ERRORS, 1);
		reply_to(w, m, pair, s, &out);
		if (pair >= 0)
			check_back(w, s, (unsigned)pair);
	}
	mbuf_done(m);
}

void ice_gone(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	struct icelite_out out;

	ASSERT_HOME(w, s);
	icelite_on_gone(&s->ice, pkt_of(m)->pair, w->now, &out);
	ice_apply(w, s, &out, NULL);
	mbuf_done(m);
}

void ice_creds(struct worker *w, struct session *s, const struct ipc_session_ice *c)
{
	struct str remote_ufrag = {c->remote_ufrag, RTE_MIN(c->remote_ufrag_len, sizeof(c->remote_ufrag))};
	struct str remote_pwd = {c->remote_pwd, strnlen(c->remote_pwd, sizeof(c->remote_pwd))};
	struct icelite_out out = {};

	ASSERT_HOME(w, s);
	// A remote value that icelite cannot keep leaves the session as it was.
	if (icelite_set_creds(&s->ice, c->ufrag, c->pwd, remote_ufrag, remote_pwd, &out) == 0)
		ice_apply(w, s, &out, NULL);
}

void ice_close(struct worker *w, struct session *s)
{
	static const struct flow_key none;

	ASSERT_HOME(w, s);
	for (unsigned i = 0; i < ICELITE_PAIRS; i++)
		if (memcmp(&s->pair_path[i].key, &none, sizeof(none)) != 0)
			close_pair(w, &s->pair_path[i].key, s->sid);
}
