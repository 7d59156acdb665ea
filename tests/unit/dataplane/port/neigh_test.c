#include "dataplane/port/neigh.h"

#include <string.h>

#include <rte_ip.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "tests/unit/check.h"
#include "tests/support/dataplane/frames.h"

#define US "020000000001"
#define PEER "020000000099"
#define PEER_V6 "20010db8010000000000000000000007"
#define OUR_V6 "20010db8000000000000000000000005"
#define ARP_QUERY "ffffffffffff" PEER "0806 0001 0800 06 04 0001" PEER "c0000207 000000000000"

static struct test_frame f;

static bool answer(void)
{
	struct frame_ours ours;

	test_ours(&ours);
	return neigh_answer(&ours, &f.m);
}

static void make(const char *hex)
{
	test_frame_init(&f);
	test_frame_hex(&f, hex);
}

static void expect(const char *hex)
{
	static struct test_frame want;

	test_frame_init(&want);
	test_frame_hex(&want, hex);
	CHECK_EQ(f.m.data_len, want.m.data_len);
	CHECK_MEM(rte_pktmbuf_mtod(&f.m, uint8_t *), rte_pktmbuf_mtod(&want.m, uint8_t *), want.m.data_len);
}

// Checksum over the ICMPv6 message and its pseudo header: 0xffff when right.
static uint16_t icmp6_sum(void)
{
	const uint8_t *ip = test_ip(&f, false);
	uint16_t len = be16_get(ip + 4);
	uint8_t sum_over[2048];

	memcpy(sum_over, ip + 8, 32);
	memset(sum_over + 32, 0, 8);
	be16_put(sum_over + 34, len);
	sum_over[39] = 58;
	memcpy(sum_over + 40, ip + 40, len);
	return rte_raw_cksum(sum_over, 40u + len);
}

static void finish_icmp6(void)
{
	uint8_t *icmp = test_ip(&f, false) + 40;

	memset(icmp + 2, 0, 2);
	uint16_t sum = (uint16_t)~icmp6_sum();
	memcpy(icmp + 2, &sum, 2);
}

static void test_arp(void)
{
	make(ARP_QUERY "c0000205");
	CHECK(answer());
	expect(PEER US "0806 0001 0800 06 04 0002" US "c0000205" PEER "c0000207");
	make("ffffffffffff" PEER "8100 002a 0806 0001 0800 06 04 0001" PEER "c0000207 000000000000 c0000205");
	CHECK(answer());
	expect(PEER US "8100 002a 0806 0001 0800 06 04 0002" US "c0000205" PEER "c0000207");
}

static void test_arp_not_ours(void)
{
	make(ARP_QUERY "c0000206"); // another host
	CHECK(!answer());
	make(ARP_QUERY "c00002"); // cut
	CHECK(!answer());
	make("ffffffffffff" PEER "0806 0001 0800 06 04 0002" PEER
	     "c0000207 000000000000 c0000205"); // a reply
	CHECK(!answer());
	make("ffffffffffff" PEER "0806 0006 0800 06 04 0001" PEER
	     "c0000207 000000000000 c0000205"); // no Ethernet
	CHECK(!answer());
	make("ffffffffffff" PEER "0806 0001 0800 06 04 0001" PEER
	     "c0000205 000000000000 c0000205"); // claims ours
	CHECK(!answer());
}

static void make_ping4(const char *dst)
{
	char hex[256];
	uint8_t *ip;
	uint16_t sum;

	snprintf(hex, sizeof(hex),
		 US PEER
		 "0800 4500 0024 1234 4000 40 01 0000 c6336407 %s 0800 0000 0001 0002 6162636465666768",
		 dst);
	make(hex);
	ip = test_ip(&f, false);
	sum = rte_ipv4_cksum((void *)ip);
	memcpy(ip + 10, &sum, 2);
	sum = (uint16_t)~rte_raw_cksum(ip + 20, 16);
	memcpy(ip + 22, &sum, 2);
}

static void test_ping4(void)
{
	const uint8_t *ip;

	make_ping4("c0000205");
	CHECK(answer());
	ip = test_ip(&f, false);
	CHECK_EQ(be32_get(ip + 12), 0xc0000205);
	CHECK_EQ(be32_get(ip + 16), 0xc6336407);
	CHECK_EQ(ip[20], 0);
	CHECK_EQ(rte_raw_cksum(ip, 20), 0xffff);
	CHECK_EQ(rte_raw_cksum(ip + 20, 16), 0xffff);
	CHECK_EQ(be64_get(ip + 28), 0x6162636465666768);
	make_ping4("c0000206");
	CHECK(!answer());
	make_ping4("c0000205");
	test_ip(&f, false)[30] ^= 1; // checksum
	CHECK(!answer());
	make_ping4("c0000205");
	f.m.data_len -= 1; // cut
	CHECK(!answer());
}

static void make_solicit(const char *src, const char *target)
{
	char hex[320];

	snprintf(hex, sizeof(hex),
		 "3333ff000005" PEER "86dd 60000000 0020 3a ff %s ff0200000000000000000001ff000005"
		 "8700 0000 00000000 %s 0101" PEER,
		 src, target);
	make(hex);
	finish_icmp6();
}

static void test_solicit(void)
{
	make_solicit(PEER_V6, OUR_V6);
	CHECK(answer());
	CHECK_EQ(icmp6_sum(), 0xffff);
	memset(test_ip(&f, false) + 42, 0, 2);
	expect(PEER US "86dd 60000000 0020 3a ff" OUR_V6 PEER_V6 "8800 0000 60000000" OUR_V6 "0201" US);
	// Somebody tries whether the address is free: everybody is told that it is not.
	make_solicit("00000000000000000000000000000000", OUR_V6);
	CHECK(answer());
	CHECK_EQ(icmp6_sum(), 0xffff);
	memset(test_ip(&f, false) + 42, 0, 2);
	expect("333300000001" US "86dd 60000000 0020 3a ff" OUR_V6 "ff020000000000000000000000000001"
	       "8800 0000 20000000" OUR_V6 "0201" US);
}

static void test_solicit_short(void)
{
	// Without the option of the asker's address there is less room in the frame than the answer needs.
	make("3333ff000005" PEER "86dd 60000000 0018 3a ff" PEER_V6 "ff0200000000000000000001ff000005"
	     "8700 0000 00000000" OUR_V6);
	finish_icmp6();
	CHECK(answer());
	CHECK_EQ(f.m.data_len, 14 + 40 + 32);
	CHECK_EQ(icmp6_sum(), 0xffff);
}

static void test_solicit_refused(void)
{
	make_solicit(PEER_V6, "20010db8000000000000000000000006");
	CHECK(!answer());
	make_solicit(PEER_V6, OUR_V6);
	test_ip(&f, false)[7] = 254; // came through a router: forged
	CHECK(!answer());
	make_solicit(PEER_V6, OUR_V6);
	test_ip(&f, false)[43] ^= 1; // checksum
	CHECK(!answer());
	make_solicit(PEER_V6, OUR_V6);
	f.m.data_len = f.m.pkt_len = 14 + 40 + 20; // cut
	CHECK(!answer());
}

static void test_ping6(void)
{
	make(US PEER "86dd 60000000 0010 3a 40" PEER_V6 OUR_V6 "8000 0000 0001 0002 6162636465666768");
	finish_icmp6();
	CHECK(answer());
	CHECK_EQ(icmp6_sum(), 0xffff);
	memset(test_ip(&f, false) + 42, 0, 2);
	expect(PEER US "86dd 60000000 0010 3a 40" OUR_V6 PEER_V6 "8100 0000 0001 0002 6162636465666768");
}

static void test_announce(void)
{
	struct frame_ours ours;

	test_ours(&ours);
	test_frame_init(&f);
	CHECK(neigh_announce(&ours, 0, &f.m));
	expect("ffffffffffff" US "0806 0001 0800 06 04 0001" US "c0000205 000000000000 c0000205");
	test_frame_init(&f);
	CHECK(neigh_announce(&ours, 1, &f.m));
	CHECK_EQ(icmp6_sum(), 0xffff);
	memset(test_ip(&f, false) + 42, 0, 2);
	expect("333300000001" US "86dd 60000000 0020 3a ff" OUR_V6 "ff020000000000000000000000000001"
	       "8800 0000 20000000" OUR_V6 "0201" US);
}

CU_TestInfo neigh_tests[] = {
	{"ARP: a request for our address is answered, in its VLAN", test_arp},
	{"ARP: other requests, replies and forgeries are not", test_arp_not_ours},
	{"ping is answered with right checksums, only for us", test_ping4},
	{"neighbour solicitations are answered, also of who has no address yet", test_solicit},
	{"a solicitation without options has room for the answer", test_solicit_short},
	{"solicitations from afar, for others, wrong or cut are not answered", test_solicit_refused},
	{"ping over IPv6 is answered", test_ping6},
	{"announcements say where we are", test_announce},
	CU_TEST_INFO_NULL,
};
