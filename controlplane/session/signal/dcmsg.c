#include "controlplane/session/signal/dcmsg.h"

#include <math.h>
#include <zlib.h>

#include "lib/base/err.h"
#include "lib/rtc/wire/msgpack.h"

// Any integer form counts modulo 256, nil as 0, as the clients' library does it.
static int read_type(struct mp_reader *r, unsigned *type)
{
	int64_t i;
	uint64_t u;

	if (mp_read_int(r, &i) == 0)
		*type = (uint8_t)i;
	else if (mp_read_uint(r, &u) == 0)
		*type = (uint8_t)u;
	else if (mp_read_nil(r) == 0)
		*type = 0;
	else
		return -EBADMSG;
	return 0;
}

int dcmsg_parse(const void *data, size_t len, struct dcmsg *m)
{
	struct mp_reader r = mp_reader_of(data, len);
	unsigned type;

	*m = (struct dcmsg){};
	if (len == 0)
		return -ENODATA;
	if (len == 4 && memcmp(data, "ping", 4) == 0) {
		m->type = DCMSG_TEXT_PING;
		return 0;
	}
	if (read_type(&r, &type) < 0)
		return -EBADMSG;
	m->type = type;
	switch (type) {
	case DCMSG_PING:
	case DCMSG_PONG:
	case DCMSG_LOCK:
	case DCMSG_UNLOCK:
	case DCMSG_MEDIA_MAP:
		return 0;
	case DCMSG_SDP:
		return mp_read_bytes(&r, false, &m->zipped) == 0 ? 0 : -EBADMSG;
	case DCMSG_LOSS:
	case DCMSG_RTT:
	case DCMSG_JITTER:
		if (mp_read_nil(&r) == 0)
			return 0;
		if (mp_read_number(&r, &m->number) < 0)
			return -EBADMSG;
		return isfinite(m->number) && m->number >= 0 ? 0 : -ERANGE;
	default:
		return -ENOTSUP;
	}
}

int dcmsg_inflate(struct str zipped, char *out, size_t size)
{
	z_stream z = {.next_in = (Bytef *)zipped.p,
		      .avail_in = (uInt)zipped.len,
		      .next_out = (Bytef *)out,
		      .avail_out = (uInt)size};
	int rc;

	if (zipped.len == 0)
		return -EBADMSG;
	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	if (rc == Z_STREAM_END)
		return (int)z.total_out;
	return z.avail_out == 0 && (rc == Z_BUF_ERROR || rc == Z_OK) ? -E2BIG : -EBADMSG;
}

void dcmsg_write_pong(struct wbuf *w)
{
	mp_write_uint8(w, DCMSG_PONG);
}

void dcmsg_write_lock(struct wbuf *w, bool granted)
{
	mp_write_uint8(w, DCMSG_LOCK);
	mp_write_bool(w, granted);
}

int dcmsg_write_sdp(struct wbuf *w, struct str json)
{
	uLongf len = compressBound(json.len);
	uint8_t *zipped = malloc(len);
	int rc;

	if (zipped == NULL)
		return -ENOMEM;
	rc = compress(zipped, &len, (const Bytef *)json.p, json.len);
	if (rc == Z_OK) {
		mp_write_uint8(w, DCMSG_SDP);
		mp_write_bin(w, zipped, len);
	}
	free(zipped);
	if (rc != Z_OK)
		return -ENOMEM;
	return w->full ? -ENOBUFS : 0;
}

void dcmsg_write_map(struct wbuf *w, const struct dcmsg_line *line, size_t n)
{
	mp_write_uint8(w, DCMSG_MEDIA_MAP);
	mp_write_map(w, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		mp_write_str(w, line[i].mid);
		mp_write_map(w, 2);
		mp_write_str(w, STR("type"));
		mp_write_str(w, line[i].type);
		mp_write_str(w, STR("sender_id"));
		mp_write_str(w, line[i].sender_id);
	}
}
