// JSON of signaling messages: a description that is understood must survive being written and read again.
// sources: controlplane/session/signal/sigmsg.c controlplane/sys/jsonscan.c
// max_len: 131072
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "controlplane/session/signal/sigmsg.h"
#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str json = {(const char *)data, size};
	struct sigmsg_sdp m, again;
	char id[64];

	(void)!sigmsg_check_candidate(json);
	if (sigmsg_parse_id(json, "screenStreamID", id, sizeof(id)) == 0)
		MUST(strlen(id) < sizeof(id));
	if (sigmsg_parse_sdp(json, &m) < 0)
		return 0;
	size_t room = m.sdp.len * 6 + 64;
	char *out = malloc(room);
	MUST(out != NULL);
	struct wbuf w = wbuf_of(out, room);
	sigmsg_write_sdp(&w, m.type, m.sdp);
	MUST(!w.full);
	if (wbuf_len(&w) <= SIGMSG_MAX_JSON) {
		MUST(sigmsg_parse_sdp((struct str){out, wbuf_len(&w)}, &again) == 0);
		MUST(again.type == m.type && str_eq(again.sdp, m.sdp));
		sigmsg_free(&again);
	}
	free(out);
	sigmsg_free(&m);
	return 0;
}
