#include "controlplane/http/wsframe.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/utf8.h"

enum { KEEP_CAP = 65536 }; // larger message buffers are given back after use

void wsframe_init(struct wsframe_reader *r, size_t max_message)
{
	*r = (struct wsframe_reader){.max_message = max_message};
}

static size_t share_part(size_t cap)
{
	return cap > KEEP_CAP ? cap : 0;
}

// The reader's buffer will have so many bytes. False: those that share are at their limit.
static bool share_take(const struct wsframe_reader *r, size_t cap)
{
	size_t now = share_part(r->message_cap), then = share_part(cap);

	if (r->share == NULL)
		return true;
	if (then > now && r->share->held - now + then > r->share->most)
		return false;
	r->share->held = r->share->held - now + then;
	return true;
}

static void message_drop(struct wsframe_reader *r)
{
	share_take(r, 0);
	free(r->message);
	r->message = NULL;
	r->message_cap = r->message_len = 0;
}

void wsframe_fini(struct wsframe_reader *r)
{
	message_drop(r);
}

static bool event_fail(struct wsframe_event *ev, uint16_t code, const char *reason)
{
	ev->what = WSFRAME_ERROR;
	ev->code = code;
	ev->reason = reason;
	return false;
}

static bool frame_check_opcode(struct wsframe_reader *r, struct wsframe_event *ev)
{
	unsigned len7 = r->header[1] & 0x7f;

	if (r->header[0] & 0x70)
		return event_fail(ev, WS_CLOSE_PROTOCOL, "reserved bits set");
	if (!(r->header[1] & 0x80))
		return event_fail(ev, WS_CLOSE_PROTOCOL, "frame not masked");
	switch (r->opcode) {
	case WS_TEXT:
	case WS_BINARY:
		if (r->message_opcode != 0)
			return event_fail(ev, WS_CLOSE_PROTOCOL, "message inside a fragmented message");
		return true;
	case WS_CONT:
		if (r->message_opcode == 0)
			return event_fail(ev, WS_CLOSE_PROTOCOL, "continuation of nothing");
		return true;
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		if (!r->is_final)
			return event_fail(ev, WS_CLOSE_PROTOCOL, "fragmented control frame");
		if (len7 > 125)
			return event_fail(ev, WS_CLOSE_PROTOCOL, "control frame too long");
		return true;
	default:
		return event_fail(ev, WS_CLOSE_PROTOCOL, "bad opcode");
	}
}

// The two fixed bytes are there: check them, and learn how long the header is.
static bool frame_begin(struct wsframe_reader *r, struct wsframe_event *ev)
{
	unsigned len7 = r->header[1] & 0x7f;

	r->is_final = r->header[0] & 0x80;
	r->opcode = r->header[0] & 0x0f;
	r->header_len = 2 + 4 + (len7 == 126 ? 2 : len7 == 127 ? 8 : 0);
	return frame_check_opcode(r, ev);
}

// The whole header is there.
static bool frame_begin_payload(struct wsframe_reader *r, struct wsframe_event *ev)
{
	unsigned len7 = r->header[1] & 0x7f;

	r->left = len7 == 126 ? be16_get(r->header + 2) : len7 == 127 ? be64_get(r->header + 2) : len7;
	r->at = 0;
	r->in_payload = true;
	if (r->opcode >= WS_CLOSE) {
		r->control_len = 0;
		return true;
	}
	if (r->opcode != WS_CONT) {
		r->message_opcode = r->opcode;
		r->message_len = 0;
	}
	if (r->left > r->max_message - r->message_len)
		return event_fail(ev, WS_CLOSE_TOO_BIG, "message too large");
	return true;
}

static bool message_reserve(struct wsframe_reader *r, size_t n, struct wsframe_event *ev)
{
	size_t want = r->message_len + n, cap = r->message_cap ? r->message_cap : 1024;
	uint8_t *p;

	if (want <= r->message_cap)
		return true;
	while (cap < want)
		cap *= 2;
	if (!share_take(r, cap))
		return event_fail(ev, WS_CLOSE_TRY_LATER, "too much unfinished");
	p = realloc(r->message, cap);
	if (p == NULL)
		return event_fail(ev, 1011, "out of memory"); // what was taken goes with the reader
	r->message = p;
	r->message_cap = cap;
	return true;
}

static bool frame_take_payload(struct wsframe_reader *r, uint8_t *p, size_t n, struct wsframe_event *ev)
{
	const uint8_t *mask = r->header + r->header_len - 4;

	assert(n <= r->left && r->header_len >= 6);
	for (size_t i = 0; i < n; i++)
		p[i] ^= mask[(r->at + i) & 3];
	r->at += n;
	r->left -= n;
	if (r->opcode >= WS_CLOSE) {
		assert(r->control_len + n <= sizeof(r->control));
		memcpy(r->control + r->control_len, p, n);
		r->control_len += (unsigned)n;
		return true;
	}
	if (n == 0)
		return true;
	if (!message_reserve(r, n, ev))
		return false;
	assert(r->message_len + n <= r->max_message);
	memcpy(r->message + r->message_len, p, n);
	r->message_len += n;
	return true;
}

static bool close_code_is_valid(uint16_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

static void frame_end_close(struct wsframe_reader *r, struct wsframe_event *ev)
{
	uint16_t code = WS_CLOSE_NO_STATUS;

	if (r->control_len == 1) {
		event_fail(ev, WS_CLOSE_PROTOCOL, "bad close payload");
		return;
	}
	if (r->control_len >= 2) {
		code = be16_get(r->control);
		if (!close_code_is_valid(code)) {
			event_fail(ev, WS_CLOSE_PROTOCOL, "bad close code");
			return;
		}
		if (!utf8_is_valid((struct str){(char *)r->control + 2, r->control_len - 2})) {
			event_fail(ev, WS_CLOSE_PROTOCOL, "invalid utf8 payload in close frame");
			return;
		}
	}
	ev->what = WSFRAME_CLOSE;
	ev->code = code;
}

static void frame_end(struct wsframe_reader *r, struct wsframe_event *ev)
{
	r->in_payload = false;
	r->n_header = r->header_len = 0;
	if (r->opcode == WS_CLOSE) {
		frame_end_close(r, ev);
	} else if (r->opcode >= WS_CLOSE) {
		ev->what = r->opcode == WS_PING ? WSFRAME_PING : WSFRAME_PONG;
		ev->payload = (struct str){(char *)r->control, r->control_len};
	} else if (r->is_final) {
		ev->what = WSFRAME_MESSAGE;
		ev->is_text = r->message_opcode == WS_TEXT;
		ev->payload = (struct str){(char *)r->message, r->message_len};
		r->message_opcode = 0;
	}
}

// Give a large buffer back before the next message starts.
static void message_shrink(struct wsframe_reader *r)
{
	if (r->message_opcode != 0 || r->message_cap <= KEEP_CAP)
		return;
	message_drop(r);
}

size_t wsframe_read(struct wsframe_reader *r, uint8_t *p, size_t len, struct wsframe_event *ev)
{
	size_t at = 0;

	*ev = (struct wsframe_event){.what = WSFRAME_MORE};
	message_shrink(r);
	while (at < len || (r->in_payload && r->left == 0)) {
		if (r->in_payload) {
			size_t n = len - at < r->left ? len - at : (size_t)r->left;

			if (!frame_take_payload(r, p + at, n, ev))
				return at;
			at += n;
			if (r->left == 0)
				frame_end(r, ev);
			if (ev->what != WSFRAME_MORE)
				return at;
			continue;
		}
		r->header[r->n_header++] = p[at++];
		if (r->n_header == 2 && !frame_begin(r, ev))
			return at;
		if (r->n_header == r->header_len && !frame_begin_payload(r, ev))
			return at;
	}
	return at;
}

size_t wsframe_header(uint8_t out[WS_MAX_HEADER], enum ws_opcode opcode, size_t payload_len)
{
	out[0] = (uint8_t)(0x80 | opcode);
	if (payload_len < 126) {
		out[1] = (uint8_t)payload_len;
		return 2;
	}
	if (payload_len <= UINT16_MAX) {
		out[1] = 126;
		be16_put(out + 2, (uint16_t)payload_len);
		return 4;
	}
	out[1] = 127;
	be64_put(out + 2, payload_len);
	return 10;
}

bool wsframe_key_is_valid(struct str key)
{
	if (key.len != 24 || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (key.p[i] == '\0' || strchr(STR_BASE64_DIGITS, key.p[i]) == NULL)
			return false;
	return true;
}
