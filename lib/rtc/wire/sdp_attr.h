// Inside of the description parser, shared by sdp*.c: one function per attribute value. Each returns false (or
// -1) for a value that is malformed; what it fills is then undefined.
//
// thread: any
#pragma once

#include "lib/rtc/wire/sdp.h"

// RFC 8866 token.
bool sdp_is_token(struct str s);

// One or more ice-chars (RFC 8839).
bool sdp_is_ice(struct str s);

// The next word of *rest, empty at the end; words are separated by spaces.
struct str sdp_word(struct str *rest);

// The next word as a number of at most max.
bool sdp_word_u64(struct str *rest, uint64_t max, uint64_t *out);

// The next line without its end; false at the end of the text.
bool sdp_line_next(struct str *rest, struct str *line);

// "111 opus/48000/2"
bool sdp_rtpmap_parse(struct str v, struct sdp_codec *c);

// "111 minptime=10;useinbandfec=1"
bool sdp_fmtp_parse(struct str v, uint8_t *pt, struct str *params);

// "111 nack pli", "* transport-cc". any: for all payload types. Unknown feedback gives no bit.
bool sdp_rtcpfb_parse(struct str v, uint8_t *pt, bool *any, uint8_t *fb);

// "sendrecv" and so on.
bool sdp_dir_parse(struct str s, enum sdp_dir *dir);

// "3/sendonly urn:... attributes". skip: an id from 4096 on, valid in an offer but never usable as it is.
bool sdp_extmap_parse(struct str v, struct sdp_ext *e, bool *skip);

// "1234 cname:x", "1234 msid:stream track"
bool sdp_ssrc_parse(struct str v, struct sdp_source *s);

// "FID 1 2". Returns the number of members, at most max, or -1.
int sdp_group_parse(struct str v, struct str *semantics, uint32_t *ssrc, int max);

// "l send pt=96"
bool sdp_rid_parse(struct str v, struct sdp_rid *r);

// "send l;h", "send l;h recv x". Marks the n rids it names as listed and paused.
bool sdp_simulcast_parse(struct str v, struct sdp_rid *rids, unsigned n);

// "sha-256 AB:CD:...". A hash we do not use leaves *f as it is.
bool sdp_fingerprint_parse(struct str v, struct sdp_fingerprint *f);
