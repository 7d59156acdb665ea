// How our descriptions reach the client: by WebSocket or by data channel, offers after their media map.
#include "controlplane/session/session_priv.h"

#include <stdlib.h>

#include "controlplane/session/signal/dcmsg.h"
#include "controlplane/session/signal/sigmsg.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define MAX_MAP (64 * 1024) // bytes of a media map: 192 lines of at most 170
#define HELD_POLL (10 * NS_PER_MS)

static void send_map(struct session *s, const struct negotiate_sdp *sdp)
{
	struct dcmsg_line *lines = calloc(sdp->n_map + 1, sizeof(*lines));
	uint8_t *msg = malloc(MAX_MAP);
	struct wbuf w = wbuf_of(msg, MAX_MAP);

	if (lines == NULL || msg == NULL)
		goto out;
	for (unsigned i = 0; i < sdp->n_map; i++)
		lines[i] =
			(struct dcmsg_line){sdp->map[i].mid, str_of(sdp->map[i].type), sdp->map[i].sender_id};
	dcmsg_write_map(&w, lines, sdp->n_map);
	if (!w.full)
		session_dc_send(s, DCHAN_BINARY, msg, wbuf_len(&w));
	link_await(s->env->link);
out:
	free(lines);
	free(msg);
}

static void send_by_ws(struct session *s, struct str json)
{
	session_tell_plugin(s, DELIVER_ALL, RTC_SDP, json);
}

static int send_by_dc(struct session *s, struct str json)
{
	size_t size = json.len + 1024;
	uint8_t *msg = malloc(size);
	struct wbuf w = wbuf_of(msg, size);
	int rc = msg ? dcmsg_write_sdp(&w, json) : -ENOMEM;

	if (rc == 0)
		rc = session_dc_send(s, DCHAN_BINARY, msg, wbuf_len(&w));
	link_await(s->env->link); // a long one waits for room in the peer's window
	free(msg);
	return rc;
}

void session_drop_held(struct session *s)
{
	free(s->held_offer);
	s->held_offer = NULL;
	loop_cancel(s->env->loop, &s->held_timer);
}

static void on_held_timer(struct timer *t, ns_t now)
{
	struct session *s = container_of(t, struct session, held_timer);

	if (s->life == LIFE_CHANNEL && !dchan_is_flushed(s->dchan) &&
	    now - s->held_since < SESSION_MAP_ACK_MS * NS_PER_MS) {
		loop_arm_in(s->env->loop, t, HELD_POLL);
		return;
	}
	send_by_ws(s, str_of(s->held_offer));
	session_drop_held(s);
}

// Map and offer travel on different transports: the map first, the offer when the client has it (D27).
static void hold_offer(struct session *s, struct str json)
{
	session_drop_held(s);
	s->held_offer = strndup(json.p, json.len);
	if (s->held_offer == NULL)
		return; // the answer time-out makes another one
	s->held_since = loop_now(s->env->loop);
	s->held_timer.on_due = on_held_timer;
	loop_arm_in(s->env->loop, &s->held_timer, HELD_POLL);
}

static void route_sdp(struct session *s, const struct negotiate_sdp *sdp, struct str json)
{
	if (!sdp->is_offer) {
		if (!s->answers_by_dc || send_by_dc(s, json) < 0)
			send_by_ws(s, json);
		return;
	}
	session_drop_held(s);
	if (s->life == LIFE_CHANNEL && !sdp->ice_restart)
		send_map(s, sdp);
	if (sdp->ice_restart || s->life != LIFE_CHANNEL)
		send_by_ws(s, json);
	else if (!s->member.flags.dc_signaling)
		hold_offer(s, json);
	else
		send_by_dc(s, json);
}

void session_send_sdp(struct session *s, const struct negotiate_sdp *sdp)
{
	size_t size = sdp->text.len * 6 + 128; // what a byte may grow to; a peer's words are in it
	char *json = malloc(size);
	struct wbuf w = wbuf_of(json, size);

	if (json == NULL)
		return;
	log_debug(SESSION_FMT ": %s sent, %u lines in the map", SESSION_ARG(s),
		  sdp->is_offer ? "offer" : "answer", sdp->n_map);
	sigmsg_write_sdp(&w, sdp->is_offer ? SIGMSG_OFFER : SIGMSG_ANSWER, sdp->text);
	if (!w.full)
		route_sdp(s, sdp, (struct str){json, wbuf_len(&w)});
	free(json);
}
