#include "controlplane/auth/auth_op.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void auth_op_free(struct auth_op *op)
{
	TAILQ_REMOVE(&op->auth->ops, op, link);
	assert(op->source == NULL || op->source->n_refs > 0);
	if (op->source)
		op->source->n_refs--;
	explicit_bzero(op->key, sizeof(op->key));
	free(op);
}

void auth_op_answer(struct auth_op *op, const struct auth_result *r)
{
	const char *result = r->who == AUTH_NOBODY ? "refused" : r->who == AUTH_ADMIN ? "admin" : "client";

	metric_add(op->auth->metrics, M_AUTH, METRIC_LABELS(str_of(result)), 1);
	if (!op->auth->is_ending)
		op->done(op->arg, r);
	auth_op_free(op);
}

void auth_op_refuse(struct auth_op *op, unsigned status, const char *error)
{
	auth_op_answer(op, &(struct auth_result){.status = status, .error = error});
}

void auth_op_refuse_key(struct auth_op *op, const char *error)
{
	if (op->source)
		source_failed(&op->auth->sources, op->source, loop_now(op->auth->loop));
	auth_op_refuse(op, op->kind == OP_BASIC ? 401 : 400, error);
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
	TAILQ_INSERT_TAIL(&a->ops, op, link);
	if (from == NULL)
		return op;
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
