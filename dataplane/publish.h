// From an authentic packet of a publisher to its receivers: which track it belongs to, whether it is
// forwarded, and its place in the track's order.
#pragma once

#include <stdint.h>

#include "dataplane/port.h"
#include "lib/rtc/rtp.h"

struct session;
struct source;
struct stream;
struct worker;

// m: header and payload in the clear, tag and padding cut off; consumed. thread: home worker
void publish_packet(struct worker *, struct session *, struct stream *, struct rte_mbuf *m,
		    const struct rtp_view *, uint16_t payload_len);

// Mails about tracks. thread: home worker
struct ipc_track_add;
void publish_track(struct worker *, struct session *, struct source *, const struct ipc_track_add *,
		   bool enabled);
void publish_gate(struct worker *, struct session *, struct source *, bool enabled);
void publish_track_del(struct worker *, struct session *, struct source *);
// Let go of what the track keeps: it or its session ends.
void publish_end(struct worker *, struct source *);
