// The reconciler: wanted tracks, the signaling lock, and when an offer is made.
//
// Invariants: at most one offer is pending; the server holds the lock exactly while it is (but for ICE
// restarts, which do not wait for a client that holds it); a leg is up only when line->leg points to it and
// line->agreed_ssrc is its SSRC. Placing legs on lines happens only when an offer is made, so what is
// wanted and unwanted in between costs nothing.
//
// After a time-out the peer may or may not have applied the offer. So its new lines stay in the list
// (`proposed`) and in later offers, as an offer may never have fewer m-lines than one the peer knows; an
// offer of the peer tells whether it knows them. An SSRC that was offered on one line is never offered on
// another: the track gets a new one.
#include "controlplane/negotiate/negotiate_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"

const char *negotiate_type_name(enum negotiate_type type)
{
	static const char *const names[] = {[TYPE_VOICE] = "voice",
					    [TYPE_SCREEN] = "screen",
					    [TYPE_SCREEN_AUDIO] = "screen-audio",
					    [TYPE_VIDEO] = "video"};
	return names[type];
}

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

// --- life ----------------------------------------------------------------------------------------

struct negotiate *negotiate_new(const struct negotiate_conf *conf, const struct negotiate_ice *local,
				const struct negotiate_ops *ops, void *arg)
{
	struct negotiate *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return err_null(ENOMEM);
	n->conf = conf;
	n->ops = ops;
	n->arg = arg;
	n->local = *local;
	n->fingerprint = conf->fingerprint;
	n->data_line = -1;
	TAILQ_INIT(&n->legs);
	n->origin_id = rand_u64() >> 1;
	n->ssrc_key = rand_u64();
	n->pt_opus = 111;
	n->pt_vp8 = 96;
	n->pt_vp8_rtx = 97;
	n->pt_av1 = 45;
	n->pt_av1_rtx = 46;
	n->offer_at = NS_NEVER;
	return n;
}

void negotiate_free(struct negotiate *n)
{
	struct leg *l, *next;

	if (n == NULL)
		return;
	TAILQ_EACH_SAFE (l, &n->legs, link, next)
		free(l);
	for (unsigned i = 0; i < n->n_lines; i++)
		free(n->lines[i].up);
	free(n->lines);
	explicit_bzero(&n->local, sizeof(n->local));
	explicit_bzero(n->peer_pwd, sizeof(n->peer_pwd));
	free(n);
}

// --- wanting -------------------------------------------------------------------------------------

static struct leg *leg_find(const struct negotiate *n, struct negotiate_key key)
{
	struct leg *l;

	TAILQ_FOREACH (l, &n->legs, link)
		if (l->key.sid == key.sid && l->key.track == key.track)
			return l;
	return NULL;
}

// Characters that may stand in a msid, so that no session id can add a line to a description.
static bool id_is_valid(struct str s, size_t max)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || memchr("\"(),/:;<=>?@[\\]", s.p[i], 15) != NULL)
			return false;
	return s.len > 0 && s.len <= max;
}

static bool want_is_valid(const struct negotiate_want *w)
{
	bool audio = w->codec == CODEC_OPUS, video = w->codec == CODEC_VP8 || w->codec == CODEC_AV1;

	if (w->type > TYPE_VIDEO || !id_is_valid(w->session_id, NEGOTIATE_MAX_ID) ||
	    !id_is_valid(w->track_suffix, 16))
		return false;
	return w->type == TYPE_SCREEN || w->type == TYPE_VIDEO ? video : audio;
}

int negotiate_want(struct negotiate *n, const struct negotiate_want *w, ns_t now)
{
	struct leg *l = leg_find(n, w->key);

	if (l != NULL) {
		l->confirmed = true;
		return 0;
	}
	if (!want_is_valid(w))
		return -EINVAL;
	if (w->codec != CODEC_OPUS && !n->conf->video)
		return -ENOTSUP;
	if (n->n_legs == NEGOTIATE_MAX_WANTS) {
		n->starved = true;
		return -ENOSPC;
	}
	l = calloc(1, sizeof(*l) + w->session_id.len + w->track_suffix.len);
	if (l == NULL)
		return -ENOMEM;
	l->key = w->key;
	l->type = (uint8_t)w->type;
	l->codec = w->codec;
	l->line = l->offered_line = -1;
	l->confirmed = true;
	l->id_len = (uint8_t)w->session_id.len;
	l->suffix_len = (uint8_t)w->track_suffix.len;
	memcpy(l->text, w->session_id.p, w->session_id.len);
	memcpy(l->text + l->id_len, w->track_suffix.p, w->track_suffix.len);
	TAILQ_INSERT_TAIL(&n->legs, l, link);
	n->n_legs++;
	offer_soon(n, now);
	return 0;
}

bool negotiate_has_offered(const struct negotiate *n, uint8_t codec)
{
	return n->offered_codecs >> codec & 1;
}

bool negotiate_takes(const struct negotiate *n, uint8_t codec)
{
	if (codec == CODEC_OPUS)
		return true;
	if (!n->conf->video || (n->refused_codecs >> codec & 1))
		return false;
	return n->offered_codecs == 0 || (n->offered_codecs >> codec & 1);
}

static void leg_forget(struct negotiate *n, struct leg *l, ns_t now)
{
	leg_drop(n, l);
	TAILQ_REMOVE(&n->legs, l, link);
	n->n_legs--;
	free(l);
	offer_soon(n, now);
	if (n->starved && n->n_legs <= NEGOTIATE_MAX_WANTS * 3 / 4) {
		n->starved = false;
		if (n->ops->room)
			n->ops->room(n->arg);
	}
}

void negotiate_unwant(struct negotiate *n, struct negotiate_key key, ns_t now)
{
	struct leg *l = leg_find(n, key);

	if (l != NULL)
		leg_forget(n, l, now);
}

void negotiate_unwant_session(struct negotiate *n, uint32_t sid, ns_t now)
{
	struct leg *l, *next;

	TAILQ_EACH_SAFE (l, &n->legs, link, next)
		if (l->key.sid == sid)
			leg_forget(n, l, now);
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

	legs_place(n);
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
		struct leg *l = n->lines[i].leg;
		if (l && !l->up)
			leg_drop(n, l);
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
		struct leg *leg = l->leg;

		if (l->rejected || l->kind == SDP_DATA)
			continue;
		if (l->proposed)
			l->peer_dir = SDP_RECVONLY;
		l->proposed = false;
		l->agreed_ssrc = l->offered_dir & SDP_SENDONLY ? l->offered_ssrc : 0;
		if (leg && !leg->up && leg->ssrc == l->agreed_ssrc && leg->ssrc != 0)
			leg_start(n, leg);
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

// --- questions -----------------------------------------------------------------------------------

bool negotiate_established(const struct negotiate *n)
{
	return n->established;
}

bool negotiate_settled(const struct negotiate *n)
{
	return !n->pending && !offer_needed(n);
}

void negotiate_stats(const struct negotiate *n, struct negotiate_stats *out)
{
	*out = n->stats;
}

uint32_t negotiate_version(const struct negotiate *n)
{
	return n->version;
}

void negotiate_each_leg(const struct negotiate *n, void (*fn)(void *arg, const struct negotiate_leg *),
			void *arg)
{
	struct negotiate_leg view;
	struct leg *l;

	TAILQ_FOREACH (l, &n->legs, link) {
		if (l->up) {
			leg_view(n, l, &view);
			fn(arg, &view);
		}
	}
}

void negotiate_each_upstream(const struct negotiate *n,
			     void (*fn)(void *arg, const struct negotiate_upstream *), void *arg)
{
	struct negotiate_upstream view;

	for (unsigned i = 0; i < n->n_lines; i++) {
		if (n->lines[i].up) {
			upstream_view(&n->lines[i], &view);
			fn(arg, &view);
		}
	}
}

void negotiate_extmap(const struct negotiate *n, uint8_t id[IPC_N_EXTS])
{
	memcpy(id, n->ext_id, IPC_N_EXTS);
}

void transport_view(const struct negotiate *n, struct negotiate_transport *out)
{
	*out = (struct negotiate_transport){.ufrag = str_of(n->peer_ufrag),
					    .pwd = str_of(n->peer_pwd),
					    .fingerprint = &n->peer_fingerprint,
					    .we_are_dtls_client = n->dtls_client,
					    .has_data = n->data_line >= 0,
					    .max_message_size = n->peer_max_message};
}

bool negotiate_transport(const struct negotiate *n, struct negotiate_transport *out)
{
	transport_view(n, out);
	return n->established;
}

void negotiate_load_done(struct negotiate *n, ns_t now)
{
	struct leg *l, *next;

	TAILQ_EACH_SAFE (l, &n->legs, link, next)
		if (!l->confirmed)
			leg_forget(n, l, now);
	// The client may have got the lock from the process that died, and not know better than to offer.
	if (n->established) {
		n->lock = LOCK_CLIENT;
		n->lock_assumed = true;
		n->lock_until = now + 2 * NS_PER_S;
	}
	offer_soon(n, now);
}
