// Frames made by hand, for the tests of frame.c and neigh.c. No EAL: the mbuf is a plain object.
#pragma once

#include "dataplane/port/frame.h"

#define TEST_FRAME_ROOM 2048

struct test_frame {
	struct rte_mbuf m;
	struct pkt pkt; // private area, right behind the mbuf
	alignas(64) uint8_t bytes[RTE_PKTMBUF_HEADROOM + TEST_FRAME_ROOM];
};

// An empty frame with headroom in front.
void test_frame_init(struct test_frame *);
// Append bytes, or a hex text with spaces.
void test_frame_put(struct test_frame *, const void *data, size_t len);
void test_frame_hex(struct test_frame *, const char *hex);

// What is ours in these tests, port 8443, and the peer's.
extern const uint8_t test_our_mac[6], test_peer_mac[6]; // 02:00:00:00:00:01, 02:00:00:00:00:99
extern const uint8_t test_our_v4[4], test_peer_v4[4]; // 192.0.2.5, 198.51.100.7
extern const uint8_t test_our_v6[16], test_peer_v6[16]; // 2001:db8::5, 2001:db8:100::7
void test_ours(struct frame_ours *);

// A whole UDP datagram with right checksums.
struct test_udp {
	bool is_v6, has_vlan;
	uint16_t sport, dport;
	uint16_t len;  // payload bytes, i * 3 each
	uint8_t n_pad; // zeros behind the datagram
};
void test_udp(struct test_frame *, const struct test_udp *);
// Compute the checksums again after bytes were changed. Both ones, of the frame as it is.
void test_udp_sums(struct test_frame *, bool is_v6, bool has_vlan);
uint8_t *test_ip(struct test_frame *, bool has_vlan);
