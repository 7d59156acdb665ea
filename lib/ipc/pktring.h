// Single-producer single-consumer rings of variable-length frames in a memfd, with a doorbell (bell.h)
// that is rung only when the consumer sleeps. The two ends live in processes that do not trust each other:
// each keeps its own index in private memory, checks what it reads from the other side, and copies frames
// out before anybody looks at them. A peer that breaks the rules makes the ring "broken" (-EBADMSG);
// drop the connection and make new rings.
//
//   creator   pktring_create -> memfd; passes it and the doorbells on
//   both      pktring_map; pktring_tx_init / pktring_rx_init on ring PUNT_RING_TO_CP(i) or PUNT_RING_TO_DP(i)
//   producer  pktring_push any number of times, then pktring_kick
//   consumer  pktring_pop until -EAGAIN; before waiting on the doorbell pktring_sleep, pop again when it
//             returns false; pktring_wake after the doorbell rang. Waiting without pktring_sleep misses
//             frames.
//
// A producer and a consumer may each be used by one thread at a time.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PKTRING_MIN_SIZE 4096u
#define PKTRING_MAX_SIZE (64u << 20)
#define PKTRING_MAX_FRAME 4096u // bytes

// The rings of one punt memfd: a pair for each worker of the dataplane.
#define PUNT_RING_TO_CP(worker) (2 * (worker))
#define PUNT_RING_TO_DP(worker) (2 * (worker) + 1)
#define N_PUNT_RINGS(n_workers) (2 * (n_workers))

struct pktring_shared; // in the memfd

struct pktring_mem {
	void *base;    // owned: the mapping
	size_t len;    // bytes
	uint32_t size; // bytes of each ring's data area, power of two
	unsigned n_rings;
};

struct pktring_tx {
	struct pktring_shared *shared; // borrowed: the mapping
	uint32_t size, head;           // ours; the shared copy is only written
	int doorbell;                  // borrowed bell
	uint64_t n_pushed, n_full;
};

struct pktring_rx {
	struct pktring_shared *shared; // borrowed: the mapping
	uint32_t size, tail;
	int doorbell;
	bool is_broken; // peer broke the rules; sticky
	uint64_t n_popped;
};

// A sealed memfd with room for n_rings rings of size bytes (power of two in PKTRING_MIN_SIZE ..
// PKTRING_MAX_SIZE). fd or -errno.
[[nodiscard]] int pktring_create(uint32_t size, unsigned n_rings);

// Map it; the seals and the size must fit what the caller expects. fd stays the caller's. 0, -EINVAL,
// -EBADMSG (seals or size wrong), -errno.
[[nodiscard]] int pktring_map(struct pktring_mem *, int fd, uint32_t size, unsigned n_rings);
void pktring_unmap(struct pktring_mem *); // mapped or zeroed
// Have each page of the mapping now: rings are used from end to end within minutes anyway, and the producer shall not wait
// for the kernel.
void pktring_prefault(struct pktring_mem *);

// Take one end of ring i. A producer goes on where the shared head is, a consumer at the shared tail; use
// new rings for a new peer, then both are 0.
void pktring_tx_init(struct pktring_tx *, const struct pktring_mem *, unsigned ring, int doorbell);
void pktring_rx_init(struct pktring_rx *, const struct pktring_mem *, unsigned ring, int doorbell);

// Append one frame of two parts (the second may be empty). 0, -ENOBUFS when it does not fit now, -EMSGSIZE
// when empty or above PKTRING_MAX_FRAME, -EBADMSG when the consumer's index is impossible.
[[nodiscard]] int pktring_push(struct pktring_tx *, const void *head, size_t head_len, const void *body,
			       size_t body_len);
// Ring the doorbell if the consumer announced that it sleeps. Once per batch of pushes.
void pktring_kick(struct pktring_tx *);
// The same for frames that need no haste: one that dozes is not woken.
void pktring_nudge(struct pktring_tx *);

// Copy the next frame out. Its length, or -EAGAIN when empty, -EMSGSIZE when size is too small (the frame
// is skipped), -EBADMSG when the ring is broken.
[[nodiscard]] int pktring_pop(struct pktring_rx *, void *out, size_t size);
// Announce sleep. False when a frame is there already: pop it first.
[[nodiscard]] bool pktring_sleep(struct pktring_rx *);
// The same of a consumer that looks by itself from time to time: only pktring_kick wakes it.
[[nodiscard]] bool pktring_doze(struct pktring_rx *);
// Empty the doorbell and take back the announcement.
void pktring_wake(struct pktring_rx *);
// Take back the announcement alone, where several rings share one doorbell.
void pktring_awake(struct pktring_rx *);
