// Ethernet frames of ethdev ports: which are ours, what is in them, and the headers of the way back.
// Pure functions over bytes; no device here.
//
// A path's hdr holds the headers right-aligned (they end where hdr ends), so that sending copies all 70 bytes
// to in front of the payload whatever their length. In it lengths are 0, and the two checksum fields hold
// sums that lack what depends on the length: 16-bit one's complement sums in memory order, not inverted.
//
// source: RFC 791, 768, 8200; IEEE 802.1Q (one tag)
#pragma once

#include "dataplane/port/port.h"

#define FRAME_MAX_ADDRS CONF_MAX_LIST // addresses we answer to
#define FRAME_ETH_LEN 14
#define FRAME_TTL 64

enum frame_kind {
	FRAME_MEDIA, // UDP to one of our addresses and the media port
	FRAME_OTHER, // anything else that may be the kernel's business
	FRAME_BAD,   // to our address and port, but malformed, a fragment, or from an impossible source
	FRAME_LONG,  // as MEDIA, but longer than PORT_MAX_PAYLOAD
};

// What is ours on a device. Read by all workers, constant after opening.
struct frame_ours {
	uint8_t mac[6];
	uint16_t media_port; // host order
	bool check_udp;      // verify UDP checksums of packets whose device did not
	unsigned n;          // of addr; 0: no packet is ours
	struct {
		uint8_t family; // 4 or 6
		uint8_t prefix; // bits
		uint8_t ip[16]; // network order
	} addr[FRAME_MAX_ADDRS];
};

// Parse "192.0.2.5/24" or "2001:db8::5/64" (no prefix: a host's own) into ours. 0, -EINVAL, -ENOSPC.
[[nodiscard]] int frame_add_address(struct frame_ours *, const char *text);

// True when ip (family 4: four bytes) is one of ours.
bool frame_is_ours(const struct frame_ours *, uint8_t family, const uint8_t *ip);

// Look at a received frame. With FRAME_MEDIA: m's data becomes the UDP payload, m->l2_len and m->l3_len tell
// frame_path where the headers are, pkt_of(m)->key is filled except for key.port.
enum frame_kind frame_parse(const struct frame_ours *, struct rte_mbuf *m_peek);

// The way back, from a packet frame_parse has accepted and whose data nobody has moved.
void frame_path(const struct frame_ours *, struct rte_mbuf *m_peek, struct path *out);

// Write the headers of path in front of m's data. Checksums are finished here, or left to the device as far
// as ol_flags has RTE_MBUF_F_TX_IP_CKSUM and RTE_MBUF_F_TX_UDP_CKSUM.
void frame_write(struct rte_mbuf *m_peek, const struct path *path, uint64_t ol_flags);
