// Messages of plugins that come while state is read back: kept, bounded in number and bytes, and given to the calls in
// their order when it is done.
//
// thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "controlplane/plugin/plugin.h"

enum late_limits {
	LATE_MAX = 20000,          // messages
	LATE_MAX_BYTES = 64 << 20, // with their texts
};

enum late_kind { LATE_JOIN, LATE_LEAVE, LATE_RECONNECT, LATE_RTC };

// One message. Of join, LEAVE, RECONNECT and RTC have session_id alone.
struct late_msg {
	enum late_kind kind;
	conn_id conn;
	struct str client;
	struct join_msg join;
	enum rtc_type type; // RTC, as data
	struct str data;
};

struct late_kept;
struct late {
	STAILQ_HEAD(, late_kept) kept;
	unsigned n;
	size_t bytes;
};

void late_init(struct late *);
// Keep a copy. False: no room for it.
[[nodiscard]] bool late_keep(struct late *, const struct late_msg *);
void late_replay(struct late *, const struct plugin_ops *, void *arg); // and forget them
void late_drop(struct late *);
