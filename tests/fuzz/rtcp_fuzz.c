// A plain compound through the walk and every reader, whatever the types say.
#include "lib/base/err.h"
#include "lib/rtc/wire/rtcp.h"
#include "lib/rtc/recv/stats.h"
#include "lib/rtc/wire/twcc.h"

static void reports(const struct rtcp_pkt *pkt)
{
	struct rtcp_block b;
	struct rtcp_sr sr;

	for (unsigned i = 0; i < 33; i++)
		if (rtcp_block_read(pkt, i, &b) == 0)
			MUST(rtt_of(&b, UINT64_C(0x123456789abcdef0)) <= 30 * NS_PER_S);
	if (rtcp_sr_read(pkt, &sr) == 0) {
		static struct pub_clock clock;
		static struct sr_map map;
		static ns_t now;
		uint32_t rtp;

		now += NS_PER_S / 3;
		(void)sr_map_on_sr(&map, &clock, sr.ntp, sr.rtp, 48000, now);
		(void)sr_map_rtp_at(&map, &clock, now, &rtp);
	}
}

static void lists(const struct rtcp_pkt *pkt)
{
	uint32_t ssrc;

	for (unsigned i = 0; i < 33; i++)
		(void)rtcp_bye_read(pkt, i, &ssrc);
}

static void feedback(const struct rtcp_pkt *pkt)
{
	uint16_t seq[RTCP_MAX_NACKS];
	struct twcc_status st;
	struct twcc_fb twcc;
	struct rtcp_fb fb;
	uint32_t v;
	uint8_t nr;
	unsigned n = 0;

	if (rtcp_fb_read(pkt, &fb) < 0)
		return;
	MUST(rtcp_nack_read(&fb, seq, RTCP_MAX_NACKS) <= RTCP_MAX_NACKS);
	while (rtcp_fir_read(&fb, n, &v, &nr) == 0)
		n++;
	(void)rtcp_remb_read(&fb, &v);
	if (twcc_fb_begin(&twcc, &fb) == 0)
		while (twcc_fb_next(&twcc, &st))
			n++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);
	struct rtcp_iter it;
	struct rtcp_pkt pkt;

	memcpy(p, data, size);
	rtcp_begin(&it, p, size);
	while (rtcp_next(&it, &pkt)) {
		MUST(pkt.body + pkt.len <= p + size);
		reports(&pkt);
		lists(&pkt);
		feedback(&pkt);
	}
	MUST(it.n <= RTCP_MAX_PACKETS);
	free(p);
	return 0;
}
