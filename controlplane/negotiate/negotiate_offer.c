// The reconciler: when an offer is made, and who holds the signaling lock.
//
// Invariants: at most one offer is pending; the server holds the lock exactly while it is (but for ICE
// restarts, which do not wait for a client that holds it); a leg is up only when line->wanted points to it and
// line->agreed_ssrc is its SSRC. Placing legs on lines happens only when an offer is made, so what is
// wanted and unwanted in between costs nothing.
//
// After a time-out the peer may or may not have applied the offer. So its new lines stay in the list
// (`proposed`) and in later offers, as an offer may never have fewer m-lines than one the peer knows; an
// offer of the peer tells whether it knows them. An SSRC that was offered on one line is never offered on
// another: the track gets a new one.
#include "controlplane/negotiate/negotiate_priv.h"

#include <assert.h>
#include <errno.h>

// --- settings ------------------------------------------------------------------------------------

static ns_t or_default(ns_t value, ns_t def)
{
	return value > 0 ? value : def;
}

ns_t negotiate_coalesce(const struct negotiate *n)
{
	return or_default(n->conf->coalesce, 120 * NS_PER_MS);
}

ns_t negotiate_lock_lease(const struct negotiate *n)
{
	return or_default(n->conf->lock_lease, 10 * NS_PER_S);
}

// --- the lock and the clock ----------------------------------------------------------------------

void offer_soon(struct negotiate *n, ns_t now)
{
	if (n->offer_at == NS_NEVER)
		n->offer_at = now + negotiate_coalesce(n);
}

void offer_settle(struct negotiate *n, ns_t now)
{
	n->pending = false;
	if (n->lock == LOCK_SERVER)
		n->lock = LOCK_FREE;
	// A client that was refused meanwhile asks again after 50 or 100 ms and a round trip: let it in first,
	// or somebody who wants to unmute starves among the offers of a call that everybody joins.
	n->hold_until = now + negotiate_coalesce(n) * (n->client_waits ? 5 : 1);
	n->client_waits = false;
	n->offer_at = NS_NEVER;
	offer_soon(n, now);
	n->version++;
}

static void offer_make(struct negotiate *n, ns_t now)
{
	uint8_t exts = 0;

	assert(n->established && !n->pending);
	wanted_place(n);
	for (unsigned i = 0; i < n->n_lines; i++)
		exts |= n->lines[i].exts;
	extmap_fill(n, exts);
	n->offer_at = NS_NEVER;
	if (!offer_needed(n))
		return; // placing failed: no memory
	if (offer_send(n) < 0) {
		offer_soon(n, now);
		return;
	}
	if (n->lock != LOCK_CLIENT)
		n->lock = LOCK_SERVER;
	n->pending = true;
	n->answer_until = now + (n->assumes ? NS_PER_S : or_default(n->conf->answer_timeout, 10 * NS_PER_S));
	n->stats.offers_out++;
	n->version++;
}

// Lines keep what was offered on them, so that the next offer says the same as far as it is still wanted.
static void offer_rollback(struct negotiate *n, ns_t now)
{
	for (unsigned i = 0; i < n->n_lines; i++) {
		struct wanted *l = n->lines[i].wanted;
		if (l && !l->up)
			wanted_drop(n, l);
		n->lines[i].offered_ssrc = 0;
	}
	offer_settle(n, now);
}

void negotiate_assume_answers(struct negotiate *n)
{
	n->assumes = true;
}

// A client takes every voice that it is offered. Should it have failed, it drops what comes for an SSRC it does
// not know.
static void offer_assume_taken(struct negotiate *n, ns_t now)
{
	for (unsigned i = 0; i < n->n_lines; i++) {
		struct line *l = &n->lines[i];
		struct wanted *wanted = l->wanted;

		if (l->rejected || l->kind == SDP_DATA)
			continue;
		if (l->proposed)
			l->peer_dir = SDP_RECVONLY;
		l->proposed = false;
		l->agreed_ssrc = l->offered_dir & SDP_SENDONLY ? l->offered_ssrc : 0;
		if (wanted && !wanted->up && wanted->ssrc == l->agreed_ssrc && wanted->ssrc != 0)
			wanted_start(n, wanted);
	}
	n->restarting = false;
	offer_settle(n, now);
}

static void lock_expire(struct negotiate *n, ns_t now)
{
	if (n->lock == LOCK_CLIENT && now >= n->lock_until) {
		n->lock = LOCK_FREE;
		n->stats.leases_expired += !n->lock_assumed;
		n->lock_assumed = false;
	}
}

void negotiate_tick(struct negotiate *n, ns_t now)
{
	lock_expire(n, now);
	if (n->pending && now >= n->answer_until) {
		n->stats.answer_timeouts++;
		if (n->assumes)
			offer_assume_taken(n, now);
		else
			offer_rollback(n, now);
	}
	if (n->pending || !n->established || !(n->ready || n->restarting) || now < n->offer_at)
		return;
	if (!offer_needed(n)) {
		n->offer_at = NS_NEVER;
		return;
	}
	if (n->restarting || (n->lock == LOCK_FREE && now >= n->hold_until))
		offer_make(n, now);
}

ns_t negotiate_next_due(const struct negotiate *n)
{
	if (n->pending)
		return n->answer_until;
	if (n->offer_at == NS_NEVER || !n->established || !(n->ready || n->restarting))
		return NS_NEVER;
	if (n->restarting)
		return n->offer_at;
	if (n->lock == LOCK_CLIENT)
		return n->lock_until > n->offer_at ? n->lock_until : n->offer_at;
	return n->hold_until > n->offer_at ? n->hold_until : n->offer_at;
}

bool negotiate_lock(struct negotiate *n, ns_t now)
{
	lock_expire(n, now);
	if (n->lock != LOCK_FREE && !n->lock_assumed) {
		n->stats.locks_refused++;
		n->client_waits = n->lock == LOCK_SERVER;
		return false;
	}
	n->client_waits = n->lock_assumed = false;
	n->hold_until = now; // it has had its turn
	n->lock = LOCK_CLIENT;
	n->lock_until = now + negotiate_lock_lease(n);
	return true;
}

void negotiate_unlock(struct negotiate *n, ns_t now)
{
	if (n->lock != LOCK_CLIENT) {
		n->stats.foreign_unlocks++;
		return;
	}
	n->lock = LOCK_FREE;
	n->lock_assumed = false;
	negotiate_tick(n, now); // what waited for the lock goes before the client's next request
}

void negotiate_ready(struct negotiate *n, bool ready, ns_t now)
{
	n->ready = ready;
	if (ready)
		offer_soon(n, now);
}

int negotiate_restart_ice(struct negotiate *n, const struct negotiate_ice *ice, ns_t now)
{
	if (!n->established)
		return -EAGAIN;
	if (n->pending) { // its answer fits the next offer too, when the credentials are the same
		n->reassert |= strcmp(n->local.ufrag, ice->ufrag) != 0;
		offer_rollback(n, now);
	}
	n->local = *ice;
	n->restarting = true;
	n->version++;
	n->offer_at = now;
	offer_make(n, now);
	return 0;
}

bool negotiate_restarts(const struct negotiate *n)
{
	return n->restarting;
}
