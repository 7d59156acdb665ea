// What the files of the API share. For api/ alone.
#pragma once

#include <stddef.h>
#include <sys/queue.h>

#include "controlplane/api/api.h"
#include "controlplane/sys/json.h"

struct ask;
struct route {
	const char *method; // NULL: any
	const char *path;   // "*" stands for one segment
	void (*start)(struct ask *, const struct http_request *);
	void (*then)(struct ask *, const struct auth_result *); // after ask_authenticate
};

enum ask_field { FIELD_CLIENT, FIELD_KEY, N_FIELDS }; // of a body: clientID, authKey

// A question that may have to wait, for credentials or for the dataplane: copies of what it needs, and the id of the
// connection, which may be gone when the answer comes. Ends with exactly one ask_reply_* or ask_free.
struct ask {
	struct api *api; // borrowed
	const struct route *route;
	http_id id;
	struct http_source source;
	char call_id[256], session_id[256];
	char *body; // owned
	size_t body_len;
	struct json_field fields[N_FIELDS];
	unsigned retry_s; // for Retry-After of the answer; 0: without
	LIST_ENTRY(ask) link;
};

struct api {
	struct api_parts p;
	LIST_HEAD(, ask) asks;
};

// --- api_ask.c ---------------------------------------------------------------------------------------
struct ask *ask_new(struct api *, const struct http_request *); // NULL: out of memory
void ask_free(struct ask *);

// Answer and free it.
void ask_reply_json(struct ask *, unsigned status, struct str body);
void ask_reply_owned(struct ask *, struct str owner,
		     struct str body); // 200, JSON that counts as owner's until read
void ask_reply_text(struct ask *, unsigned status, const char *text);
// {"bearerToken","clientID","code","error"}: those that are not NULL, and code.
void ask_reply_envelope(struct ask *, unsigned status, const char *token, const char *client,
			const char *error);
void ask_fail_envelope(struct ask *, const struct auth_result *);

// Decode the body's clientID and authKey. False: it is no object of strings, and is answered with 400.
[[nodiscard]] bool ask_decode(struct ask *);
// Who asks? route->then goes on, maybe before this returns.
void ask_authenticate(struct ask *, const struct http_request *);

// --- routes: start and then ----------------------------------------------------------------------------
void api_get_version(struct ask *, const struct http_request *);
void api_get_system(struct ask *, const struct http_request *);
void api_any_metrics(struct ask *, const struct http_request *);
void api_then_metrics(struct ask *, const struct auth_result *);

void api_post_login(struct ask *, const struct http_request *);
void api_post_register(struct ask *, const struct http_request *);
void api_then_register(struct ask *, const struct auth_result *);
void api_post_unregister(struct ask *, const struct http_request *);
void api_then_unregister(struct ask *, const struct auth_result *);
void api_get_ws(struct ask *, const struct http_request *);
void api_then_ws(struct ask *, const struct auth_result *);

void api_get_calls(struct ask *, const struct http_request *);
void api_then_calls(struct ask *, const struct auth_result *);
void api_then_media(struct ask *, const struct auth_result *);
