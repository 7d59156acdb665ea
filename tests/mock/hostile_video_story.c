// A call with voice and a screen, and in it one who lies about video, and strangers on TCP: the others lose nothing,
// every lie has a name among the counters, memory stays. argv[1]: workers.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/rtp.h"
#include "tests/mock/mock.h"
#include "tests/support/rtcp_peer.h"

#define LEVEL 40
#define ROUNDS 30  // of 33 ms: voice and a frame of the screen in each
#define A_ROUND 40 // datagrams of an attack

static struct mock_dp dp;
static struct mock_peer a, b, liar; // a shows a screen to b and the liar, a and b talk
static struct mock_screen screen, lies;
static uint32_t a_at_b, b_at_a, screen_at_b, screen_at_liar;

// --- the call that must not be disturbed --------------------------------------------------------------------

static uint64_t excused(void)
{
	return mock_counter(&dp, DROP_STALE) + mock_counter(&dp, CTR_VIDEO_GIVEN_UP);
}

static uint64_t missing(void)
{
	const struct mock_stream *s[] = {mock_stream(&b, a_at_b), mock_stream(&a, b_at_a),
					 mock_stream(&b, screen_at_b)};
	uint64_t n = 0;

	for (unsigned i = 0; i < 3; i++)
		n += s[i] ? s[i]->n_gaps - s[i]->n_late : 1000;
	return n;
}

static uint64_t heard(void)
{
	return mock_stream(&b, a_at_b)->n + mock_stream(&a, b_at_a)->n;
}

// One round of the call.
static void go_on(void)
{
	mock_voice(&a, LEVEL);
	mock_voice(&b, LEVEL);
	mock_frame(&screen, 0, false, 2, 2);
	mock_frame(&screen, 1, false, 3, 3);
	poll(NULL, 0, 33); // pace of the call
	mock_hear(&a, 0, 0);
	mock_hear(&b, 0, 0);
	mock_hear(&liar, 0, 0);
	mock_tell(&b);
	mock_poll(&dp);
}

static uint64_t rss_pages(void)
{
	char path[64];
	unsigned long size, rss = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)dp.pid);
	f = fopen(path, "r");
	if (f == NULL || fscanf(f, "%lu %lu", &size, &rss) != 2)
		die(EXIT_OS, "%s", path);
	fclose(f);
	return rss;
}

// The call goes on while one attack is repeated; the counter grows by at least this much.
static void attack(void (*one)(unsigned), const char *what, enum counter name, uint64_t growth)
{
	uint64_t before = mock_counter(&dp, name), gone = missing(), why = excused(), n = heard(),
		 seen = mock_stream(&b, screen_at_b)->n, sent_two = b.n_two + a.n_two;

	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned k = 0; k < A_ROUND; k++)
			one(i * A_ROUND + k);
		go_on();
	}
	for (unsigned i = 0; i < 3; i++)
		go_on(); // what was paced
	why = excused() - why;
	mock_ok(missing() <= gone + why && heard() + why >= n + 2 * ROUNDS &&
			mock_stream(&b, screen_at_b)->n >= seen + ROUNDS && b.n_bad + a.n_bad == 0 &&
			a.n_two + b.n_two == sent_two,
		"the call goes on under %s", what);
	mock_ok(mock_counter_reaches(&dp, name, before + growth), "and %s grows (%llu)",
		counter_info(name)->name, (unsigned long long)(mock_counter(&dp, name) - before));
}

// --- feedback -------------------------------------------------------------------------------------------------

static uint8_t bytes[1400];

static void send_feedback(struct wbuf *w)
{
	mock_rtcp(&liar, bytes, wbuf_len(w));
}

// A feedback packet with any type, media SSRC and FCI.
static void put_fb(struct wbuf *w, uint8_t fmt, uint8_t pt, uint32_t media, const uint8_t *fci, unsigned len)
{
	wbuf_u8(w, 0x80 | fmt);
	wbuf_u8(w, pt);
	wbuf_u16(w, (uint16_t)(2 + len / 4));
	wbuf_u32(w, liar.ssrc);
	wbuf_u32(w, media);
	wbuf_bytes(w, fci, len);
}

static void nacks(unsigned i)
{
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	uint8_t fci[1200];

	for (unsigned k = 0; k < sizeof(fci); k += 4) { // 17 numbers each, all there are in a few rounds
		be16_put(fci + k, (uint16_t)((i * 300 + k / 4) * 17));
		be16_put(fci + k + 2, 0xffff);
	}
	put_fb(&w, 1, 205, screen_at_liar, fci, sizeof(fci));
	send_feedback(&w);
}

static void key_requests(unsigned i)
{
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	uint8_t fci[800];

	for (unsigned k = 0; k < 20; k++)
		put_fb(&w, 1, 206, screen_at_liar, NULL, 0);
	for (unsigned k = 0; k < sizeof(fci); k += 8) {
		be32_put(fci + k, screen_at_liar);
		be32_put(fci + k + 4, (i + k) << 24);
	}
	put_fb(&w, 4, 206, 0, fci, sizeof(fci));
	send_feedback(&w);
}

static void absurd_twcc(unsigned i)
{
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	uint8_t fci[64] = {};

	be16_put(fci, (uint16_t)rand_u32());                   // base: of nothing that was sent
	be16_put(fci + 2, i % 2 ? 0xffff : (uint16_t)(1 + i)); // statuses
	be32_put(fci + 4, rand_u32());
	for (unsigned k = 8; k < sizeof(fci); k += 2)
		be16_put(fci + k, i % 3 ? 0x3fff : (uint16_t)rand_u32()); // runs of 8191, or anything
	put_fb(&w, 15, 205, screen_at_liar, fci, sizeof(fci));
	send_feedback(&w);
}

static void remb_garbage(unsigned i)
{
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));
	uint8_t fci[16] = {'R', 'E', 'M', 'B', 255, 0xff, 0xff, 0xff};

	if (i % 3 == 0) {
		peer_write_remb(&w, liar.ssrc, i % 2 ? UINT64_MAX : 0, screen_at_liar);
	} else {
		rand_bytes(fci + 4, sizeof(fci) - 4);
		put_fb(&w, 15, 206, 0, fci, i % 3 == 1 ? 16 : 4);
	}
	send_feedback(&w);
}

static void about_others(unsigned i)
{
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	for (unsigned k = 0; k < 30; k++)
		rtcp_write_pli(&w, liar.ssrc, k % 2 ? screen_at_b : rand_u32());
	send_feedback(&w);
}

// --- media ------------------------------------------------------------------------------------------------------

static uint8_t hdr[1400];
static uint64_t lie_index = 1;

static void unknown_rid(unsigned i)
{
	unsigned len =
		mock_video_header(&liar, hdr, MOCK_VP8, (uint16_t)lie_index, i, 0x60000001, "q", false);

	mock_seal_send(&liar, hdr, len, bytes, 200, lie_index++);
}

// An extension block of 255 elements, of none, or with one that overruns it; and 15 CSRCs.
static void bombs(unsigned i)
{
	unsigned n_csrc = i % 2 ? 15 : 0, words = 1 + rand_u32() % 200, len = RTP_HDR_LEN + 4 * n_csrc;

	rtp_write(hdr, true, false, MOCK_VP8, (uint16_t)lies.index[0], i, lies.ssrc[0]);
	hdr[0] |= (uint8_t)n_csrc;
	memset(hdr + RTP_HDR_LEN, 0xee, 4 * n_csrc);
	be16_put(hdr + len, i % 3 ? 0xbede : 0x1000);
	be16_put(hdr + len + 2, (uint16_t)words);
	for (unsigned k = 0; k < 4 * words; k++)
		hdr[len + 4 + k] = (uint8_t)(i % 3 == 0 ? 1 : 0x10 + k % 13 * 16);
	hdr[len + 4 + 4 * words - 2] = 0x7f; // 16 bytes that are not there
	mock_seal_send(&liar, hdr, len + 4 + 4 * words, bytes, 50, lies.index[0]++);
}

static void many_ssrcs(unsigned i)
{
	uint32_t ssrc = 0x70000000 + i;
	unsigned len =
		mock_video_header(&liar, hdr, MOCK_VP8, (uint16_t)i, i, ssrc, i % 2 ? "h" : NULL, false);

	mock_seal_send(&liar, hdr, len, bytes, 100, i + 1);
}

static void padding_lies(unsigned i)
{
	uint8_t payload[100] = {0x90};
	unsigned len =
		mock_video_header(&liar, hdr, MOCK_VP8, (uint16_t)lies.index[0], i, lies.ssrc[0], "l", false);

	hdr[0] |= 0x20;
	payload[99] = i % 2 ? 0 : 200;
	mock_seal_send(&liar, hdr, len, payload, sizeof(payload), lies.index[0]++);
}

static void rtx_lies(unsigned i)
{
	struct rtp_ext ext[] = {{.id = MOCK_MID_ID, .data = (const uint8_t *)"1", .len = 1},
				{.id = MOCK_RRID_ID, .data = (const uint8_t *)"l", .len = 1}};
	uint8_t payload[100];
	unsigned len = RTP_HDR_LEN;

	rtp_write(hdr, true, false, MOCK_RTX, (uint16_t)(i + 1), i, 0x61000001);
	len += (unsigned)rtp_ext_write(hdr + len, 64, ext, 2);
	rand_bytes(payload, sizeof(payload)); // original number, and a descriptor
	mock_seal_send(&liar, hdr, len, payload, i % 5 ? sizeof(payload) : i % 2, i + 1);
}

static void vp8_garbage(unsigned i)
{
	uint8_t payload[1000];
	unsigned len =
		mock_video_header(&liar, hdr, MOCK_VP8, (uint16_t)lies.index[1], i, lies.ssrc[1], "h", i % 3);

	rand_bytes(payload, sizeof(payload));
	if (i % 4 == 0)
		memset(payload, 0xff, 6);
	mock_seal_send(&liar, hdr, len, payload, 1 + rand_u32() % 999, lies.index[1]++);
}

// --- TCP -----------------------------------------------------------------------------------------------------------

static int dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(dp.hello.tcp_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die(EXIT_OS, "socket: %s", strerror(errno));
	(void)!connect(fd, (struct sockaddr *)&to, sizeof(to)); // goes on behind our back
	return fd;
}

#define OPEN 200 // connections open at a time
static int conn[OPEN];

// 1200 connections in a run of rounds; each says something else, or nothing.
static void tcp_strangers(unsigned i)
{
	static const uint8_t empty[40] = {}, oversized[] = {0xff, 0xff, 1, 2, 3}, part[] = {0, 100, 0, 1};
	int *fd = &conn[i % OPEN];

	if (*fd > 0)
		close(*fd);
	*fd = dial();
	if (i % 4 == 0)
		return;
	fd = &conn[(i + OPEN - 10) % OPEN]; // one that is connected by now
	if (*fd > 0 && i % 4 == 1)
		(void)!send(*fd, empty, sizeof(empty), MSG_NOSIGNAL);
	else if (*fd > 0 && i % 4 == 2)
		(void)!send(*fd, oversized, sizeof(oversized), MSG_NOSIGNAL);
	else if (*fd > 0)
		(void)!send(*fd, part, sizeof(part), MSG_NOSIGNAL);
}

static void test_tcp(void)
{
	uint64_t framing = mock_counter(&dp, CTR_TCP_CLOSED_FRAMING);

	attack(tcp_strangers, "1200 TCP connections of strangers", CTR_TCP_CLOSED_LIMIT, 50);
	mock_ok(mock_counter_reaches(&dp, CTR_TCP_CLOSED_FRAMING, framing + 1),
		"frames of no length, and too long, close");
	for (unsigned i = 0; i < 200; i++) // the time a frame may take
		go_on();
	mock_ok(mock_counter(&dp, CTR_TCP_CLOSED_PARTIAL) + mock_counter(&dp, CTR_TCP_CLOSED_FIRST) > 0,
		"what never completes closes after 5 s");
	for (unsigned i = 0; i < OPEN; i++)
		if (conn[i] > 0)
			close(conn[i]);
	for (unsigned i = 0; i < 200 && mock_counter(&dp, GAUGE_TCP_CONNECTIONS); i++)
		go_on();
	mock_ok(mock_counter(&dp, GAUGE_TCP_CONNECTIONS) == 0, "none stays");
}

static void test_feedback(void)
{
	uint64_t n_pli, resent = mock_counter(&dp, CTR_RTP_RESENT), sent;

	sent = mock_counter(&dp, CTR_RTP_TX_PACKETS);
	attack(nacks, "NACKs for all numbers", CTR_RTCP_NACK_RX, 100);
	resent = mock_counter(&dp, CTR_RTP_RESENT) - resent;
	sent = mock_counter(&dp, CTR_RTP_TX_PACKETS) - sent;
	mock_ok(resent * 2 < sent, "which get less again than live packets (%llu of %llu)",
		(unsigned long long)resent, (unsigned long long)sent);
	n_pli = a.n_pli;
	attack(key_requests, "PLIs and FIRs", CTR_RTCP_PLI_RX, 1000);
	mock_ok(a.n_pli - n_pli <= 6, "of which the publisher hears few (%llu)",
		(unsigned long long)(a.n_pli - n_pli));
	attack(absurd_twcc, "feedback about absurd numbers", CTR_RTCP_UNKNOWN, 10);
	attack(remb_garbage, "garbage as REMB", CTR_RTCP_REMB_RX, 10);
	attack(about_others, "feedback about others' streams", CTR_RTCP_UNKNOWN, 500);
}

static void test_media(void)
{
	attack(unknown_rid, "an unknown rid", DROP_UNKNOWN_RID, 1000);
	attack(padding_lies, "padding that lies", DROP_BAD_PADDING, 1000);
	attack(bombs, "extension bombs and CSRCs", DROP_BAD_EXT, 100);
	attack(rtx_lies, "repairs of what nobody misses", DROP_RTX_UNNEEDED, 500);
	attack(vp8_garbage, "garbage as VP8", CTR_RTP_RX_PACKETS, 1000);
	attack(many_ssrcs, "SSRCs without end", DROP_SSRC_LIMIT, 500);
}

int main(int argc, char **argv)
{
	uint64_t rss;

	mock_dp_start(&dp, argv[0],
		      argc > 1 && atoi(argv[1]) > 1 ? "  worker_cores: \"0,1\"\n  idle: sleep\n" : NULL);
	mock_join(&a, &dp, 0x01000000, SEAL_AEAD_AES_128_GCM);
	mock_join(&b, &dp, 0x01000001, SEAL_AES128_CM_SHA1_80);
	mock_join(&liar, &dp, 0x01000002, SEAL_AEAD_AES_128_GCM);
	mock_share(&screen, &a);
	mock_share(&lies, &liar);
	a_at_b = mock_subscribe(&b, &a);
	b_at_a = mock_subscribe(&a, &b);
	screen_at_b = b.lose_ssrc = mock_watch(&b, &a, false);
	screen_at_liar = mock_watch(&liar, &a, true);
	mock_watch(&b, &liar, false); // the lies have a receiver
	for (unsigned i = 0; i < 60; i++)
		go_on();
	mock_ok(missing() == 0, "a call with voice and a screen");
	rss = rss_pages();
	test_feedback();
	test_media();
	test_tcp();
	rss = rss_pages() - rss;
	mock_ok((int64_t)rss < 8192, "memory stays (%lld pages more)", (long long)rss);
	for (unsigned i = 0; i < 30; i++)
		go_on();
	mock_counters(&dp);
	mock_ok(mock_leave(&liar) == 0 && mock_leave(&a) == 0 && mock_leave(&b) == 0, "all leave");
	mock_ok(mock_dp_stop(&dp) == 0, "SIGTERM ends sluice-dp with status 0");
	return mock_done();
}
