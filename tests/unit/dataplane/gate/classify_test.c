// What a datagram is, by its first bytes.
#include "dataplane/gate/classify.h"
#include "dataplane/core/pkt_kind.h"
#include "tests/support/dataplane/rig_peer.h"

static void first_bytes(void)
{
	static const struct {
		uint8_t b0, b1;
		uint16_t len;
		int kind; // -1: dropped
	} row[] = {
		{0, 1, 20, PKT_STUN},     {1, 1, 20, PKT_STUN},     {0, 1, 19, -1},
		{4, 0, 40, -1},           {16, 0, 40, -1},          {20, 0xfe, 13, PKT_DTLS},
		{22, 0xfe, 12, -1},       {22, 3, 40, -1},          {64, 0, 40, -1},
		{79, 0, 40, -1},          {128, 0, 28, PKT_RTP},    {191, 111, 28, PKT_RTP},
		{128, 200, 28, PKT_RTCP}, {128, 223, 28, PKT_RTCP}, {128, 191, 28, PKT_RTP},
		{128, 224, 28, PKT_RTP},  {128, 0, 11, -1},         {128, 200, 7, -1},
		{192, 0, 28, -1},         {255, 0, 28, -1},
	};
	struct rte_mbuf *m;

	CHECK_OR_RETURN(rig_open(1));
	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		m = rte_pktmbuf_alloc(rig.dp->rx_pool);
		uint8_t *p = memset(rte_pktmbuf_append(m, row[i].len), 0, row[i].len);
		p[0] = row[i].b0;
		p[1] = row[i].b1;
		if (row[i].b0 < 4 && row[i].len >= 20) { // a header that says its length
			be16_put(p + 2, (uint16_t)(row[i].len - 20));
			be32_put(p + 4, STUN_COOKIE);
		}
		if (row[i].b0 >= 20 && row[i].b0 < 27 && row[i].len >= 3)
			p[2] = 0xfd;
		unsigned n = classify(rig.dp->worker[0], &m, 1);
		int kind = n ? pkt_of(m)->kind : -1;
		if (kind != row[i].kind)
			check_note(__FILE__, __LINE__, "row %u", i);
		CHECK_EQ(kind, row[i].kind);
		if (n)
			mbuf_done(m);
	}
	rig_close();
}

// Every first byte with every length to 30: nothing is read beyond the end (ASan), every packet is accounted for.
static void all_first_bytes(void)
{
	uint64_t dropped, passed = 0;

	CHECK_OR_RETURN(rig_open(1));
	for (unsigned b = 0; b < 256; b++)
		for (uint16_t len = 1; len <= 30; len++) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(rig.dp->rx_pool);
			memset(rte_pktmbuf_append(m, len), (int)b, len);
			if (classify(rig.dp->worker[0], &m, 1)) {
				mbuf_done(m);
				passed++;
			}
		}
	dropped = rig_counter(DROP_TOO_SHORT) + rig_counter(DROP_STUN_MALFORMED) +
		  rig_counter(DROP_BAD_DTLS) + rig_counter(DROP_UNKNOWN_FIRST_BYTE);
	CHECK_EQ(passed + dropped, 256 * 30);
	CHECK_EQ(rte_mempool_avail_count(rig.dp->rx_pool), rig.dp->rx_pool->size);
	rig_close();
}

CU_TestInfo classify_tests[] = {
	{"a datagram is what its first bytes and length say", first_bytes},
	{"every first byte with every length from 1 to 30 passes or is counted", all_first_bytes},
	CU_TEST_INFO_NULL,
};
