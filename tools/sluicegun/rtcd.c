// Signalling as the Calls plugin does it: one WebSocket, two MessagePack values a message, all participants of
// the worker on it.
#include "tools/sluicegun/peer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/rtc/wire/msgpack.h"
#include "tools/sluicegun/ws.h"

#define CREATED 201
#define AUTH_KEY_LEN 24 // characters before a fixed rest: 32 are required

enum rtc_type {
	RTC_ICE = 1,
	RTC_SDP = 2,
	RTC_MUTE = 3,
	RTC_UNMUTE = 4,
	RTC_SCREEN_ON = 5,
	RTC_VOICE_ON = 7,
};

static uint8_t out[DESC_MAX_TEXT * 2 + 1024]; // one message at a time

static void flush(struct worker *w, const struct wbuf *b)
{
	if (b->full || ws_send(w->ws, WS_BINARY, out, wbuf_len(b)) < 0)
		fprintf(stderr, "sluicegun: the WebSocket takes no more\n");
}

// One client for all workers: participants of different clients would never be in the same call.
static int rtcd_open(struct worker *w)
{
	char key[AUTH_KEY_LEN + 1], basic[256], body[256];
	int rc = 0;

	if (w->conf->client) {
		snprintf(basic, sizeof(basic), "%s", w->conf->client);
	} else {
		snprintf(key, sizeof(key), "%08x%08x%08x", w->conf->seed, ~w->conf->seed, 0x5110ce00u);
		snprintf(basic, sizeof(basic), "sluicegun-%08x:%s-sluice-gun-key", w->conf->seed, key);
		snprintf(body, sizeof(body),
			 "{\"clientID\":\"sluicegun-%08x\",\"authKey\":\"%s-sluice-gun-key\"}", w->conf->seed,
			 key);
		rc = http_post(w->conf->host, w->conf->port, "/register", body);
		if (rc < 0)
			return rc;
	}
	// Not created: there already, by another worker or an earlier run with this seed; then the key fits too.
	w->ws = ws_open(w->conf->host, w->conf->port, "/ws", basic, NULL);
	if (w->ws == NULL)
		return w->conf->client || rc != CREATED ? -EACCES : -EPROTO;
	return 0;
}

static void write_pair(struct wbuf *b, const char *name, const char *value)
{
	mp_write_str(b, str_of(name));
	mp_write_str(b, str_of(value));
}

static void rtcd_join(struct peer *p)
{
	struct wbuf b = wbuf_of(out, sizeof(out));

	mp_write_str(&b, STR("join"));
	mp_write_map(&b, 6);
	write_pair(&b, "callID", p->call_id);
	write_pair(&b, "userID", p->session);
	write_pair(&b, "sessionID", p->session);
	write_pair(&b, "channelID", p->call_id);
	mp_write_str(&b, STR("av1Support"));
	mp_write_bool(&b, false);
	mp_write_str(&b, STR("dcSignaling"));
	mp_write_bool(&b, false);
	flush(p->w, &b);
	peer_offer_first(p);
}

static void rtcd_leave(struct peer *p)
{
	struct wbuf b = wbuf_of(out, sizeof(out));

	mp_write_str(&b, STR("leave"));
	mp_write_map(&b, 1);
	write_pair(&b, "sessionID", p->session);
	flush(p->w, &b);
}

static void send_rtc(struct peer *p, enum rtc_type type, const char *data)
{
	struct wbuf b = wbuf_of(out, sizeof(out));

	mp_write_str(&b, STR("rtc"));
	mp_write_map(&b, data ? 6 : 5);
	write_pair(&b, "group_id", "");
	write_pair(&b, "user_id", "");
	write_pair(&b, "session_id", p->session);
	write_pair(&b, "call_id", "");
	mp_write_str(&b, STR("type"));
	mp_write_uint(&b, type);
	if (data) {
		mp_write_str(&b, STR("data"));
		mp_write_bin(&b, data, strlen(data));
	}
	flush(p->w, &b);
}

static void rtcd_sdp(struct peer *p, bool is_offer, struct str sdp)
{
	json_t *o = json_pack("{s:s,s:s%}", "type", is_offer ? "offer" : "answer", "sdp", sdp.p, sdp.len);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	MUST(text != NULL);
	send_rtc(p, RTC_SDP, text);
	free(text);
	json_decref(o);
}

static void rtcd_track(struct peer *p, enum peer_track track, bool is_on)
{
	char data[96];

	if (track == TRACK_VOICE) {
		send_rtc(p, is_on ? RTC_UNMUTE : RTC_MUTE, NULL);
		return;
	}
	// The line that follows has the session's id as its stream's.
	snprintf(data, sizeof(data), "{\"screenStreamID\":\"%s\"}", p->session);
	send_rtc(p, RTC_SCREEN_ON, data);
}

// --- in --------------------------------------------------------------------------------------------------

struct rtc_msg {
	struct str session, data;
	uint64_t type;
};

static int read_rtc(struct mp_reader *r, struct rtc_msg *m)
{
	uint32_t n;

	*m = (struct rtc_msg){};
	if (mp_read_map(r, &n) < 0)
		return -EBADMSG;
	while (n-- > 0) {
		struct str key;
		int rc;

		if (mp_read_bytes(r, false, &key) < 0)
			return -EBADMSG;
		if (str_eq(key, STR("session_id")) || str_eq(key, STR("sessionID")))
			rc = mp_read_bytes(r, true, &m->session);
		else if (str_eq(key, STR("type")))
			rc = mp_read_uint(r, &m->type);
		else if (str_eq(key, STR("data")))
			rc = mp_read_bytes(r, true, &m->data);
		else
			rc = mp_skip(r);
		if (rc < 0)
			return -EBADMSG;
	}
	return 0;
}

static void on_signal(struct peer *p, const struct rtc_msg *m)
{
	json_t *o = json_loadb(m->data.p, m->data.len, 0, NULL);
	const char *type = NULL, *text = NULL;

	if (o && m->type == RTC_SDP && json_unpack(o, "{s:s,s:s}", "type", &type, "sdp", &text) == 0)
		peer_on_sdp(p, strcmp(type, "offer") == 0, str_of(text));
	else if (o && m->type == RTC_ICE && json_unpack(o, "{s:{s:s}}", "candidate", "candidate", &text) == 0)
		peer_on_candidate(p, str_of(text));
	json_decref(o);
}

static void rtcd_on_message(void *arg, uint8_t *data, size_t len)
{
	struct worker *w = arg;
	struct mp_reader r = mp_reader_of(data, len);
	struct rtc_msg m;
	struct str type;
	struct peer *p;

	if (mp_read_bytes(&r, false, &type) < 0 || read_rtc(&r, &m) < 0)
		return;
	if (str_eq(type, STR("vad"))) {
		w->tally->n_vad += m.type == RTC_VOICE_ON;
		return;
	}
	p = worker_find(w, m.session);
	if (p == NULL)
		return;
	if (str_eq(type, STR("rtc")))
		on_signal(p, &m);
	else if (str_eq(type, STR("close")))
		peer_on_closed(p);
}

const struct signaling signaling_rtcd = {.open = rtcd_open,
					 .on_message = rtcd_on_message,
					 .join = rtcd_join,
					 .leave = rtcd_leave,
					 .sdp = rtcd_sdp,
					 .track = rtcd_track,
					 .has_channel = true};
