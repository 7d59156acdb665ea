// Registering and unregistering clients.
#include <errno.h>
#include <string.h>

#include "controlplane/auth/auth_op.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

static void on_stored(void *arg, int rc)
{
	struct auth_op *op = arg;

	if (rc == 0) {
		log_notice("client %s registered", op->client);
		auth_op_accept(op);
	} else if (rc == -EEXIST) {
		auth_op_refuse(op, 400, "registration failed: already registered");
	} else {
		auth_op_refuse(op, 503, "registration failed: credential store not reachable");
	}
}

static void on_hashed(struct bcrypt_job *job)
{
	struct auth_op *op = container_of(job, struct auth_op, job);

	if (job->rc == -ETIMEDOUT)
		auth_op_refuse(op, 400, "registration failed: rate: Wait(n=1) would exceed context deadline");
	else if (job->rc < 0 || strlen(job->hash) != BCRYPT_HASH_LEN)
		auth_op_refuse(op, 400, "registration failed: bcrypt failed");
	else
		creds_put(op->auth->creds, op->client, job->hash, on_stored, op);
}

static void op_hash_new_key(struct auth_op *op)
{
	struct auth *a = op->auth;

	bcrypt_salt(op->job.setting, AUTH_BCRYPT_COST);
	memcpy(op->job.key, op->key, sizeof(op->key));
	op->job.done = on_hashed;
	if (bcrypt_submit(a->bcrypt, op->source->key, &op->job) < 0)
		auth_op_refuse(op, 400, "registration failed: rate: too many waiting");
}

static void on_checked_new(void *arg, int rc)
{
	struct auth_op *op = arg;

	if (rc == 0)
		auth_op_refuse(op, 400, "registration failed: already registered");
	else if (rc != -ENOENT)
		auth_op_refuse(op, 503, "registration failed: credential store not reachable");
	else
		op_hash_new_key(op);
}

// What is wrong with a new pair, in the order the answers are documented; NULL when nothing is.
static const char *registration_check(const char *client, const char *key)
{
	if (key == NULL || strlen(key) < AUTH_KEY_MIN)
		return "registration failed: key not long enough";
	if (client == NULL || client[0] == '\0')
		return "registration failed: error: empty key";
	if (strlen(client) > AUTH_ID_MAX)
		return "registration failed: failed to set key: error: key too large";
	if (strlen(key) > AUTH_KEY_MAX)
		return "registration failed: bcrypt: password length exceeds 72 bytes";
	return NULL;
}

static void op_refuse_many(struct auth_op *op)
{
	ns_t wait = source_register_wait(op->source, loop_now(op->auth->loop));

	log_warn("auth: %s registers too many clients; api.security.register_per_min allows %u a minute",
		 op->address, op->auth->conf->api.register_per_min);
	auth_op_answer(op, &(struct auth_result){
				   .status = 429,
				   .error = "registration failed: too many registrations from this address",
				   .retry_s = (unsigned)(wait / NS_PER_S) + 1});
}

void auth_register(struct auth *a, const struct http_source *from, const char *client, const char *key,
		   auth_done_fn done, void *arg)
{
	struct auth_op *op = auth_op_new(a, OP_REGISTER, from, done, arg);
	const char *wrong = registration_check(client, key);

	if (op == NULL)
		return;
	if (wrong != NULL) {
		auth_op_refuse(op, 400, wrong);
		return;
	}
	auth_op_set_client(op, str_of(client));
	str_copy(str_of(key), op->key, sizeof(op->key));
	if (creds_find(a->creds, op->client) != NULL) {
		auth_op_refuse(op, 400, "registration failed: already registered");
	} else if (!source_may_register(op->source, a->conf->api.register_per_min, loop_now(a->loop))) {
		op_refuse_many(op);
	} else if (creds_count(a->creds) >= a->conf->api.max_clients) {
		log_warn("auth: %zu clients are registered, api.security.max_clients allows no more",
			 creds_count(a->creds));
		auth_op_refuse(op, 403, "registration failed: too many clients");
	} else {
		creds_look_up(a->creds, op->client, on_checked_new, op);
	}
}

static void on_removed(void *arg, int rc)
{
	struct auth_op *op = arg;

	if (rc == 0) {
		log_notice("client %s unregistered", op->client);
		auth_op_accept(op);
	} else if (rc == -ENOENT) {
		auth_op_refuse(op, 400, "unregister failed: error: not found");
	} else {
		auth_op_refuse(op, 503, "unregister failed: credential store not reachable");
	}
}

void auth_unregister(struct auth *a, const char *client, auth_done_fn done, void *arg)
{
	struct auth_op *op = auth_op_new(a, OP_UNREGISTER, NULL, done, arg);

	if (op == NULL)
		return;
	if (strlen(client) > AUTH_ID_MAX || !auth_op_set_client(op, str_of(client)))
		auth_op_refuse(op, 400, "unregister failed: error: not found");
	else
		creds_remove(a->creds, op->client, on_removed, op);
}
