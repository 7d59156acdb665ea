// What receivers find in the ring of a layer (layer.h). thread: any worker
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/rtc/send/rtxring.h"

struct layer;
struct rte_mbuf;

// Highest index in the ring; false while nothing came.
bool layer_top(const struct layer *, uint64_t *index);

// The packet with this index for receivers with this temporal cap. On RTXRING_HELD *m is it: RTP header (in its
// publisher's numbers) and payload in the clear, pkt_of(*m) with hdr_len, ts, marker, codec, vp8. Borrowed until the
// end of the round; read only.
enum rtxring_state layer_read(const struct layer *, unsigned cap, uint64_t index, struct rtxring_entry *,
			      struct rte_mbuf **m_peek);
// The same by rank (what a NACK asks for, by lib/rtc/send/rewrite.h).
enum rtxring_state layer_find(const struct layer *, unsigned cap, uint64_t rank, struct rtxring_entry *,
			      struct rte_mbuf **m_peek);
// First packet of a key frame that a receiver may begin with at once.
bool layer_key(const struct layer *, ns_t now, uint64_t *index);
// First key frame start in [from, top] that is held; false: none.
bool layer_next_key(const struct layer *, uint64_t from, uint64_t *index);
