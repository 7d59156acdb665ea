#include "tests/support/dataplane/frames.h"

#include <stdio.h>
#include <string.h>

#include <rte_ip.h>

#include "lib/base/buf.h"
#include "tests/unit/check.h"

const uint8_t test_our_mac[6] = {2, 0, 0, 0, 0, 1}, test_peer_mac[6] = {2, 0, 0, 0, 0, 0x99};
const uint8_t test_our_v4[4] = {192, 0, 2, 5}, test_peer_v4[4] = {198, 51, 100, 7};
const uint8_t test_our_v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 5},
	      test_peer_v6[16] = {0x20, 1, 0xd, 0xb8, 1, [15] = 7};

void test_frame_init(struct test_frame *f)
{
	memset(f, 0, sizeof(*f));
	f->m.buf_addr = f->bytes;
	f->m.buf_len = sizeof(f->bytes);
	f->m.data_off = RTE_PKTMBUF_HEADROOM;
	f->m.nb_segs = 1;
	rte_mbuf_refcnt_set(&f->m, 1);
	f->m.priv_size = sizeof(f->pkt);
}

void test_frame_put(struct test_frame *f, const void *data, size_t len)
{
	memcpy(rte_pktmbuf_mtod_offset(&f->m, uint8_t *, f->m.data_len), data, len);
	f->m.data_len = (uint16_t)(f->m.data_len + len);
	f->m.pkt_len = f->m.data_len;
}

void test_frame_hex(struct test_frame *f, const char *hex)
{
	for (; *hex; hex++) {
		uint8_t byte;
		if (*hex == ' ' || sscanf(hex, "%2hhx", &byte) != 1)
			continue;
		test_frame_put(f, &byte, 1);
		hex++;
	}
}

void test_ours(struct frame_ours *ours)
{
	memset(ours, 0, sizeof(*ours));
	memcpy(ours->mac, test_our_mac, 6);
	ours->media_port = 8443;
	ours->check_udp = true;
	CHECK_EQ(frame_add_address(ours, "192.0.2.5/24"), 0);
	CHECK_EQ(frame_add_address(ours, "2001:db8::5/64"), 0);
}

uint8_t *test_ip(struct test_frame *f, bool has_vlan)
{
	return rte_pktmbuf_mtod_offset(&f->m, uint8_t *, has_vlan ? 18 : 14);
}

void test_udp_sums(struct test_frame *f, bool is_v6, bool has_vlan)
{
	uint8_t *ip = test_ip(f, has_vlan), *udp = ip + (is_v6 ? 40 : 20);
	uint16_t sum;

	memset(udp + 6, 0, 2);
	if (is_v6) {
		sum = rte_ipv6_udptcp_cksum((void *)ip, udp);
	} else {
		memset(ip + 10, 0, 2);
		sum = rte_ipv4_cksum((void *)ip);
		memcpy(ip + 10, &sum, 2);
		sum = rte_ipv4_udptcp_cksum((void *)ip, udp);
	}
	memcpy(udp + 6, &sum, 2);
}

void test_udp(struct test_frame *f, const struct test_udp *u)
{
	uint8_t ip[40] = {}, udp[8], payload[2000] = {};

	test_frame_init(f);
	test_frame_put(f, test_our_mac, 6);
	test_frame_put(f, test_peer_mac, 6);
	if (u->has_vlan)
		test_frame_hex(f, "8100 a02a"); // priority 5, VLAN 42
	test_frame_hex(f, u->is_v6 ? "86dd" : "0800");
	if (u->is_v6) {
		ip[0] = 0x60;
		be16_put(ip + 4, (uint16_t)(8 + u->len));
		ip[6] = 17;
		ip[7] = 61;
		memcpy(ip + 8, test_peer_v6, 16);
		memcpy(ip + 24, test_our_v6, 16);
	} else {
		ip[0] = 0x45;
		be16_put(ip + 2, (uint16_t)(28 + u->len));
		ip[8] = 61;
		ip[9] = 17;
		memcpy(ip + 12, test_peer_v4, 4);
		memcpy(ip + 16, test_our_v4, 4);
	}
	test_frame_put(f, ip, u->is_v6 ? 40 : 20);
	be16_put(udp, u->sport);
	be16_put(udp + 2, u->dport);
	be16_put(udp + 4, (uint16_t)(8 + u->len));
	test_frame_put(f, udp, 8);
	for (unsigned i = 0; i < u->len; i++)
		payload[i] = (uint8_t)(i * 3);
	test_frame_put(f, payload, u->len);
	test_udp_sums(f, u->is_v6, u->has_vlan);
	memset(payload, 0, sizeof(payload));
	test_frame_put(f, payload, u->n_pad);
}
