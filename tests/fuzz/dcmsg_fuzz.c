// Data-channel messages: parse, inflate, and what was parsed must be within its limits.
// sources: controlplane/session/signal/dcmsg.c
// libs: -lz
// max_len: 131072
#include <stddef.h>
#include <stdint.h>

#include "controlplane/session/signal/dcmsg.h"
#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char json[DCMSG_MAX_JSON];
	struct dcmsg m;

	if (dcmsg_parse(data, size, &m) < 0)
		return 0;
	MUST(m.number >= 0 && m.number < 1e308 * 10);
	if (m.type == DCMSG_SDP) {
		MUST(m.zipped.len <= size);
		MUST(dcmsg_inflate(m.zipped, json, sizeof(json)) <= DCMSG_MAX_JSON);
	}
	return 0;
}
