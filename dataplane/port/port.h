// A port: where datagrams come from and leave. A worker polls its queue of every port; what is behind
// (kernel UDP sockets, any DPDK ethdev) does not show above this line.
//
// What crosses is an mbuf whose data is the UDP payload, nothing else:
//   rx  the port has checked and stripped link, IP and UDP headers (they stay in the headroom, so that
//       path_fill can learn the way back) and filled pkt_of(m)->key and ->ifindex; an mbuf without data says
//       that this flow is no more (a connection was closed);
//   tx  the port writes the headers in front of the data (PORT_HEADROOM is free there) from a struct path.
// Datagrams that are not for our media port never come up: the kernel keeps them.
#pragma once

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/dpdk.h"
#include "lib/conf/conf.h"
#include "lib/rtc/codec/vp8.h"

#define PORT_MAX 8            // ports of this process
#define PORT_MAX_BURST 64     // packets per rx or tx call
#define PORT_HEADROOM 128     // bytes free in front of the data of a packet to send
#define PORT_MAX_PAYLOAD 1472 // UDP payload bytes; longer ones are dropped and counted
#define PORT_MAX_WORKERS 64

// Both ends of a flow as seen here; also the key of the flow table, so: no holes, unused bytes are 0.
struct flow_key {
	uint8_t remote[16]; // network order; IPv4 in the first four bytes
	uint8_t local[16];
	uint16_t remote_port, local_port; // host order
	uint8_t family;                   // 4 or 6
	uint8_t port;                     // struct port index
	uint16_t conn;                    // TCP: number of the connection, never 0; UDP: 0
};
static_assert(sizeof(struct flow_key) == 40);

// How a datagram to one peer leaves: made by path_fill from an authenticated packet, then read only.
struct path {
	alignas(64) struct flow_key key;
	uint32_t ifindex; // sockets: interface it came in by (IPv6 link-local needs it), else 0
	uint8_t hdr_len;  // ethdev: bytes used of hdr (14 to 66), else 0
	uint8_t rsvd[2];
	uint16_t queue;  // rx queue it was learned on
	uint8_t hdr[70]; // ethdev: Ethernet, VLAN, IP and UDP header with lengths and checksums still to fill
};
static_assert(sizeof(struct path) == 128);

// What a packet to send is worth to its receiver, best first: a port that must choose drops from the other end.
// Set by whoever builds the packet; ports may read nothing else of struct pkt on the way out.
enum pkt_class {
	CLASS_CONTROL, // STUN, DTLS, RTCP
	CLASS_AUDIO,
	CLASS_KEY,   // video others are decoded from: key frames, base layer
	CLASS_VIDEO, // the rest of video, padding
};

struct source;

// What we know about a packet: lives in the private area of every mbuf of our pools.
// Filled from top to bottom as the packet goes through the passes of worker.c: each field names who fills it.
struct pkt {
	struct flow_key key;   // port
	uint32_t ifindex;      // port
	uint32_t sid;          // flow lookup: session, 0 unknown
	ns_t arrival;          // worker: time of the burst
	struct source *source; // publish, on the way to receivers: valid while gen is its generation
	uint32_t ssrc;         // receive: RTP header, host order
	uint32_t ts;           // receive: RTP header, host order; from publish on: of the timeline receivers see
	union {                // where it stands in its order; the stage that gives it the next one ends the one before
		uint64_t index; // receive: SRTP index in the sender's stream, up to publish
		uint64_t rank;  // publish, voice: rank within the source, for fanout and egress
		uint64_t place; // publish, video: place in the ring of its layer, for layer and viewer
	};
	uint64_t every_rank; // publish, voice: rank for receivers of every voice
	uint32_t gen;        // publish: generation of the source at hand-over
	uint16_t seq;        // receive: RTP header
	uint16_t hdr_len;    // receive: bytes of the RTP header
	uint8_t pt, marker;
	uint8_t level; // audio level octet (RFC 6464) when has_level
	uint8_t has_level;
	uint8_t pair;         // pair of the session it came in on
	uint8_t kind;         // enum pkt_kind of classify.h
	uint8_t codec;        // receive: enum ipc_codec
	uint8_t layer;        // publish: number of the encoding of a video track
	bool is_silenced : 1; // publish: for receivers of every voice only
	bool has_every : 1;   // publish: every_rank is valid
	bool is_late : 1;     // layer: fills a place behind the newest
	uint8_t class : 2;    // send: enum pkt_class
	struct vp8_desc vp8;  // publish: of a VP8 payload; len 0 for others
	uint32_t handle;      // layer: of this buffer in the store, for life
};
static_assert(sizeof(struct pkt) == 128);

static inline struct pkt *pkt_of(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}

// Counters of one queue, written by its worker. Names as in lib/ipc/counters.def.
struct port_stats {
	uint64_t rx_packets, rx_bytes;
	uint64_t rx_long;   // longer than PORT_MAX_PAYLOAD or truncated
	uint64_t rx_bad;    // bad length, checksum, source, fragment
	uint64_t rx_nombuf; // no buffer: the packet was lost
	uint64_t tx_packets, tx_bytes;
	uint64_t tx_dropped; // the device or socket took no more, or refused
};

struct port;
struct statseg_block;

struct port_ops {
	const char *name;

	// Up to n <= PORT_MAX_BURST packets of this queue. thread: the worker of the queue
	unsigned (*rx)(struct port *, unsigned queue, struct rte_mbuf **pkts, unsigned n);

	// Send n <= PORT_MAX_BURST packets, pkts[i] by paths[i]. All are consumed, what does not go is freed
	// and counted; paths are borrowed until return. thread: the worker of the queue
	void (*tx)(struct port *, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
		   unsigned n);

	// The way back to where rx came from. thread: any worker
	void (*path_fill)(struct port *, struct rte_mbuf *rx_peek, struct path *out);

	// Descriptor that becomes readable when rx has something, or -1: the queue must be polled.
	int (*wait_fd)(struct port *, unsigned queue);

	// That descriptor was readable while the worker slept. May be NULL. thread: the worker of the queue
	void (*woken)(struct port *, unsigned queue);

	// A session of this worker begins to use, or still uses, (is_bound) or gives up a flow of this port. May be
	// NULL. thread: the worker of the queue
	void (*bind)(struct port *, unsigned queue, const struct flow_key *, uint32_t sid, bool is_bound);

	// Each 100 ms on main: neighbours, link state, kernel path. May be NULL.
	void (*tick)(struct port *, ns_t now);

	void (*close)(struct port *); // main, after the workers have stopped
};

struct port {
	const struct port_ops *ops;
	uint8_t index;     // in the list of ports, as in flow_key
	uint16_t n_queues; // one per worker
	struct port_stats stats[PORT_MAX_WORKERS];
};

// What opening needs. thread: main, before the workers start
struct port_env {
	const struct conf *conf; // borrowed
	uint8_t index;
	uint16_t n_queues;           // workers
	uint16_t media_port;         // UDP port to serve, host order; sockets: 0 lets the kernel choose
	struct rte_mempool *rx_pool; // borrowed: 2 KiB + headroom, private area struct pkt
	struct statseg_block *stats; // borrowed: counters of a thread of the port's own; only ICE-TCP has one
	char *error;                 // out: what is wrong and what fixes it
	size_t error_size;
};

// NULL + errno with env->error filled: EADDRINUSE, EACCES, ENODEV, EINVAL, ENOMEM.
struct port *port_socket_open(const struct port_env *env);
// spec: a DPDK device string as in dataplane.ports ("0000:3b:00.0", "net_af_packet0,iface=eth1").
struct port *port_ethdev_open(const struct port_env *env, const char *spec);

// UDP port that is really served (media_port 0), host order.
uint16_t port_socket_port(const struct port *);

// ICE-TCP on media_port (0 lets the kernel choose) of rtc.ice_address_tcp, served by a thread of its own (tcp.h).
struct port *port_tcp_open(const struct port_env *env);
uint16_t port_tcp_port(const struct port *);
