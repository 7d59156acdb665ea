// Wrong keys are paid for: known clients have a bucket for each address they ask from, all ids that nobody has share one of
// their address, and so do comparisons with the admin's key. What is judged is paid for before and given back when it was
// right, so no number of questions at a time gets past a limit.
//
// A wrong key of a known client empties the bucket of its address too, and a refusal looks the same whichever of the two
// was empty: else the buckets would tell which ids exist (D3).
#include <assert.h>

#include "controlplane/auth/auth_op.h"
#include "lib/base/log.h"

#define TELL_AGAIN_NS (10 * NS_PER_S) // lines in the log about one bucket

static const struct tokens_rate failure_rate = {AUTH_FAILURES, AUTH_FAILURES_PER_S};
static const struct tokens_rate guess_rate = {AUTH_FAILURES, AUTH_GUESSES_PER_S};

static ns_t op_now(const struct auth_op *op)
{
	return loop_now(op->auth->loop);
}

// The bucket of this client at this address. NULL: no room.
static struct source *op_pair(const struct auth_op *op)
{
	uint8_t key[AUTH_PAIR_LEN];

	auth_mac_pair(op->auth->secret, op->source->key, op->client, key);
	return sources_get(&op->auth->pairs, key, op_now(op));
}

bool auth_limit_may_guess(struct auth_op *op)
{
	op->is_guess = tokens_wait(&op->source->guesses, guess_rate, op_now(op)) == 0;
	op->was_not_compared = !op->is_guess;
	return op->is_guess;
}

void auth_limit_guessed(struct auth_op *op)
{
	if (op->is_guess)
		(void)tokens_take(&op->source->guesses, guess_rate, op_now(op));
	op->is_guess = false;
}

bool auth_limit_take(struct auth_op *op, const struct cred *cred)
{
	struct source *payer = cred ? op_pair(op) : op->source;

	assert(op->payer == NULL);
	if (cred == NULL)
		auth_limit_guessed(op); // a client's own key cannot be among these
	if (payer == NULL)
		return false;
	op->payer = payer;
	payer->n_refs++;
	// What was right before is heard, whoever else has used up the bucket in its name.
	if (cred && cred->verified_until != 0 && auth_mac_is_equal(cred->verified_mac, op->mac))
		return true;
	op->has_paid = tokens_take(&payer->failures, failure_rate, op_now(op));
	return op->has_paid;
}

void auth_limit_give(struct auth_op *op)
{
	if (op->has_paid)
		tokens_give(&op->payer->failures, failure_rate, op_now(op));
	if (op->payer)
		op->payer->n_refs--;
	op->payer = NULL;
	op->has_paid = false;
}

bool auth_limit_failed(struct auth_op *op)
{
	auth_limit_guessed(op);
	if (op->payer == op->source || op->payer == NULL) // has paid, or follows one who has
		return !op->was_not_compared;
	return tokens_take(&op->source->failures, failure_rate, op_now(op)) && !op->was_not_compared;
}

unsigned auth_limit_wait_s(const struct auth_op *op)
{
	ns_t now = op_now(op), wait = tokens_wait(&op->source->failures, failure_rate, now), other;

	other = op->payer ? tokens_wait(&op->payer->failures, failure_rate, now) : 0;
	wait = other > wait ? other : wait;
	other = op->was_not_compared ? tokens_wait(&op->source->guesses, guess_rate, now) : 0;
	wait = other > wait ? other : wait;
	return wait > NS_PER_S ? (unsigned)((wait + NS_PER_S - 1) / NS_PER_S) : 1;
}

void auth_limit_tell(struct auth_op *op)
{
	struct source *src = op->payer ? op->payer : op->source;
	ns_t now = op_now(op);

	if (src->told != 0 && now - src->told < TELL_AGAIN_NS)
		return;
	src->told = now;
	log_warn("auth: too many wrong keys from %s, the last one for client \"%s\": refused with 429",
		 op->address, op->client);
}
