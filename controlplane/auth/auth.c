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
#define TEXT_BUSY "authentication failed: rate: too many waiting"
#define JUDGING_NS (60 * NS_PER_MS) // what a judgment takes, until one was measured

static bool op_has_admin_key(struct auth_op *op, struct str key)
{
	const struct auth *a = op->auth;
	uint8_t mac[AUTH_MAC_LEN];

	if (!a->conf->api.enable_admin || key.len == 0 || !auth_limit_may_guess(op))
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

enum verdict { KEY_IS_RIGHT, KEY_IS_WRONG, KEY_NOT_HEARD, KEY_NOT_JUDGED, KEY_STORE_AWAY };

static void op_conclude(struct auth_op *op, enum verdict verdict)
{
	bool is_login = op->kind == OP_LOGIN;

	switch (verdict) {
	case KEY_IS_RIGHT:
		auth_limit_give(op);
		op_verified(op);
		break;
	case KEY_IS_WRONG:
		auth_op_refuse_key(op, is_login ? "login failed: " TEXT_FAILED : TEXT_FAILED);
		break;
	case KEY_NOT_HEARD:
		auth_op_refuse_unheard(op);
		break;
	case KEY_NOT_JUDGED:
		auth_op_refuse_busy(op, is_login ? "login failed: " TEXT_BUSY : TEXT_BUSY);
		break;
	case KEY_STORE_AWAY:
		auth_op_refuse_busy(op, is_login ? "login failed: " TEXT_AWAY : TEXT_AWAY);
		break;
	}
}

// The leader's verdict is that of all who have brought the same key.
static void op_conclude_all(struct auth_op *leader, enum verdict verdict)
{
	struct auth_ops followers = TAILQ_HEAD_INITIALIZER(followers);
	struct auth_op *op;

	TAILQ_CONCAT(&followers, &leader->followers, following);
	op_conclude(leader, verdict);
	while ((op = TAILQ_FIRST(&followers)) != NULL) {
		TAILQ_REMOVE(&followers, op, following);
		op_conclude(op, verdict);
	}
}

static void on_verified(struct bcrypt_job *job)
{
	struct auth_op *op = container_of(job, struct auth_op, job);
	struct auth *a = op->auth;
	struct cred *cred = creds_find(a->creds, op->client);
	bool ok = op->is_known && bcrypt_matches(job);

	if (job->rc < 0) {
		op_conclude_all(op, KEY_NOT_JUDGED);
		return;
	}
	a->judging += (loop_now(a->loop) - op->since - a->judging) / 8;
	// The credential may have been removed or replaced meanwhile.
	ok = ok && cred != NULL && strcmp(cred->hash, job->setting) == 0;
	if (ok) {
		memcpy(cred->verified_mac, op->mac, sizeof(op->mac));
		cred->verified_until = loop_now(a->loop) + AUTH_VERIFIED_NS;
	}
	op_conclude_all(op, ok ? KEY_IS_RIGHT : KEY_IS_WRONG);
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
	op->since = loop_now(a->loop);
	if (bcrypt_submit(a->bcrypt, op->payer->key, &op->job) < 0)
		op_conclude_all(op, KEY_NOT_JUDGED);
}

static void on_looked_up(void *arg, int rc)
{
	struct auth_op *op = arg;
	const struct cred *cred = creds_find(op->auth->creds, op->client);

	if (rc < 0 && rc != -ENOENT) {
		op_conclude_all(op, KEY_STORE_AWAY);
		return;
	}
	if (cred != NULL && op->payer == op->source) { // the store knew it: strangers do not pay for it
		auth_limit_give(op);
		if (!auth_limit_take(op, cred)) {
			op_conclude_all(op, KEY_NOT_HEARD);
			return;
		}
	}
	op_verify(op);
}

static bool op_was_verified(struct auth_op *op, const struct cred *cred)
{
	return cred != NULL && loop_now(op->auth->loop) < cred->verified_until &&
	       auth_mac_is_equal(cred->verified_mac, op->mac);
}

// Is this very key being judged? Then so is this operation.
static bool op_follow(struct auth_op *op)
{
	struct auth_op *leader =
		map_find(op->auth->judged, (struct str){(const char *)op->mac, sizeof(op->mac)});

	if (leader == NULL)
		return false;
	TAILQ_INSERT_TAIL(&leader->followers, op, following);
	return true;
}

// A key that cannot be anybody's, or none: as bad as a wrong one.
static void op_refuse_unfit(struct auth_op *op, const char *error)
{
	if (auth_limit_take(op, creds_find(op->auth->creds, op->client)))
		auth_op_refuse_key(op, error);
	else
		auth_op_refuse_unheard(op);
}

// op->client is set. Order: remembered keys first (they cost nothing), then the limit, then bcrypt.
static void op_check_key(struct auth_op *op, struct str key)
{
	struct auth *a = op->auth;
	const struct cred *cred = creds_find(a->creds, op->client);

	if (key.len > AUTH_KEY_MAX || (key.len > 0 && memchr(key.p, 0, key.len))) {
		// was never registered: bcrypt would see only a part of it
		op_refuse_unfit(op, op->kind == OP_LOGIN ? "login failed: " TEXT_FAILED : TEXT_FAILED);
		return;
	}
	str_copy(key, op->key, sizeof(op->key));
	auth_mac(a->secret, op->client, str_of(op->key), op->mac);
	if (op_was_verified(op, cred)) {
		op_verified(op);
		return;
	}
	if (op_follow(op))
		return;
	if (!auth_limit_take(op, cred)) {
		auth_op_refuse_unheard(op);
		return;
	}
	op->is_leading = map_put(a->judged, (struct str){(const char *)op->mac, sizeof(op->mac)}, op) == 0;
	creds_look_up(a->creds, op->client, on_looked_up, op);
}

// --- the questions ---------------------------------------------------------------------------------------
static void op_check_basic(struct auth_op *op, struct str header)
{
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
	if (op_has_admin_key(op, key))
		auth_op_answer(op, &(struct auth_result){.who = AUTH_ADMIN});
	else if (client.len == 0)
		op_refuse_unfit(op, "authentication failed: unauthorized");
	else if (!auth_op_set_client(op, client))
		op_refuse_unfit(op, TEXT_FAILED);
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
		op_refuse_unfit(op, "login failed: " TEXT_FAILED);
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
	a->judging = JUDGING_NS;
	a->judged = map_new();
	if (a->judged == NULL || sources_init(&a->sources, AUTH_MAX_SOURCES) < 0)
		return -ENOMEM;
	return sources_init(&a->pairs, AUTH_MAX_SOURCES);
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
	if (a->pairs.map)
		sources_fini(&a->pairs);
	map_free(a->judged);
	explicit_bzero(a, sizeof(*a));
	free(a);
}
