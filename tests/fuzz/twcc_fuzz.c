// First byte even: the rest is the FCI of a feedback message. Odd: the rest drives an arrival log, three bytes a
// packet (step of the number, time), and every report it writes must read back as exactly what arrived.
#include "lib/base/err.h"
#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/wire/twcc.h"

#define TICK_NS (250 * NS_PER_US)

static void read_message(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size ? size : 1);
	struct rtcp_fb fb = {.fci = p, .fci_len = (uint16_t)size};
	struct twcc_status st;
	struct twcc_fb f;
	unsigned n = 0;

	memcpy(p, data, size);
	if (size <= UINT16_MAX && twcc_fb_begin(&f, &fb) == 0) {
		while (twcc_fb_next(&f, &st))
			n++;
		MUST(n == f.n_status && f.delta == f.end);
	}
	free(p);
}

// Arrival last seen for each 16-bit number, in ticks; 0: never.
static int64_t arrived[65536];
static uint16_t touched[8192];
static unsigned n_touched;

static void note(uint16_t seq, int64_t tick)
{
	if (n_touched < ARRAY_LEN(touched))
		touched[n_touched++] = seq;
	arrived[seq] = tick;
}

static void forget(void)
{
	while (n_touched > 0)
		arrived[touched[--n_touched]] = 0;
}

static void check_report(struct twcc_log *l, ns_t now)
{
	uint8_t buf[TWCC_MAX_MSG];
	struct wbuf w = wbuf_of(buf, sizeof(buf));
	struct twcc_status st;
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	struct rtcp_fb fb;
	struct twcc_fb f;
	int len = twcc_log_write(l, &w, 1, 2, now);

	MUST(len > 0 && len <= TWCC_MAX_MSG);
	rtcp_begin(&it, buf, (size_t)len);
	MUST(rtcp_next(&it, &pkt) && pkt.count == RTPFB_TWCC && it.p == it.end);
	MUST(rtcp_fb_read(&pkt, &fb) == 0 && twcc_fb_begin(&f, &fb) == 0);
	while (twcc_fb_next(&f, &st))
		if (st.is_received)
			MUST(st.arrival_us / 250 == arrived[st.seq]);
}

static void drive_log(const uint8_t *data, size_t size)
{
	static uint32_t ring[4096];
	struct twcc_log l;
	uint16_t seq = 65500;
	ns_t now = 128 * NS_PER_MS;

	if (size < 1)
		return;
	twcc_log_init(&l, ring, 64u << data[0] % 7, 0);
	for (size_t i = 1; i + 3 <= size && n_touched < ARRAY_LEN(touched); i += 3) {
		int8_t step = (int8_t)data[i];
		seq = (uint16_t)(seq + step * (data[i + 2] & 0x80 ? 100 : 1));
		now += (ns_t)data[i + 1] * TICK_NS * (data[i + 2] & 0x40 ? 500 : 1);
		uint32_t ext = seq32_extend(l.top, seq);
		int32_t behind = seq32_diff(l.top, ext);
		bool known = l.started && behind >= 0 && behind <= TWCC_MAX_GAP && // else it starts over
			     (seq32_diff(ext, l.floor) < 0 || ring[ext & l.mask] != 0);
		twcc_log_add(&l, seq, now);
		if (!known)
			note(seq, now / TICK_NS);
		for (unsigned n = 0; (data[i + 2] & 1) && l.n_pending > 0; n++) {
			check_report(&l, now);
			MUST(n < 5000);
		}
	}
	while (l.n_pending > 0)
		check_report(&l, now);
	forget();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] & 1)
		drive_log(data + 1, size - 1);
	else
		read_message(data + 1, size - 1);
	return 0;
}
