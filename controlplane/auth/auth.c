// Every question is one struct auth_op that walks through its steps: find the credential (memory, then the shared
// store), hash off the loop, answer. An op dies with its answer. Unknown ids are hashed too, against a dummy,
// so that neither text nor time tells them from wrong keys (D3).
#include "controlplane/auth/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "controlplane/auth/auth_op.h"
#include "controlplane/auth/creds.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define TEXT_FAILED "authentication failed"
#define TEXT_AWAY "authentication failed: credential store not reachable"

static bool is_admin_key(const struct auth *a, struct str key)
{
	uint8_t mac[AUTH_MAC_LEN];

	if (!a->conf->api.enable_admin || key.len == 0)
		return false;
	auth_mac_admin(a->secret, key, mac);
	return auth_mac_is_equal(mac, a->admin_mac);
}

// --- verification ----------------------------------------------------------------------------------------
static void op_log_in(struct auth_op *op)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char token[AUTH_TOKEN_LEN + 1], hash[CREDS_TOKEN_HASH_LEN + 1];
	int64_t expires = time(NULL) + 60 * (int64_t)op->auth->conf->api.session_expiration_min;

	rand_text(token, AUTH_TOKEN_LEN, alphabet);
	auth_hash_token(str_of(token), hash);
	if (creds_put_token(op->auth->creds, op->client, hash, expires) < 0) {
		auth_op_refuse(op, 400, "login failed: can not cache: out of memory");
		return;
	}
	auth_op_answer(
		op, &(struct auth_result){.who = AUTH_CLIENT, .client = str_of(op->client), .token = token});
	explicit_bzero(token, sizeof(token));
}

static void op_verified(struct auth_op *op)
{
	if (op->kind == OP_LOGIN)
		op_log_in(op);
	else
		auth_op_accept(op);
}

static void on_verified(struct bcrypt_job *job)
{
	struct auth_op *op = container_of(job, struct auth_op, job);
	struct auth *a = op->auth;
	struct cred *cred = creds_find(a->creds, op->client);
	bool ok = job->rc == 0 && op->is_known && bcrypt_matches(job);

	// The credential may have been removed or replaced meanwhile.
	ok = ok && cred != NULL && strcmp(cred->hash, job->setting) == 0;
	if (!ok) {
		auth_op_refuse_key(op, op->kind == OP_LOGIN ? "login failed: " TEXT_FAILED : TEXT_FAILED);
		return;
	}
	memcpy(cred->verified_mac, op->mac, sizeof(op->mac));
	cred->verified_until = loop_now(a->loop) + AUTH_VERIFIED_NS;
	op_verified(op);
}

// Hash against what is known of the client, or against the dummy.
static void op_verify(struct auth_op *op)
{
	struct auth *a = op->auth;
	const struct cred *cred = creds_find(a->creds, op->client);

	op->is_known = cred != NULL;
	snprintf(op->job.setting, sizeof(op->job.setting), "%s", cred ? cred->hash : a->dummy);
	memcpy(op->job.key, op->key, sizeof(op->key));
	op->job.done = on_verified;
	if (bcrypt_submit(a->bcrypt, op->source->key, &op->job) < 0)
		auth_op_refuse(op, op->kind == OP_BASIC ? 401 : 400,
			       op->kind == OP_LOGIN
				       ? "login failed: authentication failed: rate: too many waiting"
				       : TEXT_FAILED);
}

static void on_looked_up(void *arg, int rc)
{
	struct auth_op *op = arg;

	if (rc < 0 && rc != -ENOENT)
		auth_op_refuse(op, 503, op->kind == OP_LOGIN ? "login failed: " TEXT_AWAY : TEXT_AWAY);
	else
		op_verify(op);
}

static bool op_was_verified(struct auth_op *op)
{
	struct cred *cred = creds_find(op->auth->creds, op->client);

	return cred != NULL && loop_now(op->auth->loop) < cred->verified_until &&
	       auth_mac_is_equal(cred->verified_mac, op->mac);
}

// op->client is set. Order: remembered keys first (they cost nothing), then the limit, then bcrypt.
static void op_check_key(struct auth_op *op, struct str key)
{
	struct auth *a = op->auth;
	const char *failed = op->kind == OP_LOGIN ? "login failed: " TEXT_FAILED : TEXT_FAILED;

	if (key.len > AUTH_KEY_MAX || (key.len > 0 && memchr(key.p, 0, key.len))) {
		auth_op_refuse_key(op, failed); // was never registered: bcrypt would see only a part of it
		return;
	}
	str_copy(key, op->key, sizeof(op->key));
	auth_mac(a->secret, op->client, str_of(op->key), op->mac);
	if (op_was_verified(op)) {
		op_verified(op);
		return;
	}
	if (!source_may_try(&a->sources, op->source, loop_now(a->loop))) {
		auth_op_refuse(op, op->kind == OP_BASIC ? 401 : 400, failed);
		return;
	}
	creds_look_up(a->creds, op->client, on_looked_up, op);
}

// --- the questions ---------------------------------------------------------------------------------------
static void op_check_basic(struct auth_op *op, struct str header)
{
	struct auth *a = op->auth;
	struct str scheme, rest = header, client, key;
	char plain[1024];
	int n = -EBADMSG;

	scheme = str_cut(&rest, ' ');
	if (str_ieq(scheme, STR("Basic")))
		n = base64_decode(rest, plain, sizeof(plain));
	if (n < 0 || memchr(plain, ':', (size_t)n) == NULL) {
		auth_op_refuse(op, 401, "authentication failed: invalid auth header");
		return;
	}
	key = (struct str){plain, (size_t)n};
	client = str_cut(&key, ':');
	if (a->conf->api.enable_admin && source_may_try(&a->sources, op->source, loop_now(a->loop)) &&
	    is_admin_key(a, key))
		auth_op_answer(op, &(struct auth_result){.who = AUTH_ADMIN});
	else if (client.len == 0)
		auth_op_refuse_key(op, "authentication failed: unauthorized");
	else if (!auth_op_set_client(op, client))
		auth_op_refuse_key(op, TEXT_FAILED);
	else
		op_check_key(op, key);
	explicit_bzero(plain, sizeof(plain));
}

static void on_token(void *arg, int rc, struct str client)
{
	struct auth_op *op = arg;

	if (rc == -ENOENT)
		auth_op_refuse(op, 401, "authentication failed: token is invalid");
	else if (rc == -ESTALE)
		auth_op_refuse(op, 401, "authentication failed: session is expired");
	else if (rc < 0)
		auth_op_refuse(op, 503, TEXT_AWAY);
	else if (auth_op_set_client(op, client))
		auth_op_accept(op);
	else
		auth_op_refuse(op, 401, "authentication failed: token is invalid");
}

void auth_check(struct auth *a, const struct http_source *from, struct str header, auth_done_fn done,
		void *arg)
{
	bool is_bearer = str_starts(header, STR("Bearer "));
	struct auth_op *op = auth_op_new(a, is_bearer ? OP_BEARER : OP_BASIC, from, done, arg);

	if (op == NULL)
		return;
	if (!is_bearer) {
		op_check_basic(op, header);
		return;
	}
	auth_hash_token(str_skip(header, 7), op->token_hash);
	creds_find_token(a->creds, op->token_hash, on_token, op);
}

void auth_login(struct auth *a, const struct http_source *from, const char *client, const char *key,
		auth_done_fn done, void *arg)
{
	struct auth_op *op = auth_op_new(a, OP_LOGIN, from, done, arg);

	if (op == NULL)
		return;
	if (client == NULL || client[0] == '\0')
		auth_op_refuse(op, 400, "login failed: authentication failed: error: empty key");
	else if (!auth_op_set_client(op, str_of(client)))
		auth_op_refuse_key(op, "login failed: " TEXT_FAILED);
	else
		op_check_key(op, str_of(key));
}

// --- life ----------------------------------------------------------------------------------------------------
static int auth_init(struct auth *a, struct store *store, void (*gone)(void *arg, struct str client),
		     void *arg)
{
	const char *admin = a->conf->api.admin_secret_key ? a->conf->api.admin_secret_key : "";
	char setting[BCRYPT_SETTING_MAX];

	rand_bytes(a->secret, sizeof(a->secret));
	auth_mac_admin(a->secret, str_of(admin), a->admin_mac);
	if (a->conf->api.enable_admin && strlen(admin) < AUTH_KEY_MIN)
		log_warn("auth: api.security.admin_secret_key is shorter than %d bytes", AUTH_KEY_MIN);
	bcrypt_salt(setting, AUTH_BCRYPT_COST);
	// Salt and 31 characters of a hash nobody has the key of.
	snprintf(a->dummy, sizeof(a->dummy), "%.29s%.31s", setting, "......../////////0000000000AAAAAA");
	a->bcrypt = bcrypt_new(a->loop, AUTH_WAIT_NS, AUTH_MAX_RUNNING, AUTH_MAX_WAITING,
			       AUTH_MAX_WAITING_PER_SOURCE);
	if (a->bcrypt == NULL)
		return -errno;
	a->creds = creds_new(a->loop, store, a->conf->store.node_id, gone, arg);
	if (a->creds == NULL)
		return -errno;
	return sources_init(&a->sources, AUTH_MAX_SOURCES, AUTH_FAILURES, AUTH_FAILURES_PER_S);
}

static void collect(void *arg, struct metrics_out *out)
{
	struct auth *a = arg;

	metrics_out_family(out, "sluice_clients", "gauge", "registered clients known here");
	metrics_out_sample(out, "", (double)creds_count(a->creds));
}

struct auth *auth_new(struct loop *loop, const struct conf *conf, struct store *store,
		      struct metrics *metrics, void (*gone)(void *arg, struct str client), void *arg)
{
	struct auth *a = calloc(1, sizeof(*a));
	int rc;

	if (a == NULL)
		return NULL;
	a->loop = loop;
	a->conf = conf;
	a->metrics = metrics;
	TAILQ_INIT(&a->ops);
	rc = auth_init(a, store, gone, arg);
	if (rc == 0)
		rc = metrics_collector(metrics, collect, a);
	if (rc < 0) {
		auth_free(a);
		return err_null(-rc);
	}
	return a;
}

void auth_free(struct auth *a)
{
	struct auth_op *op;

	if (a == NULL)
		return;
	a->is_ending = true;
	bcrypt_free(a->bcrypt);
	creds_free(a->creds);
	while ((op = TAILQ_FIRST(&a->ops)) != NULL)
		auth_op_free(op);
	if (a->sources.map)
		sources_fini(&a->sources);
	explicit_bzero(a, sizeof(*a));
	free(a);
}
