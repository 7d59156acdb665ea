#include "tests/support/calls/video.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/world.h"

const struct offer_line camera[1] = {{'v', "cam", 1000, 1001, "VP8", NULL}};
const struct offer_line screen[2] = {{'v', "scr", 2000, 2001, "VP8", NULL},
				     {'a', "scr", 2100, 0, NULL, NULL}};
const struct offer_line twins[2] = {{'v', "scr", 2000, 2001, "VP8", NULL},
				    {'v', "scr", 3000, 0, "AV1", NULL}};

static void offer_line_write(FILE *f, const struct offer_line *l, unsigned mid)
{
	bool is_av1 = l->codec && strcmp(l->codec, "AV1") == 0;

	fprintf(f,
		"m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:cccc\r\n"
		"a=ice-pwd:cccccccccccccccccccccccc\r\na=fingerprint:sha-256 "
		"%s\r\na=setup:actpass\r\na=mid:%u\r\n"
		"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
		l->kind == 'a' ? "audio" : "video",
		l->kind == 'a' ? "111"
		: is_av1       ? "45"
			       : "96 97",
		dtls_ctx_fingerprint(world->dtls), mid);
	if (l->stream)
		fprintf(f, "a=sendrecv\r\na=msid:%s track-%u\r\n", l->stream, mid);
	else
		fprintf(f, "a=recvonly\r\n");
	fprintf(f, "a=rtcp-mux\r\n");
	if (l->kind == 'a')
		fprintf(f, "a=rtpmap:111 opus/48000/2\r\n");
	else if (is_av1)
		fprintf(f, "a=rtpmap:45 AV1/90000\r\na=rtcp-fb:45 nack\r\na=rtcp-fb:45 nack pli\r\n");
	else
		fprintf(f, "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n"
			   "a=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n");
	if (l->rids)
		fprintf(f,
			"a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
			"a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n%s",
			l->rids);
	if (l->rtx)
		fprintf(f, "a=ssrc-group:FID %u %u\r\na=ssrc:%u cname:c\r\n", l->ssrc, l->rtx, l->rtx);
	if (l->ssrc)
		fprintf(f, "a=ssrc:%u cname:c\r\n", l->ssrc);
}

void client_offer_lines(struct client *c, const struct offer_line *lines, unsigned n)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	fprintf(f, "v=0\r\no=- 1 %u IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0", 1 + c->n_answers);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, " %u", i + 1);
	fprintf(f,
		"\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 "
		"0.0.0.0\r\na=ice-ufrag:cccc\r\n"
		"a=ice-pwd:cccccccccccccccccccccccc\r\na=fingerprint:sha-256 "
		"%s\r\na=setup:actpass\r\na=mid:0\r\n"
		"a=sctp-port:5000\r\na=max-message-size:262144\r\n",
		dtls_ctx_fingerprint(world->dtls));
	for (unsigned i = 0; i < n; i++)
		offer_line_write(f, &lines[i], i + 1);
	fclose(f);
	client_send_sdp(c, SIGMSG_OFFER, out, false);
	free(out);
}

void client_join_av1(struct client *c, bool av1)
{
	struct join_msg j = {
		.call_id = STR("call1"),
		.user_id = STR("user"),
		.session_id = str_of(c->id),
		.flags = {.av1_support = av1, .has_av1 = true, .dc_signaling = true, .has_dc = true}};

	hub_plugin_ops.join(world->hub, 1, STR("clientA"), &j);
	CHECK(world_until(c->sid != 0, 2));
}

struct client *client_connect_with(const char *id, bool av1, const struct offer_line *lines, unsigned n)
{
	struct client *c = client_new(id);

	client_join_av1(c, av1);
	client_offer_lines(c, lines, n);
	CHECK_EQ(c->n_answers, 1);
	dp_path(c);
	client_start_dtls(c);
	CHECK(world_until(c->has_channel, 5));
	return c;
}

unsigned client_n_legs(const struct client *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IPC_MAX_LEGS; i++)
		n += c->legs[i].sid != 0;
	return n;
}

const struct ipc_leg_add *client_leg_of(const struct client *c, const struct client *sender, unsigned track)
{
	for (unsigned i = 0; i < IPC_MAX_LEGS; i++)
		if (c->legs[i].sid != 0 && c->legs[i].src_sid == sender->sid && c->legs[i].src_track == track)
			return &c->legs[i];
	return NULL;
}

bool client_map_has(const struct client *c, const char *entry)
{
	for (unsigned i = 0; i < c->n_map; i++)
		if (strcmp(c->map[i], entry) == 0)
			return true;
	return false;
}

// The viewer is offered something and client_takes it.
void client_takes(struct client *viewer, unsigned n_offers)
{
	CHECK(world_until(viewer->n_offers == n_offers, 2));
	CHECK(viewer->map_before_offer);
	client_answer(viewer);
}

unsigned sdp_m_lines(const char *sdp)
{
	unsigned n = 0;

	for (const char *at = sdp; at && (at = strstr(at, "m=")) != NULL; at += 2)
		n += at == sdp || at[-1] == '\n';
	return n;
}
