// From an authentic packet of a publisher to its receivers: which track it belongs to, whether it is forwarded, and
// its place in the track's order. Voice is here; publish_video.h has the rest of video.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "lib/rtc/wire/rtp.h"

struct ipc_track_add;
struct session;
struct source;
struct stream;
struct worker;

// m: header and payload in the clear, tag and padding cut off; consumed. thread: home worker
void publish_packet(struct worker *, struct session *, struct stream *, struct rte_mbuf *m,
		    const struct rtp_view *, uint16_t payload_len);

// A voice that is not heard (room.h), or is silent while the worker gives up voices (overload.h), need not be opened, but for a
// packet now and then: its level is read from the clear header. index: as estimated, not authentic. thread: home worker
bool publish_may_stay_closed(struct worker *, const struct session *, const struct stream *, uint64_t index,
			     struct rte_mbuf *m_peek, const struct rtp_view *);
// m: as it came; consumed.
void publish_unopened(struct worker *, struct session *, struct stream *, struct rte_mbuf *m,
		      const struct rtp_view *);

// Mails about tracks. thread: home worker
void publish_track(struct worker *, struct session *, struct source *, const struct ipc_track_add *,
		   bool enabled);
void publish_gate(struct worker *, struct session *, struct source *, bool enabled);
void publish_track_del(struct worker *, struct session *, struct source *);
// The session ends.
void publish_stop(struct worker *, struct session *);
// The stream goes: nothing may point to it.
void publish_forget(struct session *, const struct stream *);
