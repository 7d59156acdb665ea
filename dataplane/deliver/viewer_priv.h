// Inside of viewers: shared by viewer.c (where each is in the rings), viewer_send.c (what packets are made) and
// viewer_ask.c (what receivers ask for).
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/deliver/viewer.h"
#include "dataplane/media/leg.h"
#include "dataplane/port/port.h"
#include "lib/rtc/codec/vp8.h"
#include "lib/rtc/send/keyreq.h"
#include "lib/rtc/send/pacer.h"
#include "lib/rtc/send/resend.h"
#include "lib/rtc/send/rewrite.h"
#include "lib/rtc/send/rtxring.h"
#include "lib/rtc/send/simulcast.h"
#include "lib/rtc/send/tsalign.h"
#include "lib/seal/seal.h"

struct bwe;
struct layer;

#define VIEWER_RATE_NS (1 * NS_PER_S) // over which what is sent is measured

struct viewer {
	// where it is: what sending a packet touches is in the first VIEWER_HOT_LINES lines
	uint64_t next;      // index in the ring of its layer that is looked at next
	uint64_t seek_from; // index in the ring of the wanted layer where the search for a key frame goes on
	uint8_t layer;      // whose ring next is of; valid once it was sent anything
	uint8_t seek_layer; // whose ring seek_from is of, UINT8_MAX: none
	bool is_lost;       // packets were left out: nothing until a key frame
	bool is_in_frame;   // the last frame sent is not complete
	uint8_t twcc_id;    // extension id, for life: a resend is the same bytes. 0: none
	uint8_t rtx_pt;     // 0: none
	uint16_t n_picked;  // probes: turn of the packet that is sent again
	uint32_t rtx_ssrc;
	uint64_t rtx_index;  // of the next RTX packet
	uint64_t rate_bytes; // sent since rate_since
	struct pacer_leg pace;
	struct simulcast choice;
	struct vp8_leg vp8;
	struct rewrite rw;

	// seldom
	struct tsalign align;
	struct keyreq_leg asks;
	ns_t asked; // last wish for a key frame while lost
	uint32_t n_switches, n_nacked, n_resent, n_key_requests;
	ns_t rate_since;
	uint32_t rate_bps; // of the second before
	struct resend resend;
	struct resend_slot slot[RESEND_SLOTS];
};

#define VIEWER_HOT_LINES 4
static_assert(offsetof(struct viewer, rw.epoch[1]) <= VIEWER_HOT_LINES * RTE_CACHE_LINE_SIZE);

// Packets between their making and their sealing.
struct viewer_slice {
	unsigned n, n_bufs;
	struct seal_rtp job[VIEWER_SLICE];
	struct rte_mbuf *out[VIEWER_SLICE]; // [0, n_bufs) are allocated
	struct session *session[VIEWER_SLICE];
	uint64_t n_bytes; // of payload
	bool is_dry;      // out of buffers
};

// --- viewer_send.c
static inline void viewer_slice_begin(struct viewer_slice *sl)
{
	sl->n = sl->n_bufs = 0;
	sl->n_bytes = 0;
	sl->is_dry = false;
}
bool viewer_slice_fill(struct worker *,
		       struct viewer_slice *); // buffers for a whole one; false: there are none
// Is there room for one more packet?
static inline bool viewer_slice_has_room(struct worker *w, struct viewer_slice *sl)
{
	return sl->n < sl->n_bufs || (sl->n == 0 && viewer_slice_fill(w, sl));
}
// Seal and queue what is in it; unused buffers go back.
void viewer_slice_end(struct worker *, struct viewer_slice *);

// May anything be sent to this session now? len: bytes of payload.
bool viewer_may_send(struct worker *, const struct leg *, unsigned len);
// Bytes on the wire of a packet with this payload.
unsigned viewer_wire_bytes(const struct session *, const struct viewer *, unsigned payload_len);

// A packet of a ring, for receivers of this temporal cap.
struct viewer_pkt {
	const struct rtxring_entry *e; // borrowed
	struct rte_mbuf *m;            // borrowed: what it names
	unsigned cap;
};

// A packet of nothing but padding.
struct viewer_padding {
	uint64_t index; // of the media SSRC or the RTX SSRC
	uint32_t ts;
	uint8_t n_bytes;
	bool is_rtx;
	uint8_t cluster;      // of a probe, 0: none
	const uint16_t *same; // transport-wide number of a former sending, NULL: a new one
};

// For all of these the slice has room.

// A packet under its output number.
void viewer_send(struct worker *, struct viewer_slice *, struct leg *, const struct viewer_pkt *,
		 const struct rewrite_out *);
// The same again, by RTX or byte for byte. index: it was sent under. cluster: of a probe, 0: none
void viewer_send_again(struct worker *, struct viewer_slice *, struct leg *, const struct viewer_pkt *,
		       uint64_t index, uint8_t cluster);
void viewer_send_padding(struct worker *, struct viewer_slice *, struct leg *, const struct viewer_padding *);

// --- viewer.c
struct layer *viewer_layer(const struct leg *, unsigned layer); // NULL when its source is gone
