// Inside of struct auth: a question and its answers. auth.c proves identities, auth_register.c makes and removes them,
// auth_limit.c says what wrong keys cost.
#pragma once

#include <sys/queue.h>

#include "controlplane/auth/auth.h"
#include "controlplane/auth/auth_key.h"
#include "controlplane/auth/bcrypt.h"
#include "controlplane/auth/sources.h"

enum auth_op_kind { OP_BASIC, OP_LOGIN, OP_REGISTER, OP_BEARER, OP_UNREGISTER };

TAILQ_HEAD(auth_ops, auth_op);

struct auth_op {
	struct auth *auth; // borrowed
	enum auth_op_kind kind;
	auth_done_fn done;
	void *arg;
	struct source *source; // referenced: the address; NULL for BEARER and UNREGISTER
	char address[48];      // for the log
	struct source *payer;  // referenced: whose failures pay for this key; NULL: nobody yet
	bool has_paid;
	bool is_guess;         // compared with the admin's key, and not paid for yet
	bool was_not_compared; // with the admin's key, for want of guesses
	char client[256];
	char key[73];
	uint8_t mac[AUTH_MAC_LEN]; // of client and key: what the verified cache compares
	char token_hash[CREDS_TOKEN_HASH_LEN + 1];
	bool is_known; // job.setting is a real hash
	struct bcrypt_job job;
	ns_t since;                // it was handed to bcrypt
	struct timer timer;        // of a refusal that has to wait
	bool is_leading;           // in auth->judged
	struct auth_ops followers; // who have brought the same key meanwhile
	TAILQ_ENTRY(auth_op) link, following;
};

struct auth {
	struct loop *loop;       // borrowed
	const struct conf *conf; // borrowed
	struct metrics *metrics; // borrowed
	struct creds *creds;
	struct bcrypt_queue *bcrypt;
	struct sources sources;          // by address
	struct sources pairs;            // by address and client
	struct map *judged;              // MAC of client and key -> the operation that has it judged
	ns_t judging;                    // what a judgment takes, smoothed
	uint8_t secret[AUTH_SECRET_LEN]; // of our MACs; lives as long as the process
	uint8_t admin_mac[AUTH_MAC_LEN]; // of the admin key
	char dummy[BCRYPT_SETTING_MAX];
	struct auth_ops ops;
	bool is_ending;
};

// from: who asks, NULL for questions without a limit. NULL: done has been called, with 503.
struct auth_op *auth_op_new(struct auth *, enum auth_op_kind, const struct http_source *from,
			    auth_done_fn done, void *arg);
bool auth_op_set_client(struct auth_op *, struct str client); // false: no id
void auth_op_free(struct auth_op *);

// One of these ends it:
void auth_op_answer(struct auth_op *, const struct auth_result *);
void auth_op_accept(struct auth_op *); // as the client
void auth_op_refuse(struct auth_op *, unsigned status, const char *error);
void auth_op_refuse_busy(struct auth_op *, const char *error); // 503, and when to try again
void auth_op_refuse_key(struct auth_op *, const char *error);  // the key is wrong
void auth_op_refuse_unheard(struct auth_op *);                 // 429; as late as if the key had been judged

// --- auth_limit.c
// May the key of this operation be compared with the admin's? It is paid for when it turns out to be nobody's.
bool auth_limit_may_guess(struct auth_op *);
void auth_limit_guessed(struct auth_op *); // pay for it now
// Pay for a judgment; cred: of the client, NULL: nobody has that id. False: refuse unheard.
[[nodiscard]] bool auth_limit_take(struct auth_op *, const struct cred *cred);
void auth_limit_give(struct auth_op *); // it was right, or was not judged: costs nothing
// The key is wrong. False: answer as to one who is not heard.
[[nodiscard]] bool auth_limit_failed(struct auth_op *);
unsigned auth_limit_wait_s(const struct auth_op *); // until a key is judged again, at least 1
void auth_limit_tell(struct auth_op *);             // a line in the log, not too often
