// A ring is a byte queue: free-running 32-bit indexes, data at index & (size - 1). A frame is a 4-byte
// length and its bytes, together padded to 8, so a length never straddles the end; bytes may.
//
// Sleeping: consumer and producer both do a read-modify-write on `sleeping`. If the producer's comes second
// it sees that and rings. If it comes first, the consumer's reads what the producer's wrote, so it also sees
// the head that was stored before, finds the frame and does not sleep. No fence is needed.
#include "lib/ipc/pktring.h"

#include <assert.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/ipc/bell.h"

#define RING_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MAX_RINGS 128
#define LEN_BYTES sizeof(uint32_t)

struct pktring_shared {
	alignas(64) _Atomic uint32_t head;     // written by the producer
	alignas(64) _Atomic uint32_t tail;     // written by the consumer
	alignas(64) _Atomic uint32_t sleeping; // enum sleep: what the consumer waits for
	alignas(64) uint8_t data[];
};

static_assert(sizeof(struct pktring_shared) == 192);

enum sleep { AWAKE, ASLEEP, DOZING };

static bool is_size_ok(uint32_t size, unsigned n_rings)
{
	return size >= PKTRING_MIN_SIZE && size <= PKTRING_MAX_SIZE && (size & (size - 1)) == 0 &&
	       n_rings > 0 && n_rings <= MAX_RINGS;
}

static size_t rings_len(uint32_t size, unsigned n_rings)
{
	return n_rings * (sizeof(struct pktring_shared) + (size_t)size);
}

int pktring_create(uint32_t size, unsigned n_rings)
{
	int fd, err;

	if (!is_size_ok(size, n_rings))
		return err_set(EINVAL);
	fd = memfd_create("sluice-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)rings_len(size, n_rings)) == 0 && fcntl(fd, F_ADD_SEALS, RING_SEALS) == 0)
		return fd;
	err = errno;
	close(fd);
	return err_set(err);
}

int pktring_map(struct pktring_mem *mem, int fd, uint32_t size, unsigned n_rings)
{
	int seals;
	struct stat st;

	*mem = (struct pktring_mem){0};
	if (!is_size_ok(size, n_rings))
		return err_set(EINVAL);
	seals = fcntl(fd, F_GET_SEALS);
	if (fstat(fd, &st) < 0)
		return -errno;
	// Without the seals the other side could truncate under us: SIGBUS at the next access.
	if (seals < 0 || (seals & RING_SEALS) != RING_SEALS || st.st_size != (off_t)rings_len(size, n_rings))
		return err_set(EBADMSG);
	mem->len = rings_len(size, n_rings);
	mem->base = mmap(NULL, mem->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem->base == MAP_FAILED) {
		*mem = (struct pktring_mem){0};
		return -errno;
	}
	mem->size = size;
	mem->n_rings = n_rings;
	return 0;
}

void pktring_unmap(struct pktring_mem *mem)
{
	if (mem->base)
		munmap(mem->base, mem->len);
	*mem = (struct pktring_mem){0};
}

void pktring_prefault(struct pktring_mem *mem)
{
	const volatile uint8_t *p = mem->base;

	for (size_t i = 0; i < mem->len; i += PKTRING_MIN_SIZE)
		(void)p[i];
}

static struct pktring_shared *ring_at(const struct pktring_mem *mem, unsigned ring)
{
	// cannot: pktring_map was asked for as many rings as the loops around this count
	MUST(ring < mem->n_rings);
	return (struct pktring_shared *)((char *)mem->base +
					 ring * (sizeof(struct pktring_shared) + (size_t)mem->size));
}

void pktring_tx_init(struct pktring_tx *tx, const struct pktring_mem *mem, unsigned ring, int doorbell)
{
	*tx = (struct pktring_tx){.shared = ring_at(mem, ring), .size = mem->size, .doorbell = doorbell};
	tx->head = atomic_load_explicit(&tx->shared->head, memory_order_relaxed) & ~7u;
}

void pktring_rx_init(struct pktring_rx *rx, const struct pktring_mem *mem, unsigned ring, int doorbell)
{
	*rx = (struct pktring_rx){.shared = ring_at(mem, ring), .size = mem->size, .doorbell = doorbell};
	rx->tail = atomic_load_explicit(&rx->shared->tail, memory_order_relaxed) & ~7u;
}

static uint32_t frame_bytes(uint32_t len)
{
	return (uint32_t)(LEN_BYTES + len + 7) & ~7u;
}

static void copy_in(struct pktring_tx *tx, uint32_t at, const void *from, size_t len)
{
	uint32_t i = at & (tx->size - 1);
	size_t first = len < tx->size - i ? len : tx->size - i;

	if (first > 0)
		memcpy(tx->shared->data + i, from, first);
	if (len > first)
		memcpy(tx->shared->data, (const uint8_t *)from + first, len - first);
}

static void copy_out(const struct pktring_rx *rx, uint32_t at, void *to, size_t len)
{
	uint32_t i = at & (rx->size - 1);
	size_t first = len < rx->size - i ? len : rx->size - i;

	memcpy(to, rx->shared->data + i, first);
	if (len > first)
		memcpy((uint8_t *)to + first, rx->shared->data, len - first);
}

int pktring_push(struct pktring_tx *tx, const void *head, size_t head_len, const void *body, size_t body_len)
{
	// acquire pairs with the store of tail in pktring_pop: the bytes there may be overwritten
	uint32_t tail = atomic_load_explicit(&tx->shared->tail, memory_order_acquire);
	uint32_t used = tx->head - tail, len = (uint32_t)(head_len + body_len);

	ASSERT_HOT(tx->head % 8 == 0);
	if (head_len > PKTRING_MAX_FRAME || body_len > PKTRING_MAX_FRAME || len > PKTRING_MAX_FRAME ||
	    len == 0)
		return err_set(EMSGSIZE);
	if (used > tx->size)
		return err_set(EBADMSG);
	if (frame_bytes(len) > tx->size - used) {
		tx->n_full++;
		return err_set(ENOBUFS);
	}
	copy_in(tx, tx->head, &len, LEN_BYTES);
	copy_in(tx, tx->head + LEN_BYTES, head, head_len);
	copy_in(tx, tx->head + LEN_BYTES + (uint32_t)head_len, body, body_len);
	tx->head += frame_bytes(len);
	tx->n_pushed++;
	// release pairs with the load of head in frame_next
	atomic_store_explicit(&tx->shared->head, tx->head, memory_order_release);
	return 0;
}

void pktring_kick(struct pktring_tx *tx)
{
	// pairs with the exchange in announce; see the top of this file
	if (atomic_exchange_explicit(&tx->shared->sleeping, AWAKE, memory_order_acq_rel) != AWAKE)
		bell_ring(tx->doorbell);
}

void pktring_nudge(struct pktring_tx *tx)
{
	// changes nothing, but is a read-modify-write, as announce needs it
	if (atomic_fetch_or_explicit(&tx->shared->sleeping, 0, memory_order_acq_rel) == ASLEEP)
		pktring_kick(tx);
}

// Length of the frame at the tail, or -EAGAIN, -EBADMSG. Reads each shared word once.
static int frame_next(struct pktring_rx *rx)
{
	// acquire pairs with the store of head in pktring_push
	uint32_t avail = atomic_load_explicit(&rx->shared->head, memory_order_acquire) - rx->tail, len;

	if (rx->is_broken)
		return -EBADMSG;
	if (avail == 0)
		return -EAGAIN;
	if (avail > rx->size || avail % 8 != 0)
		return -EBADMSG;
	len = *(volatile uint32_t *)(rx->shared->data + (rx->tail & (rx->size - 1)));
	if (len == 0 || len > PKTRING_MAX_FRAME || frame_bytes(len) > avail)
		return -EBADMSG;
	return (int)len;
}

int pktring_pop(struct pktring_rx *rx, void *out, size_t size)
{
	int len = frame_next(rx);
	bool fits;

	if (len < 0) {
		rx->is_broken = len == -EBADMSG;
		return err_set(-len);
	}
	ASSERT_HOT(rx->tail % 8 == 0);
	fits = (size_t)len <= size;
	if (fits)
		copy_out(rx, rx->tail + LEN_BYTES, out, (size_t)len);
	rx->tail += frame_bytes((uint32_t)len);
	rx->n_popped++;
	// release pairs with the load of tail in pktring_push: our reading is done
	atomic_store_explicit(&rx->shared->tail, rx->tail, memory_order_release);
	return fits ? len : err_set(EMSGSIZE);
}

static bool announce(struct pktring_rx *rx, enum sleep how)
{
	// pairs with those of the producer; see the top of this file
	atomic_exchange_explicit(&rx->shared->sleeping, how, memory_order_acq_rel);
	if (atomic_load_explicit(&rx->shared->head, memory_order_acquire) == rx->tail)
		return true;
	atomic_store_explicit(&rx->shared->sleeping, AWAKE, memory_order_relaxed);
	return false;
}

bool pktring_sleep(struct pktring_rx *rx)
{
	return announce(rx, ASLEEP);
}

bool pktring_doze(struct pktring_rx *rx)
{
	return announce(rx, DOZING);
}

void pktring_wake(struct pktring_rx *rx)
{
	bell_hush(rx->doorbell);
	pktring_awake(rx);
}

void pktring_awake(struct pktring_rx *rx)
{
	atomic_store_explicit(&rx->shared->sleeping, AWAKE, memory_order_relaxed);
}
