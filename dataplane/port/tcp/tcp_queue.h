// What waits to be written to one TCP connection: whole frames with their length in front, and the choice of what a
// reader that is too slow does not get. Bytes are copied in, so no packet buffer waits for a slow reader.
//
// Fullness is the greater of bytes / TCP_QUEUE_BYTES and age of the oldest frame / TCP_QUEUE_NS (the same as "500 ms at
// the rate it drains"). A frame of which a byte was written always goes out whole.
//
// thread: the TCP thread
// source: docs/packet-path.md, "ICE over TCP"
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "lib/base/clock.h"

#define TCP_QUEUE_BYTES (256u << 10)
#define TCP_QUEUE_NS (500 * NS_PER_MS)
#define TCP_OLD_AUDIO_NS (200 * NS_PER_MS)

struct tcp_frame;

struct tcp_queue {
	TAILQ_HEAD(, tcp_frame) frames;
	uint32_t bytes;                     // queued, headers included
	uint16_t written;                   // of the first frame
	bool awaits_key;                    // all video was dropped: nothing of it until the next CLASS_KEY
	uint64_t n_video, n_audio, n_other; // frames dropped, since the caller last looked
};

void tcp_queue_init(struct tcp_queue *);
// Forget all that waits. The queue is as after init, but for the counts.
void tcp_queue_clear(struct tcp_queue *);

// Take a datagram in, or drop it or older ones by the rules. class: enum pkt_class. len <= PORT_MAX_PAYLOAD
void tcp_queue_add(struct tcp_queue *, unsigned class, const void *data, uint16_t len, ns_t now);

// What to write next, up to max pieces; borrowed until tcp_queue_written. returns: how many
unsigned tcp_queue_peek(const struct tcp_queue *, struct iovec *iov, unsigned max);
void tcp_queue_written(struct tcp_queue *, size_t n); // bytes
