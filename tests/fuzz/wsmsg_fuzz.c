// Plugin messages: whatever is accepted has its views inside the input and within the limits, and an rtc
// message written from it reads back the same.
// sources: controlplane/plugin/wsmsg.c
// max_len: 131072
#include <stdlib.h>

#include "controlplane/plugin/wsmsg.h"
#include "lib/base/err.h"

static void inside(struct str s, const uint8_t *p, size_t size)
{
	MUST(s.len == 0 || ((const uint8_t *)s.p >= p && (const uint8_t *)s.p + s.len <= p + size));
}

static void write_back(const struct wsmsg *m)
{
	struct rtc_msg out = {STR("g"), STR("u"), m->session_id, STR("c"), m->rtc, m->data};
	size_t size = wsmsg_rtc_size(&out);
	uint8_t *buf = malloc(size);
	struct wbuf w = wbuf_of(buf, size);
	struct wsmsg again;

	wsmsg_write_rtc(&w, &out);
	MUST(!w.full);
	MUST(wsmsg_decode(buf, wbuf_len(&w), &again) == 0);
	MUST(again.rtc == m->rtc && str_eq(again.session_id, m->session_id) && str_eq(again.data, m->data));
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wsmsg m;
	int rc = wsmsg_decode(data, size, &m);

	MUST(rc == 0 || ((rc == -EBADMSG || rc == -EINVAL) && m.error != NULL));
	MUST(wsmsg_type_name(m.type) != NULL);
	if (rc != 0)
		return 0;
	inside(m.session_id, data, size);
	inside(m.data, data, size);
	inside(m.join.call_id, data, size);
	inside(m.join.user_id, data, size);
	inside(m.join.session_id, data, size);
	inside(m.join.channel_id, data, size);
	if (m.type == WSMSG_JOIN)
		MUST(m.join.call_id.len > 0 && m.join.user_id.len > 0 &&
		     m.join.session_id.len <= WSMSG_MAX_ID);
	else
		MUST(m.session_id.len > 0 && m.session_id.len <= WSMSG_MAX_ID);
	if (m.type == WSMSG_RTC)
		write_back(&m);
	return 0;
}
