#include "lib/rtc/send/keyreq.h"

static ns_t ns_max(ns_t a, ns_t b)
{
	return a > b ? a : b;
}

void keyreq_ask(struct keyreq *k, uint32_t n_subscribers, ns_t now)
{
	if (!k->is_wanted)
		k->first = now;
	k->is_wanted = true;
	k->asked = now;
	k->n_subscribers = n_subscribers;
}

// Earliest time of the next request, whatever its cause.
static ns_t allowed_at(const struct keyreq *k)
{
	ns_t at = k->has_sent ? k->sent + KEYREQ_HOLD_NS : k->first;

	if (k->n_subscribers > KEYREQ_CROWD && k->has_sent)
		at = ns_max(at, k->budget - (KEYREQ_BUDGET_BURST - 1) * KEYREQ_BUDGET_NS);
	return at;
}

// Unanswered requests: max(2 RTT, 500 ms), then 1, 2, 4, 4 ... s.
static ns_t retry_at(const struct keyreq *k)
{
	ns_t first = ns_max(2 * k->rtt, KEYREQ_HOLD_NS), wait = first;

	for (unsigned i = 1; i < k->n_tries && wait < KEYREQ_MAX_RETRY_NS; i++)
		wait *= 2;
	return k->sent + (wait < KEYREQ_MAX_RETRY_NS ? wait : ns_max(first, KEYREQ_MAX_RETRY_NS));
}

ns_t keyreq_due(const struct keyreq *k)
{
	ns_t due = NS_NEVER;

	if (k->is_wanted)
		due = k->n_subscribers > KEYREQ_MANY ? k->first + KEYREQ_GATHER_NS : k->first;
	// A wish while a request is under way must not wait for the retry, nor hurry it.
	if (k->is_pending && retry_at(k) < due)
		due = retry_at(k);
	return due == NS_NEVER ? due : ns_max(due, allowed_at(k));
}

bool keyreq_poll(struct keyreq *k, ns_t rtt, bool is_needed, ns_t now)
{
	k->rtt = rtt > 0 ? rtt : 0;
	if (!is_needed) {
		k->is_pending = k->is_wanted = false;
		k->n_tries = 0;
	}
	if (now < keyreq_due(k))
		return false;
	k->budget = ns_max(k->budget, now) + KEYREQ_BUDGET_NS;
	k->sent = now;
	k->has_sent = true;
	k->is_wanted = false;
	k->is_pending = true;
	if (k->n_tries < UINT8_MAX)
		k->n_tries++;
	return true;
}

void keyreq_on_key(struct keyreq *k, ns_t arrival)
{
	// A wish from after its first packet came from somebody who did not get that packet.
	if (k->is_wanted && k->asked > arrival)
		return;
	k->is_wanted = false;
	if (k->has_sent && k->sent > arrival)
		return;
	k->is_pending = false;
	k->n_tries = 0;
}

bool keyreq_leg_allow(struct keyreq_leg *l, ns_t rtt, ns_t now)
{
	unsigned newest = (l->next + KEYREQ_LEG_MAX - 1) % KEYREQ_LEG_MAX;

	if (l->n > 0 && now - l->at[newest] < KEYREQ_LEG_GAP_NS + rtt)
		return false;
	if (l->n == KEYREQ_LEG_MAX && now - l->at[l->next] < KEYREQ_LEG_WINDOW_NS)
		return false;
	l->at[l->next] = now;
	l->next = (uint8_t)((l->next + 1) % KEYREQ_LEG_MAX);
	if (l->n < KEYREQ_LEG_MAX)
		l->n++;
	return true;
}

bool keyreq_leg_fir_is_new(struct keyreq_leg *l, uint8_t seq_nr)
{
	if (l->has_fir && (int8_t)(uint8_t)(seq_nr - l->fir_seq) <= 0)
		return false;
	l->fir_seq = seq_nr;
	l->has_fir = true;
	return true;
}
