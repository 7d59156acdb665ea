#include "controlplane/api/mediajson.h"

#include <arpa/inet.h>
#include <stdbool.h>

#include "controlplane/sys/json.h"

static void write_path(struct wbuf *w, const struct ipc_addr *a)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->family == 0 ||
	    inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->ip, text, sizeof(text)) == NULL) {
		wbuf_printf(w, "null");
		return;
	}
	wbuf_printf(w, "{\"protocol\":\"%s\",\"address\":\"%s\",\"port\":%u}", a->proto == 6 ? "tcp" : "udp",
		    text, a->port);
}

static void write_video(struct wbuf *w, const struct query_video *v)
{
	const struct ipc_leg_state *s = &v->state;

	wbuf_printf(w, "{\"sender_id\":");
	json_write_str(w, v->sender_id);
	wbuf_printf(w, ",\"type\":\"%s\",\"codec\":\"%s\",\"layer\":", v->type, v->codec);
	if (s->layer < s->n_layers)
		wbuf_printf(w, "%u", s->layer);
	else
		wbuf_printf(w, "null");
	wbuf_printf(w, ",\"layer_bps\":[");
	for (unsigned i = 0; i < s->n_layers && i < IPC_TRACK_RIDS; i++)
		wbuf_printf(w, "%s%u", i > 0 ? "," : "", s->layer_bps[i]);
	wbuf_printf(w,
		    "],\"sent_bps\":%u,\"paused\":%s,\"switches\":%u,\"nacked\":%u,\"resent\":%u,"
		    "\"key_requests\":%u}",
		    s->sent_bps, s->is_paused ? "true" : "false", s->n_switches, s->n_nacked, s->n_resent,
		    s->n_key_requests);
}

void mediajson_write(struct wbuf *w, const struct query_view *v)
{
	const struct ipc_session_state *s = &v->state;

	wbuf_printf(w, "{\"session_id\":");
	json_write_str(w, v->session_id);
	wbuf_printf(w,
		    ",\"estimate_bps\":%u,\"rtt_ms\":%u.%03u,\"loss\":%u.%03u,\"queue_ms\":%u,\"probes\":%u,"
		    "\"path\":",
		    s->estimate_bps, s->rtt_us / 1000, s->rtt_us % 1000, s->loss / 1000u, s->loss % 1000u,
		    s->queue_ms, s->n_probes);
	write_path(w, &s->remote);
	wbuf_printf(w, ",\"video\":[");
	for (unsigned i = 0; i < v->n_videos; i++) {
		if (i > 0)
			wbuf_printf(w, ",");
		write_video(w, &v->video[i]);
	}
	wbuf_printf(w, "]}\n");
}
