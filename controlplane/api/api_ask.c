// A question of an HTTP client from its request to its answer, and the steps that many of them share.
#include "controlplane/api/api_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/sys/json.h"
#include "lib/base/err.h"

#define JSON "application/json"

// --- life ---------------------------------------------------------------------------------------
void ask_free(struct ask *a)
{
	assert(a->api != NULL);
	LIST_REMOVE(a, link);
	json_fields_free(a->fields, N_FIELDS);
	if (a->body)
		explicit_bzero(a->body, a->body_len);
	free(a->body);
	free(a);
}

struct ask *ask_new(struct api *api, const struct http_request *r)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->api = api;
	a->id = r->id;
	a->source = *r->source;
	if (r->body.len > 0) {
		a->body = malloc(r->body.len);
		if (a->body == NULL) {
			free(a);
			return NULL;
		}
		memcpy(a->body, r->body.p, r->body.len);
		a->body_len = r->body.len;
	}
	LIST_INSERT_HEAD(&api->asks, a, link);
	return a;
}

// --- answers ------------------------------------------------------------------------------------
static void ask_reply(struct ask *a, unsigned status, const char *type, const char *headers, struct str body)
{
	char all[128], retry[32] = "";

	if (a->retry_s > 0)
		snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", a->retry_s);
	snprintf(all, sizeof(all), "%s%s", headers, retry);
	http_reply(a->api->p.http, a->id,
		   &(struct http_response){.status = status,
					   .content_type = type,
					   .body = body,
					   .headers = all,
					   .route = a->route->path});
	ask_free(a);
}

void ask_reply_json(struct ask *a, unsigned status, struct str body)
{
	ask_reply(a, status, JSON, "", body);
}

void ask_reply_owned(struct ask *a, struct str owner, struct str body)
{
	http_reply(a->api->p.http, a->id,
		   &(struct http_response){.status = 200,
					   .content_type = JSON,
					   .body = body,
					   .route = a->route->path,
					   .owner = owner});
	ask_free(a);
}

void ask_reply_text(struct ask *a, unsigned status, const char *text)
{
	ask_reply(a, status, "text/plain; charset=utf-8", "X-Content-Type-Options: nosniff\r\n",
		  str_of(text));
}

// {"bearerToken","clientID","code","error"}: those that are not NULL, and code.
void ask_reply_envelope(struct ask *a, unsigned status, const char *token, const char *client,
			const char *error)
{
	char buf[4096];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wbuf_printf(&w, "{");
	if (token != NULL)
		wbuf_printf(&w, "\"bearerToken\":\"%s\",", token);
	if (client != NULL) {
		wbuf_printf(&w, "\"clientID\":");
		json_write_str(&w, str_of(client));
		wbuf_printf(&w, ",");
	}
	wbuf_printf(&w, "\"code\":\"%u\"", status);
	if (error != NULL) {
		wbuf_printf(&w, ",\"error\":");
		json_write_str(&w, str_of(error));
	}
	wbuf_printf(&w, "}\n");
	ask_reply_json(a, status, (struct str){buf, wbuf_len(&w)});
	explicit_bzero(buf, sizeof(buf));
}

void ask_fail_envelope(struct ask *a, const struct auth_result *r)
{
	a->retry_s = r->retry_s;
	ask_reply_envelope(a, r->status, NULL, NULL, r->error);
}

// --- steps --------------------------------------------------------------------------------------
// Decode the body's clientID and authKey; a body that is not an object of strings is answered with 400.
bool ask_decode(struct ask *a)
{
	char why[200];

	a->fields[FIELD_CLIENT].name = "clientID";
	a->fields[FIELD_KEY].name = "authKey";
	if (json_read_strings((struct str){a->body, a->body_len}, a->fields, N_FIELDS, why, sizeof(why)) == 0)
		return true;
	ask_reply_envelope(a, 400, NULL, NULL, why);
	return false;
}

static void ask_on_auth(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	assert(a->route->then != NULL);
	a->retry_s = r->retry_s;
	a->route->then(a, r);
}

void ask_authenticate(struct ask *a, const struct http_request *r)
{
	auth_check(a->api->p.auth, &a->source, http_find(r->head, STR("authorization")), ask_on_auth, a);
}
