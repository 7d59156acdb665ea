// Who may be here: /login, /register, /unregister, and the door of /ws.
#include "controlplane/api/api_priv.h"

#include <stdio.h>

static void on_login(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	if (r->who == AUTH_NOBODY)
		ask_fail_envelope(a, r);
	else
		ask_reply_envelope(a, 200, r->token, NULL, NULL);
}

void api_post_login(struct ask *a, const struct http_request *)
{
	const char *key;

	if (!ask_decode(a))
		return;
	key = a->fields[FIELD_KEY].value;
	auth_login(a->api->p.auth, &a->source, a->fields[FIELD_CLIENT].value, key ? key : "", on_login, a);
}

static void on_registered(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	if (r->who == AUTH_NOBODY)
		ask_fail_envelope(a, r);
	else
		ask_reply_envelope(a, 201, NULL, a->fields[FIELD_CLIENT].value, NULL);
}

static void do_register(struct ask *a)
{
	if (ask_decode(a))
		auth_register(a->api->p.auth, &a->source, a->fields[FIELD_CLIENT].value,
			      a->fields[FIELD_KEY].value, on_registered, a);
}

void api_then_register(struct ask *a, const struct auth_result *r)
{
	if (r->who == AUTH_NOBODY)
		ask_fail_envelope(a, r);
	else if (r->who != AUTH_ADMIN) // another tenant does not make tenants (D1)
		ask_reply_envelope(a, 403, NULL, NULL, "registration failed: not allowed");
	else
		do_register(a);
}

void api_post_register(struct ask *a, const struct http_request *r)
{
	if (a->api->p.conf->api.allow_self_registration)
		do_register(a);
	else
		ask_authenticate(a, r);
}

static void on_unregistered(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	if (r->who == AUTH_NOBODY)
		ask_fail_envelope(a, r);
	else
		ask_reply_envelope(a, 200, NULL, NULL, NULL);
}

void api_post_unregister(struct ask *a, const struct http_request *r)
{
	const struct conf *c = a->api->p.conf;

	if (!c->api.enable_admin && !c->api.allow_self_registration)
		ask_reply_envelope(a, 403, NULL, NULL, "unregister not enabled");
	else
		ask_authenticate(a, r);
}

void api_then_unregister(struct ask *a, const struct auth_result *r)
{
	const char *client;

	if (r->who == AUTH_NOBODY) {
		ask_fail_envelope(a, r);
		return;
	}
	if (!ask_decode(a))
		return;
	client = a->fields[FIELD_CLIENT].value;
	if (client == NULL || client[0] == '\0')
		ask_reply_envelope(a, 400, NULL, NULL, "client id should not be empty");
	else if (r->who != AUTH_ADMIN && !str_eq(r->client, str_of(client)))
		ask_reply_envelope(a, 403, NULL, NULL, "client id not valid");
	else
		auth_unregister(a->api->p.auth, client, on_unregistered, a);
}

void api_get_ws(struct ask *a, const struct http_request *r)
{
	ask_authenticate(a, r);
}

void api_then_ws(struct ask *a, const struct auth_result *r)
{
	char text[160];

	if (r->who == AUTH_CLIENT) {
		plugins_accept(a->api->p.plugins, a->id, r->client);
		ask_free(a);
	} else if (r->who == AUTH_ADMIN) { // the admin is no Mattermost server (D9)
		ask_reply_text(a, 403, "the admin key does not open /ws\n");
	} else {
		snprintf(text, sizeof(text), "%s\n", r->error);
		ask_reply_text(a, r->status, text);
	}
}
