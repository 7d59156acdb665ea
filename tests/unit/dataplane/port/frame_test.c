// What comes in on a device is told apart, and what leaves is what another host's stack accepts: the receiver's half
// is checked by frame_parse with every checksum on.
#include "tests/support/dataplane/frames.h"

#include <errno.h>
#include <string.h>

#include <rte_ip.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "tests/unit/check.h"

static enum frame_kind parse(struct test_frame *f)
{
	struct frame_ours ours;

	test_ours(&ours);
	return frame_parse(&ours, &f->m);
}

// --- addresses ---------------------------------------------------------------------------------
static void test_addresses(void)
{
	static const char *const bad[] = {"",
					  "/24",
					  "192.0.2.5/33",
					  "192.0.2.5/x",
					  "192.0.2/24",
					  "2001:db8::5/129",
					  "2001:db8::5::1",
					  "example.org",
					  "192.0.2.5/4294967328"};
	struct frame_ours ours;
	char text[32];

	test_ours(&ours);
	CHECK_EQ(ours.n, 2);
	CHECK_EQ(ours.addr[0].prefix, 24);
	CHECK_EQ(ours.addr[1].prefix, 64);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_EQ(frame_add_address(&ours, bad[i]), -EINVAL);
	CHECK_EQ(ours.n, 2);
	CHECK(frame_is_ours(&ours, 4, test_our_v4) && frame_is_ours(&ours, 6, test_our_v6));
	CHECK(!frame_is_ours(&ours, 4, test_peer_v4) && !frame_is_ours(&ours, 6, test_peer_v6));
	CHECK_EQ(frame_add_address(&ours, "203.0.113.1"), 0);
	CHECK_EQ(ours.addr[2].prefix, 32);
	for (unsigned i = ours.n; i < FRAME_MAX_ADDRS; i++) {
		snprintf(text, sizeof(text), "10.0.0.%u", i);
		CHECK_EQ(frame_add_address(&ours, text), 0);
	}
	CHECK_EQ(frame_add_address(&ours, "10.0.1.1"), -ENOSPC);
}

// --- receive -----------------------------------------------------------------------------------
static void test_media(void)
{
	struct test_frame f;

	for (int shape = 0; shape < 4; shape++) {
		struct test_udp u = {.is_v6 = shape & 1,
				     .has_vlan = shape & 2,
				     .sport = 5000,
				     .dport = 8443,
				     .len = 97,
				     .n_pad = 9};
		test_udp(&f, &u);
		CHECK_EQ(parse(&f), FRAME_MEDIA);
		CHECK_EQ(f.m.data_len, 97);
		CHECK_EQ(f.m.pkt_len, 97);
		CHECK_EQ(*rte_pktmbuf_mtod_offset(&f.m, uint8_t *, 96), (uint8_t)(96 * 3));
		const struct flow_key *key = &pkt_of(&f.m)->key;
		CHECK_EQ(key->family, u.is_v6 ? 6 : 4);
		CHECK_EQ(key->remote_port, 5000);
		CHECK_EQ(key->local_port, 8443);
		CHECK_MEM(key->remote, u.is_v6 ? test_peer_v6 : test_peer_v4, u.is_v6 ? 16 : 4);
		CHECK_MEM(key->local, u.is_v6 ? test_our_v6 : test_our_v4, u.is_v6 ? 16 : 4);
	}
}

// Change one thing of a good frame.
struct change {
	const char *what;
	bool is_v6;
	uint16_t at; // offset from the IP header
	uint8_t value[4];
	uint8_t n;
	enum frame_kind want;
};

static const struct change changes[] = {
	{"another port", false, 22, {0x1f, 0x6d}, 2, FRAME_OTHER},
	{"another address", false, 16, {192, 0, 2, 6}, 4, FRAME_OTHER},
	{"TCP", false, 9, {6}, 1, FRAME_OTHER},
	{"IP version 5", false, 0, {0x55}, 1, FRAME_OTHER},
	{"first fragment", false, 6, {0x20}, 1, FRAME_OTHER},
	{"later fragment", false, 6, {0x00, 0x01}, 2, FRAME_OTHER},
	{"header shorter than 20", false, 0, {0x44}, 1, FRAME_BAD},
	{"header longer than the datagram", false, 2, {0x00, 0x10}, 2, FRAME_BAD},
	{"longer than the frame", false, 2, {0x01, 0x00}, 2, FRAME_BAD},
	{"no room for UDP", false, 2, {0x00, 27}, 2, FRAME_BAD},
	{"UDP length 7", false, 24, {0, 7}, 2, FRAME_BAD},
	{"empty datagram", false, 24, {0, 8}, 2, FRAME_BAD},
	{"UDP longer than IP says", false, 24, {0, 200}, 2, FRAME_BAD},
	{"source port 0", false, 20, {0, 0}, 2, FRAME_BAD},
	{"from 127.0.0.1", false, 12, {127, 0, 0, 1}, 4, FRAME_BAD},
	{"from 0.0.0.0", false, 12, {0, 0, 0, 0}, 4, FRAME_BAD},
	{"from multicast", false, 12, {224, 0, 0, 1}, 4, FRAME_BAD},
	{"from broadcast", false, 12, {255, 255, 255, 255}, 4, FRAME_BAD},
	{"from ourselves", false, 12, {192, 0, 2, 5}, 4, FRAME_BAD},
	{"IPv6: another port", true, 42, {0x1f, 0x6d}, 2, FRAME_OTHER},
	{"IPv6: extension header", true, 6, {44}, 1, FRAME_OTHER},
	{"IPv6: longer than the frame", true, 4, {1, 0}, 2, FRAME_BAD},
	{"IPv6: UDP length 7", true, 44, {0, 7}, 2, FRAME_BAD},
	{"IPv6: from multicast", true, 8, {0xff, 2}, 2, FRAME_BAD},
};

static void test_odd(void)
{
	struct test_frame f;

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const struct change *c = &changes[i];
		struct test_udp u = {.is_v6 = c->is_v6, .sport = 5000, .dport = 8443, .len = 40};
		test_udp(&f, &u);
		memcpy(test_ip(&f, false) + c->at, c->value, c->n);
		if (c->at > 4) // lengths are not what the checksum helpers could sum over
			test_udp_sums(&f, c->is_v6, false);
		enum frame_kind got = parse(&f);
		if (got != c->want)
			check_note(__FILE__, __LINE__, "%s", c->what);
		CHECK_EQ(got, c->want);
	}
}

static void test_checksums(void)
{
	struct test_frame f;
	struct test_udp u = {.sport = 5000, .dport = 8443, .len = 41};
	struct frame_ours ours;

	test_ours(&ours);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		u.is_v6 = is_v6;
		test_udp(&f, &u);
		test_ip(&f, false)[60] ^= 1; // payload
		CHECK_EQ(parse(&f), FRAME_BAD);
		test_udp(&f, &u);
		test_ip(&f, false)[60] ^= 1;
		f.m.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD; // the device says otherwise
		CHECK_EQ(parse(&f), FRAME_MEDIA);
		test_udp(&f, &u);
		f.m.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
		CHECK_EQ(parse(&f), FRAME_BAD);
		test_udp(&f, &u);
		memset(test_ip(&f, false) + (is_v6 ? 40 : 20) + 6, 0, 2);
		CHECK_EQ(parse(&f), is_v6 ? FRAME_BAD : FRAME_MEDIA); // none: allowed with IPv4 only
		test_udp(&f, &u);
		test_ip(&f, false)[60] ^= 1;
		ours.check_udp = false; // shared with the kernel, which leaves them unfinished
		CHECK_EQ(frame_parse(&ours, &f.m), FRAME_MEDIA);
	}
	u.is_v6 = false;
	test_udp(&f, &u);
	test_ip(&f, false)[8]--; // TTL
	CHECK_EQ(parse(&f), FRAME_BAD);
}

static void test_long(void)
{
	struct test_frame f;
	struct test_udp u = {.sport = 5000, .dport = 8443, .len = PORT_MAX_PAYLOAD};

	test_udp(&f, &u);
	CHECK_EQ(parse(&f), FRAME_MEDIA);
	u.len++;
	test_udp(&f, &u);
	CHECK_EQ(parse(&f), FRAME_LONG);
}

// Cut anywhere, a frame is never media, and nothing behind its end is looked at (ASan watches).
static void test_cut(void)
{
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		struct test_frame f;
		struct test_udp u = {.is_v6 = is_v6, .sport = 5000, .dport = 8443, .len = 10};
		test_udp(&f, &u);
		uint16_t whole = f.m.data_len;
		for (uint16_t len = 0; len < whole; len++) {
			f.m.data_len = len;
			f.m.pkt_len = len;
			CHECK(parse(&f) != FRAME_MEDIA);
		}
	}
}

// --- send --------------------------------------------------------------------------------------
// Send len bytes back along the path of a received packet, then be the peer that receives them.
static void send_back(const struct test_udp *u, uint16_t len)
{
	static struct test_frame rx, tx;
	struct frame_ours ours, peers;
	struct path path;

	test_ours(&ours);
	test_udp(&rx, u);
	CHECK_EQ(frame_parse(&ours, &rx.m), FRAME_MEDIA);
	frame_path(&ours, &rx.m, &path);
	test_frame_init(&tx);
	for (unsigned i = 0; i < len; i++)
		test_frame_put(&tx, &(uint8_t){(uint8_t)(i * 5 + len)}, 1);
	frame_write(&tx.m, &path, 0);
	CHECK_EQ(tx.m.data_len, len + (u->has_vlan ? 18 : 14) + (u->is_v6 ? 48 : 28));
	CHECK_EQ(tx.m.ol_flags, 0);
	const uint8_t *eth = rte_pktmbuf_mtod(&tx.m, uint8_t *);
	CHECK_MEM(eth, test_peer_mac, 6);
	CHECK_MEM(eth + 6, test_our_mac, 6);
	if (u->has_vlan)
		CHECK_EQ(be32_get(eth + 12), 0x8100002a); // same VLAN, no priority
	memset(&peers, 0, sizeof(peers));
	peers.media_port = u->sport;
	peers.check_udp = true;
	CHECK_EQ(frame_add_address(&peers, u->is_v6 ? "2001:db8:100::7" : "198.51.100.7"), 0);
	CHECK_EQ(frame_parse(&peers, &tx.m), FRAME_MEDIA);
	CHECK_EQ(tx.m.data_len, len);
	CHECK_EQ(pkt_of(&tx.m)->key.remote_port, 8443);
	for (unsigned i = 0; i < len; i++)
		if (*rte_pktmbuf_mtod_offset(&tx.m, uint8_t *, i) != (uint8_t)(i * 5 + len))
			CHECK(false);
}

static void test_send(void)
{
	for (int shape = 0; shape < 4; shape++) {
		struct test_udp u = {
			.is_v6 = shape & 1, .has_vlan = shape & 2, .sport = 5000, .dport = 8443, .len = 20};
		for (uint16_t len = 1; len <= PORT_MAX_PAYLOAD; len += len < 70 ? 1 : 101)
			send_back(&u, len);
	}
}

// An IPv4 header with options comes in; the answer has none.
static void test_options(void)
{
	static struct test_frame f, tx;
	struct frame_ours ours;
	struct path path;
	uint16_t sum;

	test_ours(&ours);
	ours.check_udp = false;
	test_udp(&f, &(struct test_udp){.sport = 5000, .dport = 8443, .len = 30});
	uint8_t *ip = test_ip(&f, false);
	memmove(ip + 28, ip + 20, 38);
	memset(ip + 20, 1, 8); // no operation
	f.m.data_len += 8;
	f.m.pkt_len = f.m.data_len;
	ip[0] = 0x47;
	be16_put(ip + 2, 66);
	memset(ip + 10, 0, 2);
	sum = (uint16_t)~rte_raw_cksum(ip, 28);
	memcpy(ip + 10, &sum, 2);
	CHECK_EQ(frame_parse(&ours, &f.m), FRAME_MEDIA);
	CHECK_EQ(f.m.data_len, 30);
	frame_path(&ours, &f.m, &path);
	CHECK_EQ(path.hdr_len, 42);
	test_frame_init(&tx);
	test_frame_hex(&tx, "01 02 03");
	frame_write(&tx.m, &path, 0);
	CHECK_MEM(rte_pktmbuf_mtod(&tx.m, uint8_t *), test_peer_mac, 6);
}

// What a device finishes: the pseudo header's sum in the UDP field, as DPDK's own helpers make it.
static void test_offload(void)
{
	static struct test_frame rx, tx;
	struct frame_ours ours;
	struct path path;

	test_ours(&ours);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		test_udp(&rx, &(struct test_udp){.is_v6 = is_v6, .sport = 5000, .dport = 8443, .len = 20});
		CHECK_EQ(frame_parse(&ours, &rx.m), FRAME_MEDIA);
		frame_path(&ours, &rx.m, &path);
		test_frame_init(&tx);
		test_frame_hex(&tx, "01 02 03 04 05");
		frame_write(&tx.m, &path, RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM);
		uint8_t *ip = test_ip(&tx, false), *udp = ip + (is_v6 ? 40 : 20);
		uint16_t want = is_v6 ? rte_ipv6_phdr_cksum((void *)ip, 0)
				      : rte_ipv4_phdr_cksum((void *)ip, 0),
			 got;
		memcpy(&got, udp + 6, 2);
		CHECK_EQ(got, want);
		CHECK_EQ(tx.m.l2_len, 14);
		CHECK_EQ(tx.m.l3_len, is_v6 ? 40 : 20);
		CHECK_EQ(tx.m.ol_flags,
			 RTE_MBUF_F_TX_UDP_CKSUM |
				 (is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM));
		if (!is_v6)
			CHECK_EQ(be16_get(ip + 10), 0);
	}
}

CU_TestInfo frame_tests[] = {
	{"addresses with and without prefix are read, others refused", test_addresses},
	{"UDP to our address and port is media: IPv4, IPv6, with a VLAN, padded", test_media},
	{"each odd header is told apart: the kernel's, or bad", test_odd},
	{"checksums: the device's word, else our own sum", test_checksums},
	{"more than 1472 bytes are too long", test_long},
	{"a frame cut anywhere is not media", test_cut},
	{"what is sent back is right for the peer's stack at every length", test_send},
	{"IPv4 options are skipped and not sent back", test_options},
	{"checksums left to the device are prepared as DPDK wants them", test_offload},
	CU_TEST_INFO_NULL,
};
