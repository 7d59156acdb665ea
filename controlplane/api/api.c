// One table of routes. A wrong method is the same 404 as an unknown path; a path that is not clean is
// redirected before anything else is looked at. A question that must wait (credentials) keeps a struct ask:
// copies of what it needs, and the id of the connection, which may be gone when the answer comes.
#include "controlplane/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "controlplane/sys/json.h"
#include "controlplane/api/mediajson.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/version.h"

#define JSON "application/json"

struct ask;
struct route {
	const char *method; // NULL: any
	const char *path;   // "*" stands for one segment
	void (*start)(struct ask *, const struct http_request *);
	void (*then)(struct ask *, const struct auth_result *); // after auth_check
};

struct ask {
	struct api *api;
	const struct route *route;
	http_id id;
	struct http_source source;
	char call_id[256], session_id[256];
	char *body; // owned
	size_t body_len;
	struct json_field fields[2]; // clientID, authKey
	LIST_ENTRY(ask) link;
};

struct api {
	struct api_parts p;
	LIST_HEAD(, ask) asks;
};

enum { FIELD_CLIENT, FIELD_KEY, N_FIELDS };

// --- answers -------------------------------------------------------------------------------------------
static void ask_free(struct ask *a)
{
	LIST_REMOVE(a, link);
	json_fields_free(a->fields, N_FIELDS);
	if (a->body)
		explicit_bzero(a->body, a->body_len);
	free(a->body);
	free(a);
}

static void reply_json(struct ask *a, unsigned status, struct str body)
{
	http_reply(a->api->p.http, a->id,
		   &(struct http_response){
			   .status = status, .content_type = JSON, .body = body, .route = a->route->path});
	ask_free(a);
}

static void reply_text(struct ask *a, unsigned status, const char *text)
{
	http_reply_text(a->api->p.http, a->id, status, text, a->route->path);
	ask_free(a);
}

// {"bearerToken","clientID","code","error"}: those that are not NULL, and code.
static void reply_envelope(struct ask *a, unsigned status, const char *token, const char *client,
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
	reply_json(a, status, (struct str){buf, wbuf_len(&w)});
	explicit_bzero(buf, sizeof(buf));
}

static void fail_envelope(struct ask *a, const struct auth_result *r)
{
	reply_envelope(a, r->status, NULL, NULL, r->error);
}

// --- steps -----------------------------------------------------------------------------------------------
// Decode the body's clientID and authKey; a body that is not an object of strings is answered with 400.
static bool decode(struct ask *a)
{
	char why[200];

	a->fields[FIELD_CLIENT].name = "clientID";
	a->fields[FIELD_KEY].name = "authKey";
	if (json_read_strings((struct str){a->body, a->body_len}, a->fields, N_FIELDS, why, sizeof(why)) == 0)
		return true;
	reply_envelope(a, 400, NULL, NULL, why);
	return false;
}

static void on_auth(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	a->route->then(a, r);
}

static void authenticate(struct ask *a, const struct http_request *r)
{
	auth_check(a->api->p.auth, &a->source, http_find(r->head, STR("authorization")), on_auth, a);
}

// --- routes ----------------------------------------------------------------------------------------------
static void get_version(struct ask *a, const struct http_request *)
{
	char buf[512], version[128];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	// Semver build metadata is [0-9A-Za-z.-]; anything else in a tag's name becomes '-'.
	snprintf(version, sizeof(version), "%s", version_commit);
	for (char *c = version; *c; c++)
		if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		      *c == '.'))
			*c = '-';
	wbuf_printf(&w,
		    "{\"buildDate\":\"\",\"buildVersion\":\"v1.2.6+sluice.%s\",\"buildHash\":\"%s\","
		    "\"goVersion\":\"\","
		    "\"goOS\":\"linux\",\"goArch\":\"amd64\",\"product\":\"sluice\",\"version\":\"%s\"}\n",
		    version, version, version);
	reply_json(a, 200, (struct str){buf, wbuf_len(&w)});
}

static void get_system(struct ask *a, const struct http_request *)
{
	char buf[64];
	struct hub_load load = {};

	if (a->api->p.hub)
		hub_load(a->api->p.hub, &load);
	reply_json(
		a, 200,
		(struct str){buf, sysload_write(load.draining ? SYSLOAD_MAX : sysload_get(a->api->p.sysload),
						buf)});
}

static void on_login(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	if (r->who == AUTH_NOBODY)
		fail_envelope(a, r);
	else
		reply_envelope(a, 200, r->token, NULL, NULL);
}

static void post_login(struct ask *a, const struct http_request *)
{
	const char *key;

	if (!decode(a))
		return;
	key = a->fields[FIELD_KEY].value;
	auth_login(a->api->p.auth, &a->source, a->fields[FIELD_CLIENT].value, key ? key : "", on_login, a);
}

static void on_registered(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	if (r->who == AUTH_NOBODY)
		fail_envelope(a, r);
	else
		reply_envelope(a, 201, NULL, a->fields[FIELD_CLIENT].value, NULL);
}

static void do_register(struct ask *a)
{
	if (decode(a))
		auth_register(a->api->p.auth, &a->source, a->fields[FIELD_CLIENT].value,
			      a->fields[FIELD_KEY].value, on_registered, a);
}

static void then_register(struct ask *a, const struct auth_result *r)
{
	if (r->who == AUTH_NOBODY)
		fail_envelope(a, r);
	else if (r->who != AUTH_ADMIN) // another tenant does not make tenants (D1)
		reply_envelope(a, 403, NULL, NULL, "registration failed: not allowed");
	else
		do_register(a);
}

static void post_register(struct ask *a, const struct http_request *r)
{
	if (a->api->p.conf->api.allow_self_registration)
		do_register(a);
	else
		authenticate(a, r);
}

static void on_unregistered(void *arg, const struct auth_result *r)
{
	struct ask *a = arg;

	if (r->who == AUTH_NOBODY)
		fail_envelope(a, r);
	else
		reply_envelope(a, 200, NULL, NULL, NULL);
}

static void post_unregister(struct ask *a, const struct http_request *r)
{
	const struct conf *c = a->api->p.conf;

	if (!c->api.enable_admin && !c->api.allow_self_registration)
		reply_envelope(a, 403, NULL, NULL, "unregister not enabled");
	else
		authenticate(a, r);
}

static void then_unregister(struct ask *a, const struct auth_result *r)
{
	const char *client;

	if (r->who == AUTH_NOBODY) {
		fail_envelope(a, r);
		return;
	}
	if (!decode(a))
		return;
	client = a->fields[FIELD_CLIENT].value;
	if (client == NULL || client[0] == '\0')
		reply_envelope(a, 400, NULL, NULL, "client id should not be empty");
	else if (r->who != AUTH_ADMIN && !str_eq(r->client, str_of(client)))
		reply_envelope(a, 403, NULL, NULL, "client id not valid");
	else
		auth_unregister(a->api->p.auth, client, on_unregistered, a);
}

static void get_ws(struct ask *a, const struct http_request *r)
{
	authenticate(a, r);
}

static void then_ws(struct ask *a, const struct auth_result *r)
{
	char text[160];

	if (r->who == AUTH_CLIENT) {
		plugins_accept(a->api->p.plugins, a->id, r->client);
		ask_free(a);
	} else if (r->who == AUTH_ADMIN) { // the admin is no Mattermost server (D9)
		reply_text(a, 403, "the admin key does not open /ws\n");
	} else {
		snprintf(text, sizeof(text), "%s\n", r->error);
		reply_text(a, r->status, text);
	}
}

// --- /calls ------------------------------------------------------------------------------------------------
struct listing {
	FILE *out;
	bool is_list;
	unsigned n;
};

static void write_bool(struct wbuf *w, const char *name, bool has, bool value)
{
	wbuf_printf(w, "\"%s\":%s", name, has ? (value ? "true" : "false") : "null");
}

static void write_member(struct wbuf *w, const struct member *m)
{
	const struct join_flags *f = &m->flags;

	wbuf_printf(w, "{\"GroupID\":");
	json_write_str(w, str_of(m->call->group->client));
	wbuf_printf(w, ",\"CallID\":");
	json_write_str(w, str_of(m->call->id));
	wbuf_printf(w, ",\"UserID\":");
	json_write_str(w, str_of(m->user_id));
	wbuf_printf(w, ",\"SessionID\":");
	json_write_str(w, str_of(m->session_id));
	wbuf_printf(w, ",\"Props\":{");
	write_bool(w, "av1Support", f->has_av1, f->av1_support);
	wbuf_printf(w, ",\"channelID\":");
	if (f->has_channel)
		json_write_str(w, str_of(m->channel_id));
	else
		wbuf_printf(w, "null");
	wbuf_printf(w, ",");
	write_bool(w, "dcSignaling", f->has_dc, f->dc_signaling);
	wbuf_printf(w, "}}");
}

static void list_member(struct listing *l, const struct member *m)
{
	char buf[9216]; // five ids of at most 256 bytes, six-fold when escaped, and the names
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	write_member(&w, m);
	if (w.full)
		return;
	fputs(l->n++ > 0 ? "," : l->is_list ? "[" : "", l->out);
	fwrite(buf, 1, wbuf_len(&w), l->out);
}

static void list_hit(struct listing *l, const struct registry_hit *hit)
{
	struct member *m;

	if (!l->is_list)
		list_member(l, hit->member);
	else
		LIST_FOREACH (m, &hit->call->members, link)
			list_member(l, m);
}

static void reply_not_found(struct ask *a, const char *what)
{
	char text[128];
	bool is_list = a->session_id[0] == '\0';

	if (is_list && strcmp(what, "session") == 0)
		snprintf(text, sizeof(text), "failed to get session configs: no sessions found\n");
	else
		snprintf(text, sizeof(text), "failed to get session config%s: %s not found\n",
			 is_list ? "s" : "", what);
	reply_text(a, 404, text);
}

// False: answered.
static bool may_ask_calls(struct ask *a, const struct auth_result *r)
{
	struct hub_load load = {.restoring = true};

	if (r->who != AUTH_CLIENT) {
		reply_text(a, r->who == AUTH_ADMIN || r->status == 401 ? 401 : r->status, "unauthorized\n");
		return false;
	}
	if (a->api->p.hub)
		hub_load(a->api->p.hub, &load);
	if (load.restoring) // a 404 now would make the plugin end a call that lives
		reply_text(a, 503, "calls are being restored\n");
	return !load.restoring;
}

static void then_calls(struct ask *a, const struct auth_result *r)
{
	struct listing l = {.is_list = a->session_id[0] == '\0'};
	struct registry_hit hit;
	char *text = NULL;
	size_t len = 0;

	if (!may_ask_calls(a, r))
		return;
	hit = registry_resolve(hub_registry(a->api->p.hub),
			       &(struct session_key){r->client, str_of(a->call_id), str_of(a->session_id)});
	if (hit.missing != NULL) {
		reply_not_found(a, hit.missing);
		return;
	}
	l.out = open_memstream(&text, &len);
	if (l.out == NULL) {
		reply_text(a, 503, "out of memory\n");
		return;
	}
	list_hit(&l, &hit);
	fputs(l.is_list ? "]\n" : "\n", l.out);
	if (fclose(l.out) != 0)
		reply_text(a, 503, "out of memory\n");
	else if (l.n == 0)
		reply_not_found(a, "session");
	else
		reply_json(a, 200, (struct str){text, len});
	free(text);
}

static void on_media(void *arg, int err, const struct query_view *v)
{
	struct ask *a = arg;
	char *buf = v ? malloc(MEDIAJSON_MAX) : NULL;
	struct wbuf w = wbuf_of(buf, MEDIAJSON_MAX);

	if (v != NULL && buf != NULL) {
		mediajson_write(&w, v);
		reply_json(a, w.full ? 500 : 200, (struct str){buf, w.full ? 0 : wbuf_len(&w)});
	} else if (err == -ENOENT) {
		reply_not_found(a, "session");
	} else {
		reply_text(a, err == -ETIMEDOUT ? 504 : 503, "the dataplane has no answer\n");
	}
	free(buf);
}

static void then_media(struct ask *a, const struct auth_result *r)
{
	const char *what;
	int rc;

	if (!may_ask_calls(a, r))
		return;
	rc = queries_ask(hub_queries(a->api->p.hub),
			 &(struct session_key){r->client, str_of(a->call_id), str_of(a->session_id)}, &what,
			 on_media, a);
	if (rc == -ENOENT)
		reply_not_found(a, what);
	else if (rc < 0)
		reply_text(a, 503, rc == -EBUSY ? "too many questions at once\n" : "no dataplane\n");
}

static void get_calls(struct ask *a, const struct http_request *r)
{
	authenticate(a, r);
}

// --- /metrics ------------------------------------------------------------------------------------------------
static void send_metrics(struct ask *a)
{
	size_t len;
	char *text = metrics_text(a->api->p.metrics, &len);

	if (text == NULL) {
		reply_text(a, 503, "out of memory\n");
		return;
	}
	http_reply(a->api->p.http, a->id,
		   &(struct http_response){.status = 200,
					   .content_type = "text/plain; version=0.0.4; charset=utf-8",
					   .body = {text, len},
					   .route = a->route->path});
	free(text);
	ask_free(a);
}

static void then_metrics(struct ask *a, const struct auth_result *r)
{
	if (r->who == AUTH_ADMIN) // clients see each other's ids there
		send_metrics(a);
	else
		reply_text(a, 401, "unauthorized\n");
}

static void any_metrics(struct ask *a, const struct http_request *r)
{
	if (a->api->p.conf->api.metrics_public)
		send_metrics(a);
	else
		authenticate(a, r);
}

// --- routing ---------------------------------------------------------------------------------------------------
static const struct route routes[] = {
	{"GET", "/version", get_version, NULL},
	{"GET", "/system", get_system, NULL},
	{"POST", "/login", post_login, NULL},
	{"POST", "/register", post_register, then_register},
	{"POST", "/unregister", post_unregister, then_unregister},
	{"GET", "/calls/*/sessions", get_calls, then_calls},
	{"GET", "/calls/*/sessions/*", get_calls, then_calls},
	{"GET", "/calls/*/sessions/*/media", get_calls, then_media},
	{"GET", "/ws", get_ws, then_ws},
	{NULL, "/metrics", any_metrics, then_metrics},
};

// Does path match? Values of "*" go to values in order, percent-decoded.
static bool route_matches(const struct route *route, const struct str *path, int n, char *values[2],
			  size_t size)
{
	struct str pattern[HTTP_MAX_SEGMENTS];
	int n_pattern = http_path_split(str_of(route->path), pattern), n_values = 0;

	if (n_pattern != n)
		return false;
	for (int i = 0; i < n; i++) {
		char *plain = NULL, buf[256];

		if (str_eq(pattern[i], STR("*")))
			plain = n_values < 2 ? values[n_values++] : NULL;
		if (http_unescape(path[i], plain ? plain : buf, plain ? size : sizeof(buf)) < 0)
			return false;
		if (plain == NULL && !str_eq(pattern[i], str_of(buf)))
			return false;
	}
	return true;
}

static const struct route *find_route(const struct http_head *head, char *values[2], size_t size)
{
	struct str path[HTTP_MAX_SEGMENTS];
	int n = http_path_split(head->path, path);

	for (unsigned i = 0; n > 0 && i < ARRAY_LEN(routes); i++)
		if (route_matches(&routes[i], path, n, values, size) &&
		    (routes[i].method == NULL || str_eq(head->method, str_of(routes[i].method))))
			return &routes[i];
	return NULL;
}

static void redirect(struct api *api, const struct http_request *r)
{
	char path[2048], headers[4096];
	int n = http_path_clean(r->head->path, path, sizeof(path));
	const char *query = r->head->query.len > 0 ? "?" : "";

	if (n < 0 || (size_t)n + r->head->query.len > sizeof(headers) - 64 || r->head->query.len > 1500) {
		http_reply_text(api->p.http, r->id, 404, "404 page not found\n", NULL);
		return;
	}
	snprintf(headers, sizeof(headers), "Location: %s%s%.*s\r\n", path, query, STR_ARG(r->head->query));
	http_reply(api->p.http, r->id, &(struct http_response){.status = 301, .headers = headers});
}

static struct ask *ask_new(struct api *api, const struct http_request *r)
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

void api_on_request(void *arg, const struct http_request *r)
{
	struct api *api = arg;
	struct ask *a;
	char *values[2];

	if (!http_path_is_clean(r->head->path)) {
		redirect(api, r);
		return;
	}
	a = ask_new(api, r);
	if (a == NULL) {
		http_reply_text(api->p.http, r->id, 503, "out of memory\n", NULL);
		return;
	}
	values[0] = a->call_id;
	values[1] = a->session_id;
	a->route = find_route(r->head, values, sizeof(a->call_id));
	if (a->route == NULL) {
		http_reply_text(api->p.http, r->id, 404, "404 page not found\n", NULL);
		ask_free(a);
		return;
	}
	a->route->start(a, r);
}

struct api *api_new(void)
{
	struct api *api = calloc(1, sizeof(*api));

	if (api != NULL)
		LIST_INIT(&api->asks);
	return api;
}

void api_bind(struct api *api, const struct api_parts *parts)
{
	api->p = *parts;
}

void api_free(struct api *api)
{
	struct ask *a;

	if (api == NULL)
		return;
	while ((a = LIST_FIRST(&api->asks)) != NULL) {
		if (api->p.hub)
			queries_forget(hub_queries(api->p.hub), a);
		ask_free(a);
	}
	free(api);
}
