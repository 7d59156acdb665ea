// Inside of struct auth: a question and its answers. auth.c proves identities, auth_register.c makes and removes them.
#pragma once

#include <sys/queue.h>

#include "controlplane/auth/auth.h"
#include "controlplane/auth/auth_key.h"
#include "controlplane/auth/bcrypt.h"
#include "controlplane/auth/sources.h"

enum auth_op_kind { OP_BASIC, OP_LOGIN, OP_REGISTER, OP_BEARER, OP_UNREGISTER };

struct auth_op {
	struct auth *auth; // borrowed
	enum auth_op_kind kind;
	auth_done_fn done;
	void *arg;
	struct source *source; // referenced; NULL for BEARER and UNREGISTER
	char client[256];
	char key[73];
	uint8_t mac[AUTH_MAC_LEN]; // of client and key: what the verified cache compares
	char token_hash[CREDS_TOKEN_HASH_LEN + 1];
	bool is_known; // job.setting is a real hash
	struct bcrypt_job job;
	TAILQ_ENTRY(auth_op) link;
};

struct auth {
	struct loop *loop;       // borrowed
	const struct conf *conf; // borrowed
	struct metrics *metrics; // borrowed
	struct creds *creds;
	struct bcrypt_queue *bcrypt;
	struct sources sources;
	uint8_t secret[AUTH_SECRET_LEN]; // of our MACs; lives as long as the process
	uint8_t admin_mac[AUTH_MAC_LEN]; // of the admin key
	char dummy[BCRYPT_SETTING_MAX];
	TAILQ_HEAD(, auth_op) ops;
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
void auth_op_refuse_key(struct auth_op *, const char *error); // a failed proof: counts against the source
