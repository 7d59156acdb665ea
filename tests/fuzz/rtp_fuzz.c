// First byte: tag length and ids of extensions; the rest is a packet, as it comes from the network and as it is after
// decryption. Payloads go on to the reader of VP8 descriptors.
#include "lib/base/err.h"
#include "lib/rtc/codec/vp8.h"
#include "lib/rtc/wire/demux.h"
#include "lib/rtc/wire/rtp.h"

static void payload(const uint8_t *p, size_t len)
{
	struct vp8_desc d;

	if (vp8_parse(p, len, &d) == 0) {
		MUST(d.len < len && d.picture_id_off < d.len && d.tl0_off < d.len);
		(void)vp8_is_key(p, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t id[RTP_N_EXTS] = {1, 2, 3, 4, 5, 6, 7, 0}, *p;
	struct rtp_ext_iter it;
	struct rtp_view v;
	struct rtp_exts x;
	struct rtp_ext e;
	size_t len, tag;

	if (size < 1)
		return 0;
	len = size - 1;
	tag = data[0] & 0x1f;
	p = malloc(len ? len : 1);
	memcpy(p, data + 1, len);
	(void)demux_classify(p, len);
	for (unsigned i = 0; i < 7; i++)
		id[i] = (uint8_t)(id[i] + (data[0] >> 5));
	if (rtp_parse(p, len, tag, &v) == 0) {
		MUST((size_t)v.hdr_len + v.payload_len + tag == len);
		MUST(v.ext_off + v.ext_len <= v.hdr_len);
		if (rtp_ext_begin(&it, p, &v) == 0) {
			while (rtp_ext_next(&it, &e)) {
				MUST(e.off >= v.ext_off && e.off + e.len <= v.hdr_len);
				MUST(e.data == p + e.off);
			}
			MUST(rtp_ext_read(p, &v, id, &x) == 0);
		} else {
			MUST(rtp_ext_read(p, &v, id, &x) < 0 && !x.has_level && x.mid.len == 0);
		}
		if (v.has_pad) {
			int pad = rtp_pad_len(p + v.hdr_len, v.payload_len);
			MUST(pad < 0 || (pad >= 1 && pad <= v.payload_len));
		}
		payload(p + v.hdr_len, v.payload_len);
	}
	payload(p, len);
	free(p);
	return 0;
}
