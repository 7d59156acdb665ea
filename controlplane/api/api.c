// One table of routes. A wrong method is the same 404 as an unknown path; a path that is not clean is
// redirected before anything else is looked at.
#include "controlplane/api/api_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/calls/query.h"
#include "controlplane/http/httppath.h"
#include "lib/base/err.h"

static const struct route routes[] = {
	{"GET", "/version", api_get_version, NULL},
	{"GET", "/system", api_get_system, NULL},
	{"POST", "/login", api_post_login, NULL},
	{"POST", "/register", api_post_register, api_then_register},
	{"POST", "/unregister", api_post_unregister, api_then_unregister},
	{"GET", "/calls/*/sessions", api_get_calls, api_then_calls},
	{"GET", "/calls/*/sessions/*", api_get_calls, api_then_calls},
	{"GET", "/calls/*/sessions/*/media", api_get_calls, api_then_media},
	{"GET", "/ws", api_get_ws, api_then_ws},
	{NULL, "/metrics", api_any_metrics, api_then_metrics},
};

// Does path match? Values of "*" go to values in order, percent-decoded.
static bool route_matches(const struct route *route, const struct str *path, int n, char *values[2],
			  size_t size)
{
	struct str pattern[HTTP_MAX_SEGMENTS];
	int n_pattern = http_path_split(str_of(route->path), pattern), n_values = 0;

	assert(n_pattern > 0);
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

static void redirect_to_clean(struct api *api, const struct http_request *r)
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

void api_on_request(void *arg, const struct http_request *r)
{
	struct api *api = arg;
	struct ask *a;
	char *values[2];

	assert(api->p.http != NULL && api->p.conf != NULL);
	if (!http_path_is_clean(r->head->path)) {
		redirect_to_clean(api, r);
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
