// What this node is and how it fares: /version, /system, /metrics.
#include "controlplane/api/api_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/link/link.h"
#include "controlplane/sys/sysload.h"
#include "lib/base/version.h"

#define AWAY_NS (2 * NS_PER_S)

// Is there a dataplane? A short absence is a restart, which calls survive.
static bool node_serves(const struct api *api)
{
	return api->p.hub == NULL || link_down_for(hub_link(api->p.hub)) < AWAY_NS;
}

void api_get_version(struct ask *a, const struct http_request *)
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
	ask_reply_json(a, node_serves(a->api) ? 200 : 503, (struct str){buf, wbuf_len(&w)});
}

void api_get_system(struct ask *a, const struct http_request *)
{
	char buf[64];

	ask_reply_json(a, 200, (struct str){buf, sysload_write(sysload_get(a->api->p.sysload), buf)});
}

static void send_metrics(struct ask *a)
{
	size_t len;
	char *text = metrics_text(a->api->p.metrics, &len);

	if (text == NULL) {
		ask_reply_text(a, 503, "out of memory\n");
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

void api_then_metrics(struct ask *a, const struct auth_result *r)
{
	if (r->who == AUTH_ADMIN) // clients see each other's ids there
		send_metrics(a);
	else
		ask_reply_text(a, r->status == 429 ? 429 : 401,
			       r->status == 429 ? "too many failures\n" : "unauthorized\n");
}

void api_any_metrics(struct ask *a, const struct http_request *r)
{
	if (a->api->p.conf->api.metrics_public)
		send_metrics(a);
	else
		ask_authenticate(a, r);
}
