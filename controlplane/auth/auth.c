// Every question is one struct op that walks through its steps: find the credential (memory, then the shared
// store), hash off the loop, answer. An op dies with its answer. Unknown ids are hashed too, against a dummy,
// so that neither text nor time tells them from wrong keys (D3).
#include "controlplane/auth/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "controlplane/auth/bcrypt.h"
#include "controlplane/auth/creds.h"
#include "controlplane/auth/sources.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define TEXT_FAILED "authentication failed"
#define TEXT_AWAY "authentication failed: credential store not reachable"

enum op_kind { OP_BASIC, OP_LOGIN, OP_REGISTER, OP_BEARER, OP_UNREGISTER };

struct op {
	struct auth *auth; // borrowed
	enum op_kind kind;
	auth_done_fn done;
	void *arg;
	struct source *source; // referenced; NULL for BEARER and UNREGISTER
	char client[256];
	char key[73];
	uint8_t mac[32]; // of client and key: what the verified cache compares
	char token_hash[CREDS_TOKEN_HASH_LEN + 1];
	bool is_known; // job.setting is a real hash
	struct bcrypt_job job;
	TAILQ_ENTRY(op) link;
};

struct auth {
	struct loop *loop;       // borrowed
	const struct conf *conf; // borrowed
	struct metrics *metrics; // borrowed
	struct creds *creds;
	struct bcrypt_queue *bcrypt;
	struct sources sources;
	uint8_t secret[32];    // of our MACs; lives as long as the process
	uint8_t admin_mac[32]; // of the admin key
	char dummy[BCRYPT_SETTING_MAX];
	TAILQ_HEAD(, op) ops;
	bool is_ending;
};

// --- answers -------------------------------------------------------------------------------------------
static void op_free(struct op *op)
{
	TAILQ_REMOVE(&op->auth->ops, op, link);
	if (op->source)
		op->source->n_refs--;
	explicit_bzero(op->key, sizeof(op->key));
	free(op);
}

static void answer(struct op *op, const struct auth_result *r)
{
	const char *result = r->who == AUTH_NOBODY ? "refused" : r->who == AUTH_ADMIN ? "admin" : "client";

	metric_add(op->auth->metrics, M_AUTH, METRIC_LABELS(str_of(result)), 1);
	if (!op->auth->is_ending)
		op->done(op->arg, r);
	op_free(op);
}

static void refuse(struct op *op, unsigned status, const char *error)
{
	answer(op, &(struct auth_result){.status = status, .error = error});
}

// A failed proof of identity: counts against the source.
static void refuse_key(struct op *op, const char *error)
{
	if (op->source)
		source_failed(&op->auth->sources, op->source, loop_now(op->auth->loop));
	refuse(op, op->kind == OP_BASIC ? 401 : 400, error);
}

static void accept_client(struct op *op)
{
	answer(op, &(struct auth_result){.who = AUTH_CLIENT, .client = str_of(op->client)});
}

static struct op *op_new(struct auth *a, enum op_kind kind, const struct http_source *from, auth_done_fn done,
			 void *arg)
{
	struct op *op = calloc(1, sizeof(*op));

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
		refuse(op, 503, "too many operations");
		return NULL;
	}
	op->source->n_refs++;
	return op;
}

// --- keys ------------------------------------------------------------------------------------------------
static void mac_of(const struct auth *a, const char *client, const void *key, size_t len, uint8_t out[32])
{
	uint8_t text[256 + AUTH_KEY_MAX + 1];
	size_t n = strlen(client) + 1;

	memcpy(text, client, n);
	memcpy(text + n, key, len);
	HMAC(EVP_sha256(), a->secret, sizeof(a->secret), text, n + len, out, NULL);
	explicit_bzero(text, sizeof(text));
}

static bool is_admin_key(const struct auth *a, struct str key)
{
	uint8_t mac[32];

	if (!a->conf->api.enable_admin || key.len == 0)
		return false;
	HMAC(EVP_sha256(), a->secret, sizeof(a->secret), (const void *)key.p, key.len, mac, NULL);
	return CRYPTO_memcmp(mac, a->admin_mac, sizeof(mac)) == 0;
}

// Standard base64 with padding. Length, or -EBADMSG.
static int base64_decode(struct str s, char *out, size_t size)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	size_t n = 0, pad = 0;

	if (s.len % 4 != 0 || s.len / 4 * 3 > size)
		return -EBADMSG;
	for (size_t i = 0; i < s.len; i++) {
		const char *at = s.p[i] ? strchr(alphabet, s.p[i]) : NULL;

		if (s.p[i] == '=' && i + 2 >= s.len)
			pad++;
		else if (at == NULL || pad > 0)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)(at ? at - alphabet : 0);
		if (i % 4 == 3) {
			out[n++] = (char)(bits >> 16);
			out[n++] = (char)(bits >> 8);
			out[n++] = (char)bits;
		}
	}
	return (int)(n - pad);
}

static void hash_token(struct str token, char out[CREDS_TOKEN_HASH_LEN + 1])
{
	uint8_t digest[32];

	EVP_Digest(token.p ? token.p : "", token.len, digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

// --- verification ----------------------------------------------------------------------------------------
static void log_in(struct op *op)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char token[AUTH_TOKEN_LEN + 1], hash[CREDS_TOKEN_HASH_LEN + 1];
	int64_t expires = time(NULL) + 60 * (int64_t)op->auth->conf->api.session_expiration_min;

	rand_text(token, AUTH_TOKEN_LEN, alphabet);
	hash_token(str_of(token), hash);
	if (creds_put_token(op->auth->creds, op->client, hash, expires) < 0) {
		refuse(op, 400, "login failed: can not cache: out of memory");
		return;
	}
	answer(op, &(struct auth_result){.who = AUTH_CLIENT, .client = str_of(op->client), .token = token});
	explicit_bzero(token, sizeof(token));
}

static void verified(struct op *op)
{
	if (op->kind == OP_LOGIN)
		log_in(op);
	else
		accept_client(op);
}

static void on_verified(struct bcrypt_job *job)
{
	struct op *op = container_of(job, struct op, job);
	struct auth *a = op->auth;
	struct cred *cred = creds_find(a->creds, op->client);
	bool ok = job->rc == 0 && op->is_known && bcrypt_matches(job);

	// The credential may have been removed or replaced meanwhile.
	ok = ok && cred != NULL && strcmp(cred->hash, job->setting) == 0;
	if (!ok) {
		refuse_key(op, op->kind == OP_LOGIN ? "login failed: " TEXT_FAILED : TEXT_FAILED);
		return;
	}
	memcpy(cred->verified_mac, op->mac, sizeof(op->mac));
	cred->verified_until = loop_now(a->loop) + AUTH_VERIFIED_NS;
	verified(op);
}

// Hash against what is known of the client, or against the dummy.
static void verify(struct op *op)
{
	struct auth *a = op->auth;
	const struct cred *cred = creds_find(a->creds, op->client);

	op->is_known = cred != NULL;
	snprintf(op->job.setting, sizeof(op->job.setting), "%s", cred ? cred->hash : a->dummy);
	memcpy(op->job.key, op->key, sizeof(op->key));
	op->job.done = on_verified;
	if (bcrypt_submit(a->bcrypt, op->source->key, &op->job) < 0)
		refuse(op, op->kind == OP_BASIC ? 401 : 400,
		       op->kind == OP_LOGIN ? "login failed: authentication failed: rate: too many waiting"
					    : TEXT_FAILED);
}

static void on_looked_up(void *arg, int rc)
{
	struct op *op = arg;

	if (rc < 0 && rc != -ENOENT)
		refuse(op, 503, op->kind == OP_LOGIN ? "login failed: " TEXT_AWAY : TEXT_AWAY);
	else
		verify(op);
}

static bool was_verified(struct op *op)
{
	struct cred *cred = creds_find(op->auth->creds, op->client);

	return cred != NULL && loop_now(op->auth->loop) < cred->verified_until &&
	       CRYPTO_memcmp(cred->verified_mac, op->mac, sizeof(op->mac)) == 0;
}

// op->client is set. Order: remembered keys first (they cost nothing), then the limit, then bcrypt.
static void check_key(struct op *op, struct str key)
{
	struct auth *a = op->auth;
	const char *failed = op->kind == OP_LOGIN ? "login failed: " TEXT_FAILED : TEXT_FAILED;

	if (key.len > AUTH_KEY_MAX || (key.len > 0 && memchr(key.p, 0, key.len))) {
		refuse_key(op, failed); // was never registered: bcrypt would see only a part of it
		return;
	}
	str_copy(key, op->key, sizeof(op->key));
	mac_of(a, op->client, op->key, key.len, op->mac);
	if (was_verified(op)) {
		verified(op);
		return;
	}
	if (!source_may_try(&a->sources, op->source, loop_now(a->loop))) {
		refuse(op, op->kind == OP_BASIC ? 401 : 400, failed);
		return;
	}
	creds_look_up(a->creds, op->client, on_looked_up, op);
}

static bool set_client(struct op *op, struct str client)
{
	return (client.len == 0 || memchr(client.p, 0, client.len) == NULL) &&
	       str_copy(client, op->client, sizeof(op->client));
}

// --- the questions ---------------------------------------------------------------------------------------
static void check_basic(struct op *op, struct str header)
{
	struct auth *a = op->auth;
	struct str scheme = header, rest = header, client, key;
	char plain[1024];
	int n = -EBADMSG;

	scheme = str_cut(&rest, ' ');
	if (str_ieq(scheme, STR("Basic")))
		n = base64_decode(rest, plain, sizeof(plain));
	if (n < 0 || memchr(plain, ':', (size_t)n) == NULL) {
		refuse(op, 401, "authentication failed: invalid auth header");
		return;
	}
	key = (struct str){plain, (size_t)n};
	client = str_cut(&key, ':');
	if (a->conf->api.enable_admin && source_may_try(&a->sources, op->source, loop_now(a->loop)) &&
	    is_admin_key(a, key))
		answer(op, &(struct auth_result){.who = AUTH_ADMIN});
	else if (client.len == 0)
		refuse_key(op, "authentication failed: unauthorized");
	else if (!set_client(op, client))
		refuse_key(op, TEXT_FAILED);
	else
		check_key(op, key);
	explicit_bzero(plain, sizeof(plain));
}

static void on_token(void *arg, int rc, struct str client)
{
	struct op *op = arg;

	if (rc == -ENOENT)
		refuse(op, 401, "authentication failed: token is invalid");
	else if (rc == -ESTALE)
		refuse(op, 401, "authentication failed: session is expired");
	else if (rc < 0)
		refuse(op, 503, TEXT_AWAY);
	else if (set_client(op, client))
		accept_client(op);
	else
		refuse(op, 401, "authentication failed: token is invalid");
}

void auth_check(struct auth *a, const struct http_source *from, struct str header, auth_done_fn done,
		void *arg)
{
	bool is_bearer = str_starts(header, STR("Bearer "));
	struct op *op = op_new(a, is_bearer ? OP_BEARER : OP_BASIC, from, done, arg);

	if (op == NULL)
		return;
	if (!is_bearer) {
		check_basic(op, header);
		return;
	}
	hash_token(str_skip(header, 7), op->token_hash);
	creds_find_token(a->creds, op->token_hash, on_token, op);
}

void auth_login(struct auth *a, const struct http_source *from, const char *client, const char *key,
		auth_done_fn done, void *arg)
{
	struct op *op = op_new(a, OP_LOGIN, from, done, arg);

	if (op == NULL)
		return;
	if (client == NULL || client[0] == '\0')
		refuse(op, 400, "login failed: authentication failed: error: empty key");
	else if (!set_client(op, str_of(client)))
		refuse_key(op, "login failed: " TEXT_FAILED);
	else
		check_key(op, str_of(key));
}

// --- registration ------------------------------------------------------------------------------------------
static void on_stored(void *arg, int rc)
{
	struct op *op = arg;

	if (rc == 0) {
		log_notice("client %s registered", op->client);
		accept_client(op);
	} else if (rc == -EEXIST) {
		refuse(op, 400, "registration failed: already registered");
	} else {
		refuse(op, 503, "registration failed: credential store not reachable");
	}
}

static void on_hashed(struct bcrypt_job *job)
{
	struct op *op = container_of(job, struct op, job);

	if (job->rc == -ETIMEDOUT)
		refuse(op, 400, "registration failed: rate: Wait(n=1) would exceed context deadline");
	else if (job->rc < 0 || strlen(job->hash) != BCRYPT_HASH_LEN)
		refuse(op, 400, "registration failed: bcrypt failed");
	else
		creds_put(op->auth->creds, op->client, job->hash, on_stored, op);
}

static void hash_new_key(struct op *op)
{
	struct auth *a = op->auth;

	bcrypt_salt(op->job.setting, AUTH_BCRYPT_COST);
	memcpy(op->job.key, op->key, sizeof(op->key));
	op->job.done = on_hashed;
	if (bcrypt_submit(a->bcrypt, op->source->key, &op->job) < 0)
		refuse(op, 400, "registration failed: rate: too many waiting");
}

static void on_checked_new(void *arg, int rc)
{
	struct op *op = arg;

	if (rc == 0)
		refuse(op, 400, "registration failed: already registered");
	else if (rc != -ENOENT)
		refuse(op, 503, "registration failed: credential store not reachable");
	else
		hash_new_key(op);
}

// What is wrong with a new pair, in the order the answers are documented; NULL when nothing is.
static const char *check_new(const char *client, const char *key)
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

void auth_register(struct auth *a, const struct http_source *from, const char *client, const char *key,
		   auth_done_fn done, void *arg)
{
	struct op *op = op_new(a, OP_REGISTER, from, done, arg);
	const char *wrong = check_new(client, key);

	if (op == NULL)
		return;
	if (wrong != NULL) {
		refuse(op, 400, wrong);
		return;
	}
	set_client(op, str_of(client));
	str_copy(str_of(key), op->key, sizeof(op->key));
	if (creds_find(a->creds, op->client) != NULL) {
		refuse(op, 400, "registration failed: already registered");
	} else if (!source_may_register(op->source, a->conf->api.register_per_min, loop_now(a->loop))) {
		log_warn("auth: %s registers too many clients; api.register_per_min allows %u a minute",
			 from->text, a->conf->api.register_per_min);
		refuse(op, 429, "registration failed: too many registrations from this address");
	} else if (auth_n_clients(a) >= a->conf->api.max_clients) {
		log_warn("auth: %zu clients are registered, api.max_clients allows no more",
			 auth_n_clients(a));
		refuse(op, 403, "registration failed: too many clients");
	} else {
		creds_look_up(a->creds, op->client, on_checked_new, op);
	}
}

static void on_removed(void *arg, int rc)
{
	struct op *op = arg;

	if (rc == 0) {
		log_notice("client %s unregistered", op->client);
		accept_client(op);
	} else if (rc == -ENOENT) {
		refuse(op, 400, "unregister failed: error: not found");
	} else {
		refuse(op, 503, "unregister failed: credential store not reachable");
	}
}

void auth_unregister(struct auth *a, const char *client, auth_done_fn done, void *arg)
{
	struct op *op = op_new(a, OP_UNREGISTER, NULL, done, arg);

	if (op == NULL)
		return;
	if (strlen(client) > AUTH_ID_MAX || !set_client(op, str_of(client)))
		refuse(op, 400, "unregister failed: error: not found");
	else
		creds_remove(a->creds, op->client, on_removed, op);
}

size_t auth_n_clients(const struct auth *a)
{
	return creds_count(a->creds);
}

// --- life ----------------------------------------------------------------------------------------------------
static int init(struct auth *a, struct store *store, void (*gone)(void *arg, struct str client), void *arg)
{
	const char *admin = a->conf->api.admin_secret_key ? a->conf->api.admin_secret_key : "";
	char setting[BCRYPT_SETTING_MAX];

	rand_bytes(a->secret, sizeof(a->secret));
	HMAC(EVP_sha256(), a->secret, sizeof(a->secret), (const void *)admin, strlen(admin), a->admin_mac,
	     NULL);
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
	metrics_out_sample(out, "", (double)auth_n_clients(a));
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
	rc = init(a, store, gone, arg);
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
	struct op *op;

	if (a == NULL)
		return;
	a->is_ending = true;
	bcrypt_free(a->bcrypt);
	creds_free(a->creds);
	while ((op = TAILQ_FIRST(&a->ops)) != NULL)
		op_free(op);
	if (a->sources.map)
		sources_fini(&a->sources);
	explicit_bzero(a, sizeof(*a));
	free(a);
}
