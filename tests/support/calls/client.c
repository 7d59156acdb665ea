#include "tests/support/calls/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/session/signal/dcmsg.h"
#include "lib/base/err.h"
#include "lib/rtc/wire/msgpack.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/world.h"

struct client *client_by_id(struct str id)
{
	for (unsigned i = 0; i < world->n_clients; i++)
		if (str_eq(str_of(world->clients[i]->id), id))
			return world->clients[i];
	return NULL;
}

struct client *client_by_sid(uint32_t sid)
{
	for (unsigned i = 0; i < world->n_clients; i++)
		if (world->clients[i]->sid == sid)
			return world->clients[i];
	return NULL;
}

void client_on_sdp(struct client *c, struct str json, bool by_dc)
{
	struct sigmsg_sdp m;
	char **slot;

	CHECK_EQ(sigmsg_parse_sdp(json, &m), 0);
	slot = m.type == SIGMSG_OFFER ? &c->offer : &c->answer;
	free(*slot);
	*slot = strndup(m.sdp.p ? m.sdp.p : "", m.sdp.len);
	if (m.type == SIGMSG_OFFER) {
		c->n_offers++;
		c->offer_by_dc = by_dc;
		c->map_before_offer = c->n_maps >= c->n_offers;
	} else {
		c->n_answers++;
	}
	sigmsg_free(&m);
}

void client_gone(struct client *c)
{
	dchan_free(c->dchan);
	c->dchan = NULL;
	dtls_free(c->dtls);
	c->dtls = NULL;
}

struct client *client_new(const char *id)
{
	struct client *c = calloc(1, sizeof(*c));

	MUST(c != NULL && world->n_clients < MAX_CLIENTS && strlen(id) < sizeof(c->id));
	strcpy(c->id, id);
	world->clients[world->n_clients++] = c;
	return c;
}

void client_join(struct client *c, const char *call, bool dc_signaling)
{
	struct join_msg j = {.call_id = str_of(call),
			     .user_id = STR("user"),
			     .session_id = str_of(c->id),
			     .channel_id = STR("channel"),
			     .flags = {.has_channel = true, .dc_signaling = dc_signaling, .has_dc = true}};

	hub_plugin_ops.join(world->hub, 1, STR("clientA"), &j);
}

void client_rtc(struct client *c, enum rtc_type type, const char *data)
{
	hub_plugin_ops.rtc(world->hub, 1, STR("clientA"), str_of(c->id), type, str_of(data));
}

void client_send_sdp(struct client *c, enum sigmsg_type type, const char *sdp, bool by_dc)
{
	static char json[SIGMSG_MAX_JSON];
	static uint8_t msg[SIGMSG_MAX_JSON];
	struct wbuf w = wbuf_of(json, sizeof(json)), m = wbuf_of(msg, sizeof(msg));

	sigmsg_write_sdp(&w, type, str_of(sdp));
	CHECK(!w.full);
	if (!by_dc) {
		hub_plugin_ops.rtc(world->hub, 1, STR("clientA"), str_of(c->id), RTC_SDP,
				   (struct str){json, wbuf_len(&w)});
		return;
	}
	CHECK_EQ(dcmsg_write_sdp(&m, (struct str){json, wbuf_len(&w)}), 0);
	CHECK_EQ(dchan_send(c->dchan, 0, DCHAN_BINARY, msg, wbuf_len(&m)), 0);
}

// Data channel, and a microphone when ssrc is not 0; as Chromium writes it, shortened.
static char *client_sdp(struct client *c, uint32_t ssrc)
{
	char *out;
	char mic[2048] = "";

	if (ssrc != 0)
		snprintf(mic, sizeof(mic),
			 "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:cccc\r\n"
			 "a=ice-pwd:cccccccccccccccccccccccc\r\na=fingerprint:sha-256 "
			 "%s\r\na=setup:actpass\r\na=mid:1\r\n"
			 "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
			 "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\na=msid:stream-%s "
			 "track-1\r\n"
			 "a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n"
			 "a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=ssrc:%u "
			 "cname:c\r\n",
			 dtls_ctx_fingerprint(world->dtls), c->id, ssrc);
	MUST(asprintf(&out,
		      "v=0\r\no=- 1 %u IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE "
		      "0%s\r\na=extmap-allow-mixed\r\n"
		      "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 "
		      "0.0.0.0\r\na=ice-ufrag:cccc\r\n"
		      "a=ice-pwd:cccccccccccccccccccccccc\r\na=ice-options:trickle\r\na=fingerprint:sha-256 "
		      "%s\r\n"
		      "a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n%s",
		      ssrc ? 2 : 1, ssrc ? " 1" : "", dtls_ctx_fingerprint(world->dtls), mic) > 0);
	return out;
}

void client_offer(struct client *c, uint32_t ssrc, bool by_dc)
{
	char *sdp = client_sdp(c, ssrc);

	client_send_sdp(c, SIGMSG_OFFER, sdp, by_dc);
	free(sdp);
}

static void on_client_send(void *arg, const uint8_t *p, size_t len)
{
	struct client *c = arg;

	dp_punt_to_cp(c->sid, p, len);
}
static void on_client_packet(void *arg, const uint8_t *p, size_t len)
{
	struct client *c = arg;

	if (c->dtls && dtls_send(c->dtls, p, len) < 0)
		c->is_down = true;
}
static void on_client_up(void *arg)
{
	struct client *c = arg;

	CHECK_EQ(dchan_open(c->dchan, 0, STR("calls-dc")), 0);
}
static void on_client_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	((struct client *)arg)->has_channel = true;
}

static void client_on_map(struct client *c, const uint8_t *data, size_t len)
{
	struct mp_reader r = mp_reader_of(data, len);
	uint64_t type;
	uint32_t n, two;
	struct str mid, key, value;

	c->n_maps++;
	c->n_map = 0;
	CHECK_OR_RETURN(mp_read_uint(&r, &type) == 0 && mp_read_map(&r, &n) == 0);
	for (; n > 0; n--) {
		CHECK_OR_RETURN(mp_read_str(&r, &mid) == 0 && mp_read_map(&r, &two) == 0 && two == 2);
		CHECK_OR_RETURN(mp_read_str(&r, &key) == 0 && mp_read_str(&r, &value) == 0);
		CHECK(str_copy(value, c->map_type, sizeof(c->map_type)));
		CHECK_OR_RETURN(mp_read_str(&r, &key) == 0 && mp_read_str(&r, &value) == 0);
		CHECK(str_copy(value, c->map_sender, sizeof(c->map_sender)));
		if (c->n_map < ARRAY_LEN(c->map))
			snprintf(c->map[c->n_map++], sizeof(c->map[0]), "%s %.31s", c->map_type,
				 c->map_sender);
	}
}

static void on_client_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data,
			      size_t len)
{
	static char json[DCMSG_MAX_JSON];
	struct client *c = arg;
	struct dcmsg m;
	int n;

	if (kind == DCHAN_TEXT) {
		c->n_text_pongs += len == 4 && memcmp(data, "pong", 4) == 0;
		return;
	}
	CHECK_EQ(dcmsg_parse(data, len, &m), 0);
	switch (m.type) {
	case DCMSG_PONG:
		c->n_pongs++;
		break;
	case DCMSG_LOCK:
		c->n_locks++;
		CHECK_EQ(len, 3);
		c->lock_granted = data[2] == 0xc3;
		break;
	case DCMSG_MEDIA_MAP:
		client_on_map(c, data, len);
		break;
	case DCMSG_SDP:
		n = dcmsg_inflate(m.zipped, json, sizeof(json));
		CHECK_OR_RETURN(n > 0);
		client_on_sdp(c, (struct str){json, (size_t)n}, true);
		break;
	default:
		break;
	}
}
static void on_client_closed(void *arg, uint16_t stream)
{
}
static void on_client_down(void *arg)
{
	((struct client *)arg)->has_channel = false;
}
static const struct dchan_ops client_dchan_ops = {on_client_packet,  on_client_up,     on_client_open,
						  on_client_message, on_client_closed, on_client_down};

static void on_client_dtls_up(void *arg)
{
	struct client *c = arg;

	c->is_up = true;
	c->dchan = dchan_new(&client_dchan_ops, c);
}
static void on_client_data(void *arg, const uint8_t *p, size_t len)
{
	struct client *c = arg;

	if (c->dchan)
		dchan_input(c->dchan, p, len);
}
static void on_client_end(void *arg, enum dtls_end why)
{
	((struct client *)arg)->is_down = true;
}
const struct dtls_ops client_dtls_ops = {on_client_send, on_client_dtls_up, on_client_data, on_client_end};

// The fingerprint the answer announced.
struct dtls_fingerprint client_answer_fingerprint(const struct client *c)
{
	struct dtls_fingerprint fp = {};
	const char *at = c->answer ? strstr(c->answer, "a=fingerprint:sha-256 ") : NULL;

	CHECK(at != NULL);
	if (at)
		CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), (struct str){at + 22, 95}), 0);
	return fp;
}

void client_start_dtls(struct client *c)
{
	struct dtls_fingerprint fp = client_answer_fingerprint(c);

	c->dtls = dtls_new(world->dtls, DTLS_CLIENT, &fp, &client_dtls_ops, c);
	dtls_start(c->dtls, loop_now(world->loop));
}

// Join, negotiate, connect, open the channel.
struct client *client_connect(const char *id, const char *call, uint32_t ssrc, bool dc_signaling)
{
	struct client *c = client_new(id);

	client_join(c, call, dc_signaling);
	CHECK(world_until(c->sid != 0, 2));
	client_offer(c, ssrc, false);
	CHECK_EQ(c->n_answers, 1);
	dp_path(c);
	client_start_dtls(c);
	CHECK(world_until(c->has_channel, 5));
	return c;
}

// Accept the newest offer as a browser does that has nothing to add.
char *client_accept(struct client *c)
{
	char *out = NULL, *copy = strdup(c->offer ? c->offer : ""), *rest = copy, *line;
	size_t size;
	FILE *f = open_memstream(&out, &size);
	bool is_data = false;

	while ((line = strsep(&rest, "\n")) != NULL) {
		line[strcspn(line, "\r")] = '\0';
		if (strncmp(line, "m=", 2) == 0)
			is_data = strncmp(line, "m=application", 13) == 0;
		if (strncmp(line, "a=ice-lite", 10) == 0 || strncmp(line, "a=candidate", 11) == 0 ||
		    strncmp(line, "a=ssrc", 6) == 0 || strncmp(line, "a=msid:", 7) == 0 || *line == '\0' ||
		    strncmp(line, "a=end-of", 8) == 0)
			continue;
		if (strncmp(line, "a=ice-ufrag:", 12) == 0)
			fputs("a=ice-ufrag:cccc\r\n", f);
		else if (strncmp(line, "a=ice-pwd:", 10) == 0)
			fputs("a=ice-pwd:cccccccccccccccccccccccc\r\n", f);
		else if (strncmp(line, "a=fingerprint", 13) == 0)
			fprintf(f, "a=fingerprint:sha-256 %s\r\n", dtls_ctx_fingerprint(world->dtls));
		else if (strncmp(line, "a=setup:", 8) == 0)
			fputs("a=setup:active\r\n", f);
		else if (!is_data && strcmp(line, "a=sendonly") == 0)
			fputs("a=recvonly\r\n", f);
		else if (!is_data && strcmp(line, "a=recvonly") == 0)
			fputs("a=sendonly\r\n", f);
		else if (strncmp(line, "o=", 2) == 0)
			fprintf(f, "o=- 1 %u IN IP4 127.0.0.1\r\n", 10 + c->n_offers);
		else
			fprintf(f, "%s\r\n", line);
	}
	fclose(f);
	free(copy);
	return out;
}

void client_answer(struct client *c)
{
	char *sdp = client_accept(c);

	client_send_sdp(c, SIGMSG_ANSWER, sdp, c->offer_by_dc);
	free(sdp);
}

void client_dc(struct client *c, const void *data, size_t len, enum dchan_kind kind)
{
	CHECK_EQ(dchan_send(c->dchan, 0, kind, data, len), 0);
}
