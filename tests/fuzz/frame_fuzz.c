// Frames from a device: told apart, answered, and the way back. First byte: bit 0 UDP checksums are not checked, so that
// the fuzzer gets past them; the rest is the frame.
// sources: dataplane/port/frame.c dataplane/port/neigh.c
#include "dataplane/port/neigh.h"

#include "lib/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ROOM 2048

struct frame {
	struct rte_mbuf m;
	struct pkt pkt; // private area
};

// The frame ends where the memory ends, but for the room an answer may take: reading beyond is noticed.
static void frame_of(struct frame *f, uint8_t *buffer, size_t tail, const uint8_t *data, size_t len)
{
	memset(f, 0, sizeof(*f));
	f->m.buf_addr = buffer;
	f->m.buf_len = (uint16_t)(RTE_PKTMBUF_HEADROOM + len + tail);
	f->m.data_off = RTE_PKTMBUF_HEADROOM;
	f->m.data_len = (uint16_t)len;
	f->m.pkt_len = (uint32_t)len;
	f->m.nb_segs = 1;
	rte_mbuf_refcnt_set(&f->m, 1);
	f->m.priv_size = sizeof(f->pkt);
	memcpy(buffer + RTE_PKTMBUF_HEADROOM, data, len);
}

static void try_media(const struct frame_ours *ours, const uint8_t *data, size_t len)
{
	uint8_t *buffer = malloc(RTE_PKTMBUF_HEADROOM + len);
	struct frame f;
	struct path path;

	frame_of(&f, buffer, 0, data, len);
	if (frame_parse(ours, &f.m) == FRAME_MEDIA) {
		MUST(f.m.data_len > 0 && f.m.data_len <= PORT_MAX_PAYLOAD);
		MUST(rte_pktmbuf_mtod(&f.m, uint8_t *) + f.m.data_len <= buffer + RTE_PKTMBUF_HEADROOM + len);
		frame_path(ours, &f.m, &path);
		MUST(path.hdr_len <= sizeof(path.hdr) && path.key.local_port == ours->media_port);
		uint16_t payload = f.m.data_len;
		frame_write(&f.m, &path, 0);
		MUST(f.m.data_len == payload + path.hdr_len);
	}
	free(buffer);
}

static void try_answer(const struct frame_ours *ours, const uint8_t *data, size_t len)
{
	uint8_t *buffer = malloc(RTE_PKTMBUF_HEADROOM + len + 64);
	struct frame f;

	frame_of(&f, buffer, 64, data, len);
	if (neigh_answer(ours, &f.m)) {
		MUST(f.m.data_len <= len + 64);
		// An answer is never answered: two of us do not talk to each other for ever.
		struct frame_ours other = *ours;
		MUST(!neigh_answer(&other, &f.m));
	}
	free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_ours ours = {.mac = {2, 0, 0, 0, 0, 1}, .media_port = 8443};

	if (size < 1 || size > ROOM)
		return 0;
	MUST(frame_add_address(&ours, "192.0.2.5/24") == 0 &&
	     frame_add_address(&ours, "2001:db8::5/64") == 0);
	ours.check_udp = !(data[0] & 1);
	try_media(&ours, data + 1, size - 1);
	try_answer(&ours, data + 1, size - 1);
	return 0;
}
