// Video of a publisher: from an authentic packet into the ring of its layer, and the word to the workers of its
// receivers. What happens over time - asking again, asking for key frames, news - is in intake.h.
//
// thread: home worker of the publisher
#pragma once

#include <stdint.h>

#include "dataplane/port/port.h"

struct session;
struct source;
struct stream;
struct worker;

// A packet of a track: original, or repair of one. m is consumed; pkt_of(m)->codec is that of its payload type.
void publish_video(struct worker *, struct session *, struct stream *, struct rte_mbuf *m,
		   uint16_t payload_len);
// Tell the receivers' workers what came since the last call: at the end of each burst.
void publish_video_flush(struct worker *);
// Whatever is due for the session's layers: part of its timer.
void publish_video_run(struct worker *, struct session *);

// An SSRC was found to be of a video track.
void publish_video_bound(struct worker *, struct session *, struct stream *);
// A sender report of the stream was taken.
void publish_video_sr(struct worker *, struct session *, struct stream *);
// The track was enabled or disabled.
void publish_video_gate(struct worker *, struct session *, struct source *);
// The track ends.
void publish_video_end(struct worker *, struct source *);
// The stream goes.
void publish_video_forget(struct source *, const struct stream *);
