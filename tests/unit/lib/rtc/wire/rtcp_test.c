#include "lib/rtc/wire/rtcp.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/rand.h"
#include "tests/support/rtcp_peer.h"

// How many packets a walk gives, and whether it ended early.
static unsigned walk(const uint8_t *p, size_t len, bool *bad)
{
	uint8_t *exact = malloc(len ? len : 1); // ASan sees a read past the end
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	unsigned n = 0;

	memcpy(exact, p, len);
	rtcp_begin(&it, exact, len);
	while (rtcp_next(&it, &pkt)) {
		CHECK(pkt.body >= exact && pkt.body + pkt.len <= exact + len);
		n++;
	}
	*bad = it.bad;
	free(exact);
	return n;
}

// The only packet of a compound.
static void one(struct wbuf *w, struct rtcp_pkt *pkt)
{
	struct rtcp_iter it;

	CHECK(!w->full);
	CHECK_EQ(wbuf_len(w) % 4, 0);
	rtcp_begin(&it, w->start, wbuf_len(w));
	CHECK(rtcp_next(&it, pkt));
	CHECK(it.p == it.end && !it.bad);
}

static void sr_round_trip(void)
{
	uint8_t buf[128];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct rtcp_sr sr = {.ssrc = 1, .ntp = 0x0102030405060708, .rtp = 9, .n_packets = 10, .n_octets = 11},
		       got;
	struct rtcp_block b[2] =
		{{.ssrc = 5, .fraction = 255, .lost = -1, .ext_seq = 6, .jitter = 7, .lsr = 8, .dlsr = 9},
		 {.ssrc = 6, .lost = 0x7fffff}},
			  back;
	struct rtcp_pkt pkt;

	rtcp_write_sr(&w, &sr, b, 2);
	CHECK_EQ(wbuf_len(&w), 28 + 48);
	one(&w, &pkt);
	CHECK_EQ(pkt.pt, RTCP_SR);
	CHECK_EQ(pkt.count, 2);
	CHECK_EQ(rtcp_sr_read(&pkt, &got), 0);
	CHECK_MEM(&got, &sr, sizeof(sr));
	CHECK_EQ(rtcp_block_read(&pkt, 0, &back), 0);
	CHECK_EQ(back.lost, -1);
	CHECK(back.ssrc == 5 && back.fraction == 255 && back.ext_seq == 6 && back.jitter == 7 &&
	      back.lsr == 8 && back.dlsr == 9);
	CHECK_EQ(rtcp_block_read(&pkt, 1, &back), 0);
	CHECK_EQ(back.lost, 0x7fffff);
	CHECK_EQ(rtcp_block_read(&pkt, 2, &back), -ENOENT);
}

static void rr_bytes(void)
{
	static const uint8_t want[] = {0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0xff, 0xff, 0xfe,
				       0,    1,   0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0,    0,    0,    6};
	struct rtcp_block b = {.ssrc = 2,
			       .fraction = 0x80,
			       .lost = -2,
			       .ext_seq = 0x10003,
			       .jitter = 4,
			       .lsr = 5,
			       .dlsr = 6};
	uint8_t buf[32];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct rtcp_pkt pkt;

	rtcp_write_rr(&w, 1, &b, 1);
	one(&w, &pkt);
	CHECK_MEM(buf, want, sizeof(want));
	w = wbuf_of(buf, 31);
	rtcp_write_rr(&w, 1, &b, 1);
	CHECK(w.full && wbuf_len(&w) == 0); // nothing partial
}

static void block_count_lies(void)
{
	uint8_t p[] = {0x9f, 201, 0, 7, [31] = 0}; // RC 31, room for one
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_block b;

	rtcp_begin(&it, p, sizeof(p));
	CHECK(rtcp_next(&it, &pkt));
	CHECK_EQ(rtcp_block_read(&pkt, 0, &b), 0);
	for (unsigned i = 1; i < 31; i++)
		CHECK_EQ(rtcp_block_read(&pkt, i, &b), -EBADMSG);
	CHECK_EQ(rtcp_block_read(&pkt, 31, &b), -ENOENT);
}

static void walk_stops(void)
{
	uint8_t p[600] = {0};
	bool bad;

	for (unsigned i = 0; i < 70; i++)
		p[8 * i] = 0x80, p[8 * i + 1] = 203, p[8 * i + 3] = 1;
	CHECK_EQ(walk(p, 8 * 64, &bad), 64);
	CHECK(!bad);
	CHECK_EQ(walk(p, 8 * 65, &bad), 64); // more than anybody sends
	CHECK(bad);
	p[8 * 3 + 3] = 200; // longer than what is left
	CHECK_EQ(walk(p, 8 * 10, &bad), 3);
	CHECK(bad);
	p[8 * 3 + 3] = 1;
	p[8 * 2] = 0x40; // version
	CHECK_EQ(walk(p, 8 * 10, &bad), 2);
	CHECK(bad);
	p[8 * 2] = 0xa0; // padding in the middle
	p[8 * 2 + 7] = 4;
	CHECK_EQ(walk(p, 8 * 10, &bad), 2);
	CHECK(bad);
	CHECK_EQ(walk(p, 8 * 3, &bad), 3); // the same at the end is right
	CHECK(!bad);
	p[8 * 2 + 7] = 5; // more padding than body
	CHECK_EQ(walk(p, 8 * 3, &bad), 2);
	p[8 * 2 + 7] = 0;
	CHECK_EQ(walk(p, 8 * 3, &bad), 2);
	for (size_t len = 1; len < 8; len++)
		CHECK_EQ(walk(p, len, &bad), 0);
	CHECK_EQ(walk(p, 0, &bad), 0);
	CHECK(!bad);
}

static void unknown_types(void)
{
	static const uint8_t p[] = {0x80, 207, 0,    1,   1, 2, 3, 4, 0x8f, 219,
				    0,    0,   0x81, 203, 0, 1, 0, 0, 0,    9};
	bool bad;

	CHECK_EQ(walk(p, sizeof(p), &bad), 3); // skipped by length
	CHECK(!bad);
}

static void sdes(void)
{
	uint8_t buf[300];
	struct str cname;
	uint32_t ssrc;

	for (size_t len = 0; len <= 255; len++) {
		char text[256];
		struct wbuf w = wbuf_of(buf, sizeof(buf));
		struct rtcp_pkt pkt;

		memset(text, 'a', sizeof(text));
		rtcp_write_sdes(&w, 77, (struct str){text, len});
		one(&w, &pkt);
		CHECK_EQ(peer_read_sdes(&pkt, &ssrc, &cname), 0);
		CHECK(ssrc == 77 && cname.len == len);
	}
}

static void bye_overrun(void)
{
	// BYE of one source with a reason that claims 200 bytes: the source counts, the reason is not read
	static const uint8_t p[] = {0x81, 203, 0, 2, 0, 0, 0, 5, 200, 'b', 'y', 'e'};
	static const uint8_t lies[] = {0x83, 203, 0, 1, 0, 0, 0, 5};
	struct rtcp_pkt pkt;
	struct rtcp_iter it;
	uint32_t ssrc;

	rtcp_begin(&it, p, sizeof(p));
	CHECK(rtcp_next(&it, &pkt));
	CHECK_EQ(rtcp_bye_read(&pkt, 0, &ssrc), 0);
	CHECK_EQ(ssrc, 5);
	CHECK_EQ(rtcp_bye_read(&pkt, 1, &ssrc), -ENOENT);
	rtcp_begin(&it, lies, sizeof(lies));
	CHECK(rtcp_next(&it, &pkt));
	CHECK_EQ(rtcp_bye_read(&pkt, 1, &ssrc), -EBADMSG);
}

static void nothing_partial(void)
{
	uint8_t buf[64];
	uint16_t seq[3] = {1, 100, 200};
	struct rtcp_sr sr = {};

	for (size_t size = 0; size < 12; size++) {
		struct wbuf w[5];
		for (unsigned i = 0; i < 5; i++)
			w[i] = wbuf_of(buf, size);
		rtcp_write_sr(&w[0], &sr, NULL, 0);
		rtcp_write_sdes(&w[1], 1, STR("abcdef"));
		rtcp_write_nack(&w[2], 1, 2, seq, 3);
		rtcp_write_pli(&w[3], 1, 2);
		rtcp_write_fir(&w[4], 1, 2, 3);
		for (unsigned i = 0; i < 5; i++)
			CHECK(w[i].full && wbuf_len(&w[i]) == 0);
	}
}

static void nack(void)
{
	static const uint16_t lost[] = {65534, 65535, 0, 14, 15, 400, 417};
	static const uint8_t want[] = {0x81, 205,  0, 6,  0, 0, 0, 1,    0, 0, 0, 2,    0xff, 0xfe,
				       0x80, 0x03, 0, 15, 0, 0, 1, 0x90, 0, 0, 1, 0xa1, 0,    0};
	uint8_t buf[64];
	uint16_t got[20];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;

	rtcp_write_nack(&w, 1, 2, lost, 7);
	one(&w, &pkt);
	CHECK_EQ(wbuf_len(&w), sizeof(want));
	CHECK_MEM(buf, want, sizeof(want));
	CHECK_EQ(rtcp_fb_read(&pkt, &fb), 0);
	CHECK(fb.sender == 1 && fb.media == 2);
	CHECK_EQ(rtcp_nack_read(&fb, got, 20), 7);
	CHECK_MEM(got, lost, sizeof(lost));
	CHECK_EQ(rtcp_nack_read(&fb, got, 4), 4); // bounded by the caller
}

static void nack_random(void)
{
	rand_seed(3);
	for (unsigned round = 0; round < 2000; round++) {
		uint16_t seq[100], got[128], at = (uint16_t)rand_u32();
		unsigned n = 1 + rand_u32() % 100;
		uint8_t buf[1500];
		struct wbuf w = wbuf_of(buf, sizeof(buf));
		struct rtcp_pkt pkt;
		struct rtcp_fb fb;

		for (unsigned i = 0; i < n; i++)
			seq[i] = at = (uint16_t)(at + 1 + rand_u32() % 30);
		rtcp_write_nack(&w, 1, 2, seq, n);
		one(&w, &pkt);
		CHECK_EQ(rtcp_fb_read(&pkt, &fb), 0);
		CHECK_OR_RETURN(rtcp_nack_read(&fb, got, 128) == n);
		CHECK_MEM(got, seq, n * sizeof(*seq));
	}
	rand_seed(0);
}

static void payload_feedback(void)
{
	uint8_t buf[64], nr;
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;
	uint32_t ssrc;

	rtcp_write_pli(&w, 1, 2);
	one(&w, &pkt);
	CHECK(pkt.pt == RTCP_PSFB && pkt.count == PSFB_PLI);
	CHECK_EQ(rtcp_fb_read(&pkt, &fb), 0);
	CHECK(fb.media == 2 && fb.fci_len == 0);
	w = wbuf_of(buf, sizeof(buf));
	rtcp_write_fir(&w, 1, 2, 200);
	one(&w, &pkt);
	CHECK_EQ(rtcp_fb_read(&pkt, &fb), 0);
	CHECK_EQ(rtcp_fir_read(&fb, 0, &ssrc, &nr), 0);
	CHECK(ssrc == 2 && nr == 200);
	CHECK_EQ(rtcp_fir_read(&fb, 1, &ssrc, &nr), -ENOENT);
	pkt.len = 7;
	CHECK_EQ(rtcp_fb_read(&pkt, &fb), -EBADMSG);
}

static int remb(const uint8_t *fci, uint16_t len, uint32_t *bps)
{
	struct rtcp_fb fb = {.fci = fci, .fci_len = len};

	return rtcp_remb_read(&fb, bps);
}

static void remb_values(void)
{
	uint8_t buf[64];
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;
	uint32_t bps;

	for (uint64_t rate = 0; rate < UINT64_C(1) << 33; rate = rate * 3 + 1) {
		struct wbuf w = wbuf_of(buf, sizeof(buf));
		peer_write_remb(&w, 1, rate, 9);
		one(&w, &pkt);
		CHECK_EQ(rtcp_fb_read(&pkt, &fb), 0);
		CHECK_EQ(rtcp_remb_read(&fb, &bps), 0);
		if (rate > UINT32_MAX)
			CHECK_EQ(bps, UINT32_MAX);
		else
			CHECK(bps <= rate && rate - bps <= rate >> 17); // 18 bits of mantissa
	}
	CHECK_EQ(remb((uint8_t[]){'R', 'E', 'M', 'B', 0, 0xff, 0xff, 0xff}, 8, &bps), 0); // exponent 63
	CHECK_EQ(bps, UINT32_MAX);
	CHECK_EQ(remb((uint8_t[]){'R', 'E', 'M', 'B', 0, 0xfc, 0, 0}, 8, &bps), 0); // and mantissa 0
	CHECK_EQ(bps, 0);
	CHECK_EQ(remb((uint8_t[]){'R', 'E', 'M', 'B', 2, 0, 0, 1}, 8, &bps), -EBADMSG);
	CHECK_EQ(remb((uint8_t[]){'R', 'E', 'M', 'B'}, 4, &bps), -EBADMSG);
	CHECK_EQ(remb((uint8_t[]){'X', 'E', 'M', 'B', 0, 0, 0, 1}, 8, &bps), -ENOENT);
}

CU_TestInfo rtcp_tests[] = {
	{"a sender report with blocks is read as written", sr_round_trip},
	{"a receiver report has the RFC's bytes, or none when it does not fit", rr_bytes},
	{"a report count of 31 with room for one", block_count_lies},
	{"wrong lengths, 65 packets, padding in the middle: the walk stops there", walk_stops},
	{"unknown and extended report packets are skipped by length", unknown_types},
	{"a CNAME of every length 0..255 is read as written", sdes},
	{"a BYE reason and a source count that overrun", bye_overrun},
	{"a packet that does not fit is not begun", nothing_partial},
	{"a NACK is packed into PID and bitmask across the wrap", nack},
	{"2000 random loss lists survive a NACK", nack_random},
	{"PLI and FIR", payload_feedback},
	{"REMB saturates, and is refused when cut off", remb_values},
	CU_TEST_INFO_NULL,
};
