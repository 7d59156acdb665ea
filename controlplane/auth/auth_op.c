#include "controlplane/auth/auth_op.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"

#define TEXT_LIMITED "authentication failed: too many failures"

void auth_op_free(struct auth_op *op)
{
	TAILQ_REMOVE(&op->auth->ops, op, link);
	assert(op->source == NULL || op->source->n_refs > 0);
	if (op->payer)
		op->payer->n_refs--;
	if (op->source)
		op->source->n_refs--;
	if (op->is_leading)
		map_del(op->auth->judged, (struct str){(const char *)op->mac, sizeof(op->mac)});
	loop_cancel(op->auth->loop, &op->timer);
	explicit_bzero(op->key, sizeof(op->key));
	free(op);
}

void auth_op_answer(struct auth_op *op, const struct auth_result *r)
{
	const char *result = r->who == AUTH_ADMIN    ? "admin"
			     : r->who == AUTH_CLIENT ? "client"
			     : r->status == 429      ? "limited"
						     : "refused";

	metric_add(op->auth->metrics, M_AUTH, METRIC_LABELS(str_of(result)), 1);
	if (!op->auth->is_ending)
		op->done(op->arg, r);
	auth_op_free(op);
}

void auth_op_refuse(struct auth_op *op, unsigned status, const char *error)
{
	auth_op_answer(op, &(struct auth_result){.status = status, .error = error});
}

void auth_op_refuse_busy(struct auth_op *op, const char *error)
{
	auth_limit_guessed(op);
	auth_limit_give(op);
	auth_op_answer(op, &(struct auth_result){.status = 503, .error = error, .retry_s = 1});
}

static void op_answer_limited(struct auth_op *op)
{
	auth_op_answer(op, &(struct auth_result){.status = 429,
						 .error = op->kind == OP_LOGIN ? "login failed: " TEXT_LIMITED
									       : TEXT_LIMITED,
						 .retry_s = auth_limit_wait_s(op)});
}

void auth_op_refuse_key(struct auth_op *op, const char *error)
{
	if (auth_limit_failed(op)) {
		auth_op_refuse(op, op->kind == OP_BASIC ? 401 : 400, error);
		return;
	}
	auth_limit_tell(op);
	op_answer_limited(op);
}

static void on_refusal_due(struct timer *t, ns_t)
{
	op_answer_limited(container_of(t, struct auth_op, timer));
}

void auth_op_refuse_unheard(struct auth_op *op)
{
	auth_limit_guessed(op);
	auth_limit_tell(op);
	op->timer.on_due = on_refusal_due;
	loop_arm_in(op->auth->loop, &op->timer, op->auth->judging);
}

void auth_op_accept(struct auth_op *op)
{
	auth_op_answer(op, &(struct auth_result){.who = AUTH_CLIENT, .client = str_of(op->client)});
}

struct auth_op *auth_op_new(struct auth *a, enum auth_op_kind kind, const struct http_source *from,
			    auth_done_fn done, void *arg)
{
	struct auth_op *op = calloc(1, sizeof(*op));

	if (op == NULL) {
		done(arg, &(struct auth_result){.status = 503, .error = "out of memory"});
		return NULL;
	}
	op->auth = a;
	op->kind = kind;
	op->done = done;
	op->arg = arg;
	TAILQ_INIT(&op->followers);
	TAILQ_INSERT_TAIL(&a->ops, op, link);
	if (from == NULL)
		return op;
	str_copy(str_of(from->text), op->address, sizeof(op->address));
	op->source = sources_get(&a->sources, from->key, loop_now(a->loop));
	if (op->source == NULL) {
		auth_op_refuse(op, 503, "too many operations");
		return NULL;
	}
	op->source->n_refs++;
	return op;
}

bool auth_op_set_client(struct auth_op *op, struct str client)
{
	return (client.len == 0 || memchr(client.p, 0, client.len) == NULL) &&
	       str_copy(client, op->client, sizeof(op->client));
}
