// The link between the processes, seen from both sides. First byte: 0 and 1 check one message of that
// side; other values are a hostile ring producer: the rest is written over the ring's memory, indexes
// included, and the consumer must get by.
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/ipc/bell.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/pktring.h"

static void check_message(const uint8_t *data, size_t size, enum ipc_side from)
{
	uint8_t copy[IPC_MAX_MSG + 64];
	const char *why = NULL;
	int rc;

	if (size > sizeof(copy))
		return;
	memcpy(copy, data, size); // aligned as a receive buffer is
	rc = ipc_check(copy, size, from, &why);
	MUST(rc == 0 || rc == -EBADMSG || rc == -EPROTO);
	MUST((rc == 0) == (why == NULL));
	if (rc == 0) {
		uint16_t type = copy[0] | copy[1] << 8;

		MUST(size == ipc_type_size(type) && strcmp(ipc_type_name(type), "unknown") != 0);
	}
}

static void abuse_ring(const uint8_t *data, size_t size)
{
	static struct pktring_mem mem;
	static int bell;
	uint8_t out[PKTRING_MAX_FRAME], *base;
	struct pktring_rx rx;
	struct pktring_tx tx;
	int n;

	if (mem.base == NULL) { // one ring for all inputs; its end marks the edge of the mapping
		int fd = pktring_create(PKTRING_MIN_SIZE, N_PUNT_RINGS(1));

		MUST(fd >= 0 && pktring_map(&mem, fd, PKTRING_MIN_SIZE, N_PUNT_RINGS(1)) == 0);
		bell = bell_new();
		close(fd);
	}
	base = mem.base;
	memset(base, 0, mem.len);
	pktring_rx_init(&rx, &mem, PUNT_RING_TO_DP(0), bell);
	pktring_tx_init(&tx, &mem, PUNT_RING_TO_CP(0), bell);
	while (size > 0) { // a piece: 2 bytes where, 1 byte how much, then the bytes
		size_t at, len;

		if (size < 3)
			break;
		at = (size_t)(data[0] | data[1] << 8) % mem.len;
		len = data[2];
		data += 3;
		size -= 3;
		len = len < size ? len : size;
		len = len < mem.len - at ? len : mem.len - at;
		memcpy(base + at, data, len);
		data += len;
		size -= len;
		for (int i = 0; i < 600 && (n = pktring_pop(&rx, out, sizeof(out))) != -EAGAIN; i++) {
			MUST(n == -EBADMSG || (n > 0 && n <= (int)sizeof(out)));
			if (n == -EBADMSG)
				break;
		}
		if (pktring_sleep(&rx))
			pktring_wake(&rx);
		n = pktring_push(&tx, out, 1 + at % 64, out, len);
		MUST(n == 0 || n == -ENOBUFS || n == -EBADMSG);
		pktring_kick(&tx);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] <= 1)
		check_message(data + 1, size - 1, data[0] == 0 ? IPC_FROM_CP : IPC_FROM_DP);
	else
		abuse_ring(data + 1, size - 1);
	return 0;
}
