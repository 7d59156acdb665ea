// The HTTP API: routes, bodies and statuses as rtcd's clients expect them. thread: loop.
#pragma once

#include "controlplane/auth/auth.h"
#include "controlplane/http/http.h"
#include "controlplane/calls/hub.h"
#include "controlplane/sys/metrics.h"
#include "controlplane/sys/sysload.h"
#include "controlplane/plugin/plugins.h"
#include "lib/conf/conf.h"

struct api_parts { // all borrowed until api_free
	const struct conf *conf;
	struct http *http;
	struct auth *auth;
	struct plugins *plugins;
	struct hub *hub; // NULL: /calls answers 503. Bind NULL when it is freed first
	struct metrics *metrics;
	struct sysload *sysload;
};

struct api;
struct api *api_new(void);                             // NULL + errno
void api_bind(struct api *, const struct api_parts *); // before the first request; again when a part goes
void api_free(struct api *);                           // after http_free and auth_free; NULL is allowed

// http_handler_fn; arg: struct api.
void api_on_request(void *arg, const struct http_request *);
