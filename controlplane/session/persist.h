// Sessions in the store, so that a restarted control plane takes its calls back.
//
// One record a session under "session/<node>/<client>/<session id>": what the plugin said in the join, and
// the negotiated state, which holds ICE passwords and therefore is sealed (AES-256-GCM). The key comes from
// the cookie that only sluice-dp keeps, so a copy of the store opens nothing, and a record whose session
// the dataplane has lost cannot be read and is deleted.
//
// thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/plugin/plugin.h"
#include "lib/base/str.h"
#include "lib/ipc/wire.h"

struct session_env;
struct persist;
struct session;

#define PERSIST_TTL_S (24 * 3600) // a record nobody renews vanishes
#define PERSIST_MAX_RECORD 60000  // bytes

// What a track was taken for.
struct persist_track {
	struct str mid, suffix;
	uint8_t type; // enum negotiate_type
	bool is_held, withdrawn;
};

// A record, decoded; views into it.
struct persist_record {
	uint32_t sid;
	struct str client;
	struct join_msg join;
	bool mic_on;
	struct str screen_id, video_id;
	unsigned n_tracks;
	struct persist_track tracks[IPC_MAX_TRACKS];
	struct str sealed;
};

// returns: bytes, -ENOSPC
[[nodiscard]] int persist_encode(const struct persist_record *, void *buf, size_t size);
// Anything may be in the record. returns: 0, -EBADMSG, -ENOTSUP (another version)
[[nodiscard]] int persist_decode(struct str value, struct persist_record *);

// Seal and open the negotiated state. size of out: len + PERSIST_SEAL_EXTRA. returns: bytes, -EIO, -EBADMSG
#define PERSIST_SEAL_EXTRA 28
[[nodiscard]] int persist_seal(uint64_t cookie, uint32_t sid, const void *in, size_t len, void *out);
[[nodiscard]] int persist_open(uint64_t cookie, uint32_t sid, struct str sealed, void *out);

// What it knows of a session; its alone.
struct persist_state {
	uint32_t version; // of the negotiation, last stored
	bool is_stored;   // a record is in the store
	bool is_dirty;    // to be written with the next batch
};

struct persist *persist_new(struct session_env *); // NULL + errno; borrowed: loop, conf, store, sessions
void persist_free(struct persist *);

// Write the session soon, when its state has changed since the last time.
void persist_touch(struct session *);
// The same, whether the negotiation has moved or not.
void persist_mark(struct session *);
// Its record goes.
void persist_forget(struct session *);

// Read all records of this node, then call done once; persist_each gives them until persist_clear.
void persist_read(struct persist *, void (*done)(void *arg, int rc), void *arg);
void persist_each(struct persist *, void (*fn)(void *arg, const struct persist_record *), void *arg);
void persist_delete(struct persist *, struct str client, struct str session_id);
void persist_clear(struct persist *);
