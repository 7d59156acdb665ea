// Calls as their plugin asks for them: the sessions of a call, one of them, what it receives.
#include "controlplane/api/api_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/mediajson.h"
#include "controlplane/sys/json.h"
#include "lib/base/err.h"

// --- the sessions of a call ---------------------------------------------------------------------
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

struct listing {
	FILE *out;
	bool is_list;
	unsigned n;
};

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
	ask_reply_text(a, 404, text);
}

// False: answered.
static bool may_ask_calls(struct ask *a, const struct auth_result *r)
{
	struct hub_load load = {.restoring = true};

	if (r->who != AUTH_CLIENT) {
		ask_reply_text(a, r->who == AUTH_ADMIN ? 401 : r->status,
			       r->status == 429 ? "too many failures\n" : "unauthorized\n");
		return false;
	}
	if (a->api->p.hub)
		hub_load(a->api->p.hub, &load);
	if (load.restoring) // a 404 now would make the plugin end a call that lives
		ask_reply_text(a, 503, "calls are being restored\n");
	return !load.restoring;
}

static void reply_later(struct ask *a)
{
	http_reply(a->api->p.http, a->id,
		   &(struct http_response){.status = 503,
					   .content_type = "text/plain; charset=utf-8",
					   .body = STR("too many answers at once\n"),
					   .headers = "Retry-After: 1\r\n",
					   .route = a->route->path});
	ask_free(a);
}

// What an answer takes of memory and of time is its tenant's.
static void reply_listing(struct ask *a, struct str client, const struct registry_hit *hit)
{
	struct listing l = {.is_list = a->session_id[0] == '\0'};
	char *text = NULL;
	size_t len = 0;

	l.out = open_memstream(&text, &len);
	if (l.out == NULL) {
		ask_reply_text(a, 503, "out of memory\n");
		return;
	}
	list_hit(&l, hit);
	fputs(l.is_list ? "]\n" : "\n", l.out);
	if (fclose(l.out) != 0)
		ask_reply_text(a, 503, "out of memory\n");
	else if (l.n == 0)
		reply_not_found(a, "session");
	else
		ask_reply_owned(a, client, (struct str){text, len});
	free(text);
}

void api_then_calls(struct ask *a, const struct auth_result *r)
{
	struct registry_hit hit;
	ns_t began;

	if (!may_ask_calls(a, r))
		return;
	hit = registry_resolve(hub_registry(a->api->p.hub),
			       &(struct session_key){r->client, str_of(a->call_id), str_of(a->session_id)});
	if (hit.missing != NULL) {
		reply_not_found(a, hit.missing);
		return;
	}
	if (!http_may_answer(a->api->p.http, r->client) || !tenant_may_work(hit.call->group, clock_now())) {
		reply_later(a);
		return;
	}
	began = clock_work();
	reply_listing(a, r->client, &hit);
	tenant_worked(hit.call->group, clock_work() - began, clock_now());
}

static void on_media(void *arg, int err, const struct query_view *v)
{
	struct ask *a = arg;
	char *buf = v ? malloc(MEDIAJSON_MAX) : NULL;
	struct wbuf w = wbuf_of(buf, MEDIAJSON_MAX);

	if (v != NULL && buf != NULL) {
		mediajson_write(&w, v);
		ask_reply_json(a, w.full ? 500 : 200, (struct str){buf, w.full ? 0 : wbuf_len(&w)});
	} else if (err == -ENOENT) {
		reply_not_found(a, "session");
	} else {
		ask_reply_text(a, err == -ETIMEDOUT ? 504 : 503, "the dataplane has no answer\n");
	}
	free(buf);
}

void api_then_media(struct ask *a, const struct auth_result *r)
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
		ask_reply_text(a, 503, rc == -EBUSY ? "too many questions at once\n" : "no dataplane\n");
}

void api_get_calls(struct ask *a, const struct http_request *r)
{
	ask_authenticate(a, r);
}
