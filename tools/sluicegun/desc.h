// The session description of one participant, kept as a list of lines: what browsers of the Calls product would
// offer and answer, written thriftily. Text in, text out.
//
// thread: owner only
// source: RFC 8829 (JSEP), RFC 8843 (BUNDLE)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/wire/sdp.h"

#define DESC_MAX_LINES 128
#define DESC_MAX_TEXT (64 * 1024) // bytes; the plugin takes no more
#define DESC_OPUS 111
#define DESC_VP8 96

// What we send on a line.
enum desc_send { DESC_NOTHING, DESC_VOICE, DESC_SCREEN, DESC_SIMULCAST };

struct desc_line {
	char mid[SDP_MAX_MID + 1];
	uint8_t kind;       // enum sdp_kind
	uint8_t send;       // enum desc_send
	uint8_t remote_dir; // enum sdp_dir, the server's; SDP_RECVONLY while we have offered and it has not spoken
	uint8_t pt, rtx_pt; // rtx_pt 0: none
	uint8_t fb;         // enum sdp_fb bits
	bool rejected;
	uint32_t ssrc;   // what we send; 0 with simulcast
	char stream[40]; // msid of what we send
};

struct desc {
	const char *ufrag, *pwd; // borrowed: the ICE agent's
	struct sdp_fingerprint fingerprint;
	char cname[28];
	uint64_t origin, version;
	uint8_t setup;              // enum sdp_setup for our answers; SDP_SETUP_NONE before it is settled
	uint8_t ext_id[RTP_N_EXTS]; // by kind, as agreed
	uint16_t n_lines;
	struct desc_line line[DESC_MAX_LINES];
};

// What the server says about itself.
struct desc_remote {
	struct str ufrag, pwd; // views
	struct sdp_fingerprint fingerprint;
	uint8_t setup; // enum sdp_setup
};

// One stream that the server is going to send.
struct desc_source {
	uint32_t ssrc, rtx; // rtx 0: none
	uint8_t kind;       // enum sdp_kind
	uint8_t pt, rtx_pt;
	bool has_nack, has_twcc;
};

void desc_init(struct desc *, const char *ufrag, const char *pwd, const struct sdp_fingerprint *);

// Add a line to the next offer. The returned line is owned by desc. NULL when there are DESC_MAX_LINES.
struct desc_line *desc_add_data(struct desc *);
struct desc_line *desc_add_track(struct desc *, enum desc_send, uint32_t ssrc);

// Take lines away that were offered and never answered: the server's own offer came in between.
void desc_rollback(struct desc *, unsigned n_lines);

void desc_write_offer(struct desc *, struct wbuf *);
void desc_write_answer(struct desc *, struct wbuf *);

// A description of the server; the callbacks get each candidate and, of an offer, each source.
// returns: 0, -EBADMSG, -E2BIG, -ENOTSUP when it does not fit what went before
struct desc_sink {
	void (*on_candidate)(void *arg, struct str line);
	void (*on_source)(void *arg, const struct desc_source *);
	void *arg;
};
[[nodiscard]] int desc_read(struct desc *, struct str text, bool is_offer, struct desc_remote *,
			    const struct desc_sink *);
