// What a session receives at present as a JSON object, as docs/operations.md describes it. Pure code.
#pragma once

#include "controlplane/calls/query.h"
#include "lib/base/buf.h"

#define MEDIAJSON_MAX (160 * 1024) // bytes it needs at most: ids of 256 bytes, all of them escaped

void mediajson_write(struct wbuf *, const struct query_view *); // check w->full
