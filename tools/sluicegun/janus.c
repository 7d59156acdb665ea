// Signalling of Janus: the videoroom plugin over its WebSocket API, one session for the worker, one handle for each
// peer connection. People who talk publish on one connection and listen on another, as Janus's own clients do.
//
// A room is a call; its number is that of the run and the call, and a publisher's feed is its id plus one, so that
// listeners know whom to subscribe to. Whoever asks for a feed that is not there yet asks again a second later.
#include "tools/sluicegun/peer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "tools/sluicegun/ws.h"

#define PLUGIN "janus.plugin.videoroom"
#define KEEPALIVE_S 20

static void send_json(struct worker *w, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	MUST(text != NULL);
	if (ws_send(w->ws, WS_TEXT, text, strlen(text)) < 0)
		fprintf(stderr, "sluicegun: the WebSocket takes no more\n");
	free(text);
	json_decref(o);
}

static json_int_t room(const struct peer *p)
{
	return (json_int_t)(p->w->conf->seed % 1000000) * 100000 + p->call + 1;
}

// A request to the plugin; body and jsep (may be NULL) are consumed.
static void request(struct peer *p, json_t *body, json_t *jsep)
{
	json_t *o = json_pack("{s:s,s:I,s:I,s:s,s:o}", "janus", "message", "session_id",
			      (json_int_t)p->w->session, "handle_id", (json_int_t)p->handle, "transaction",
			      "m", "body", body);

	if (jsep)
		json_object_set_new(o, "jsep", jsep);
	send_json(p->w, o);
}

static int janus_open(struct worker *w)
{
	w->ws = ws_open(w->conf->host, w->conf->port, "/", NULL, "janus-protocol");
	if (w->ws == NULL)
		return -errno;
	send_json(w, json_pack("{s:s,s:s}", "janus", "create", "transaction", "create"));
	return 0;
}

static void attach(struct peer *p)
{
	char id[16];

	snprintf(id, sizeof(id), "a%u", p->id);
	send_json(p->w, json_pack("{s:s,s:I,s:s,s:s}", "janus", "attach", "session_id",
				  (json_int_t)p->w->session, "plugin", PLUGIN, "transaction", id));
}

static void janus_join(struct peer *p)
{
	if (p->w->session)
		attach(p); // else when the session is there
}

static void janus_leave(struct peer *p)
{
	if (p->handle)
		send_json(p->w, json_pack("{s:s,s:I,s:I,s:s}", "janus", "detach", "session_id",
					  (json_int_t)p->w->session, "handle_id", (json_int_t)p->handle,
					  "transaction", "d"));
}

// --- publishers and listeners ------------------------------------------------------------------------------

static void join_publisher(struct peer *p)
{
	// The first of a call makes its room; for the others it is there already, which is no harm.
	request(p,
		json_pack("{s:s,s:I,s:i,s:i,s:b,s:s,s:s,s:b}", "request", "create", "room", room(p),
			  "publishers", 1000, "bitrate", 0, "notify_joining", 0, "audiocodec", "opus",
			  "videocodec", "vp8", "audiolevel_event", 0),
		NULL);
	request(p,
		json_pack("{s:s,s:s,s:I,s:I}", "request", "join", "ptype", "publisher", "room", room(p), "id",
			  (json_int_t)p->id + 1),
		NULL);
}

static void join_listener(struct peer *p)
{
	const struct gun_conf *c = p->w->conf;
	json_t *streams = json_array();

	for (unsigned i = 0; i < c->n_publishers; i++) {
		uint32_t id = p->call * c->people + i;

		if (id != p->speaks_as)
			json_array_append_new(streams, json_pack("{s:I}", "feed", (json_int_t)id + 1));
	}
	p->is_asking = false;
	request(p,
		json_pack("{s:s,s:s,s:I,s:o}", "request", "join", "ptype", "subscriber", "room", room(p),
			  "streams", streams),
		NULL);
}

static bool is_publisher(const struct peer *p)
{
	return p->tracks != 0;
}

static void on_attached(struct peer *p, uint64_t handle)
{
	p->handle = handle;
	if (is_publisher(p))
		join_publisher(p);
	else
		join_listener(p);
}

static void janus_sdp(struct peer *p, bool is_offer, struct str sdp)
{
	json_t *body = is_offer ? json_pack("{s:s}", "request", "publish")
				: json_pack("{s:s,s:I}", "request", "start", "room", room(p));

	request(p, body,
		json_pack("{s:s,s:s%}", "type", is_offer ? "offer" : "answer", "sdp", sdp.p, sdp.len));
}

static void janus_track(struct peer *p, enum peer_track track, bool is_on)
{
}

// --- in ----------------------------------------------------------------------------------------------------

static struct peer *by_handle(struct worker *w, uint64_t handle)
{
	for (unsigned i = 0; i < w->n_peers; i++)
		if (handle != 0 && w->peer[i].handle == handle)
			return &w->peer[i];
	return NULL;
}

static void on_success(struct worker *w, const char *transaction, uint64_t id)
{
	if (strcmp(transaction, "create") == 0) {
		w->session = id;
		for (unsigned i = 0; i < w->n_peers; i++)
			if (w->peer[i].state == PEER_JOINING)
				attach(&w->peer[i]);
		return;
	}
	if (transaction[0] != 'a')
		return;
	for (unsigned i = 0; i < w->n_peers; i++)
		if (w->peer[i].id == strtoul(transaction + 1, NULL, 10) && w->peer[i].state == PEER_JOINING)
			on_attached(&w->peer[i], id);
}

static void on_event(struct peer *p, json_t *o)
{
	const char *kind = NULL, *type = NULL, *sdp = NULL;
	int error = 0;

	(void)!json_unpack(o, "{s:{s:{s?:s,s?:i}}}", "plugindata", "data", "videoroom", &kind, "error_code",
			   &error);
	if (json_unpack(o, "{s:{s:s,s:s}}", "jsep", "type", &type, "sdp", &sdp) == 0)
		peer_on_sdp(p, strcmp(type, "offer") == 0, str_of(sdp));
	else if (kind && strcmp(kind, "joined") == 0 && is_publisher(p) && p->state == PEER_JOINING)
		peer_offer_first(p);
	else if (error != 0 && !is_publisher(p))
		p->is_asking = true;
	else if (error != 0)
		peer_fail(p, "refused by the room");
}

static void janus_on_message(void *arg, uint8_t *data, size_t len)
{
	struct worker *w = arg;
	json_t *o = json_loadb((char *)data, len, 0, NULL);
	const char *janus = NULL, *transaction = "";
	json_int_t sender = 0, id = 0;
	struct peer *p;

	if (o == NULL || json_unpack(o, "{s:s,s?:s,s?:I,s?:{s?:I}}", "janus", &janus, "transaction",
				     &transaction, "sender", &sender, "data", "id", &id) < 0) {
		json_decref(o);
		return;
	}
	p = by_handle(w, (uint64_t)sender);
	if (strcmp(janus, "success") == 0 && id != 0)
		on_success(w, transaction, (uint64_t)id);
	else if (strcmp(janus, "event") == 0 && p)
		on_event(p, o);
	else if (strcmp(janus, "hangup") == 0 && p)
		peer_on_closed(p);
	json_decref(o);
}

static void janus_tick(struct worker *w)
{
	if (w->session == 0)
		return;
	if (w->now / NS_PER_S % KEEPALIVE_S == 0)
		send_json(w, json_pack("{s:s,s:I,s:s}", "janus", "keepalive", "session_id",
				       (json_int_t)w->session, "transaction", "k"));
	for (unsigned i = 0; i < w->n_peers; i++)
		if (w->peer[i].is_asking && w->peer[i].state == PEER_JOINING)
			join_listener(&w->peer[i]);
}

const struct signaling signaling_janus = {.open = janus_open,
					  .on_message = janus_on_message,
					  .join = janus_join,
					  .leave = janus_leave,
					  .sdp = janus_sdp,
					  .track = janus_track,
					  .tick = janus_tick};
