// Inside of the model: shared by model.c (sessions), model_media.c (tracks, legs), model_room.c, model_events.c and
// model_snapshot.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dataplane/ctl/model.h"
#include "dataplane/media/layer.h"
#include "dataplane/port/port.h"

struct bwe;
struct keyring;
struct leg;
struct mail;
struct reclaim;
struct seal_engine;
struct seal_key;
struct session;
struct source;
struct worker;

struct m_room;
struct m_track;
struct m_session;

#define MODEL_ROOM_BUCKETS 256

struct m_leg {
	LIST_ENTRY(m_leg) of_session, of_track;
	struct m_session *owner; // borrowed: the receiver
	struct m_track *from;    // borrowed
	struct ipc_leg_add add;
	struct leg *leg; // owned until retired
};

struct m_track {
	LIST_HEAD(, m_leg) legs; // fed by this track
	TAILQ_ENTRY(m_track) dirty_link;
	bool dirty; // legs changed since the list was published
	uint32_t n_legs;
	struct m_session *owner;  // borrowed
	struct ipc_track_add add; // enabled as last told
	struct source *source;    // borrowed from the pool of sources
	uint32_t live_ssrc;
	uint8_t live_pt, voice_on;
	struct m_room *room; // borrowed: NULL unless a voice with open gate where speakers are chosen
	LIST_ENTRY(m_track) of_room;
};

struct m_session {
	struct session *session; // owned until retired
	struct worker *home;     // borrowed
	uint32_t sid, call, rtcp_ssrc;
	uint64_t cookie;
	char name[32], ufrag[IPC_UFRAG_LEN], pwd[IPC_PWD_LEN];
	char old_ufrag[IPC_UFRAG_LEN]; // before an ICE restart; first byte 0 when none
	uint16_t profile;              // 0: no keys yet
	uint8_t liveness;
	uint8_t flags; // enum ipc_session_flags
	uint8_t ext[IPC_N_EXTS];
	struct seal_key *rx, *tx; // owned until retired
	bool has_path;
	struct flow_key path;
	struct m_track *track[IPC_MAX_TRACKS]; // owned
	LIST_HEAD(, m_leg) legs;               // owned
	uint32_t n_legs;
	struct bwe *bwe;     // owned until retired: NULL before the first video leg
	uint32_t *used_ssrc; // owned: the last SSRCs sealed under this session's key, a ring once it is full
	uint32_t n_used, used_size;
};

struct model {
	struct dp *dp;              // borrowed
	struct m_session **session; // owned array by slot
	uint32_t n_sessions;
	struct reclaim *reclaim;
	struct seal_engine *seal; // main's own: key expansion
	struct keyring *keyring;
	TAILQ_HEAD(, m_track) dirty;
	LIST_HEAD(, m_room) rooms[MODEL_ROOM_BUCKETS]; // by call
	TAILQ_HEAD(, m_room) dirty_rooms;
	struct source *free_sources[1 + LAYER_MAX]; // by number of layers, chained through `current`
	void **source_chunks;                       // owned: memory of sources, kept to the end
	unsigned n_source_chunks;
	struct {
		void (*free_fn)(void *);
		void *object;
		struct worker *home;
	} * retired; // owned: to be retired once the new lists are published
	unsigned n_retired, retired_size;
};

// --- model_base.c
struct m_session *model_find_session(const struct model *, uint32_t sid); // NULL when not there
struct m_leg *model_find_leg(const struct m_session *, uint16_t id);      // NULL when not there
void model_send(struct worker *, const struct mail *);
void model_post(struct m_session *, struct mail mail); // to its home; fills in the session
// Free later: after the fan-out lists that mention the object are replaced, home's mails and a grace period.
void model_retire(struct model *, void (*free_fn)(void *), void *object, struct worker *home);
void model_addr_of_key(struct ipc_addr *remote, struct ipc_addr *local, const struct flow_key *);

// --- model_media.c: commands, as in model_apply
int model_track_add(struct model *, const struct ipc_track_add *);
int model_track_gate(struct model *, const struct ipc_track_gate *);
int model_track_del(struct model *, const struct ipc_track_ref *);
int model_leg_add(struct model *, const struct ipc_leg_add *);
int model_leg_del(struct model *, const struct ipc_leg_ref *);
// tell: the worker is to be told; false when its whole session goes.
void model_remove_track(struct model *, struct m_track *, bool tell);
void model_remove_leg(struct model *, struct m_leg *, bool tell);
void model_free_sources(struct model *);
bool model_publish(struct model *, struct m_track *); // a new list of the track's legs; false: no memory

// --- model_room.c
// The track's gate opens, closes, or the track goes. Idempotent.
void model_room_enter(struct model *, struct m_track *);
void model_room_leave(struct model *, struct m_track *);
bool model_room_publish(struct model *); // new lists of members; false: no memory, call again
