// What a message must satisfy whatever the state of its receiver: one row per type, one function per struct
// that has more to check than its session id. A function returns NULL or what is wrong.
#include "lib/ipc/ipc.h"

#include <string.h>

#include "lib/base/err.h"
#include "lib/ipc/pktring.h"

#define MAX_SESSIONS (1u << 24) // slots of a handle, lib/base/pool.h
#define MAX_PT 127
#define MAX_ERRNO 4095

static bool is_sid(uint32_t sid)
{
	return sid >> 24 != 0;
}

// RFC 8445 section 15.1: ice-char = ALPHA / DIGIT / "+" / "/"
static bool is_ice_chars(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i], lower = c | 0x20;

		if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
			return false;
	}
	return true;
}

static bool is_codec(unsigned codec)
{
	return codec <= CODEC_RTX;
}

// DTLS-SRTP profile ids we negotiate (RFC 5764, RFC 7714).
static bool is_profile(unsigned profile)
{
	return profile == 0x0001 || profile == 0x0007 || profile == 0x0008;
}

static const char *addr_wrong(const struct ipc_addr *a)
{
	if (a->family == 0)
		return NULL;
	if (a->family != 4 && a->family != 6)
		return "address family";
	if (a->proto != 17 && a->proto != 6)
		return "address protocol";
	return a->port == 0 ? "address port" : NULL;
}

static const char *check_hello_cp(const union ipc_msg *m)
{
	return m->hello.boot_id == 0 ? "boot id" : NULL;
}

static const char *check_hello_dp(const union ipc_msg *m)
{
	const struct ipc_hello *h = &m->hello;

	if (h->boot_id == 0)
		return "boot id";
	if (h->punt_size < PKTRING_MIN_SIZE || h->punt_size > PKTRING_MAX_SIZE ||
	    h->punt_size & (h->punt_size - 1))
		return "punt ring size";
	if (h->max_sessions == 0 || h->max_sessions > MAX_SESSIONS)
		return "max_sessions";
	return h->n_workers == 0 || h->n_workers > IPC_MAX_WORKERS ? "n_workers" : NULL;
}

static const char *check_session_add(const union ipc_msg *m)
{
	const struct ipc_session_add *a = &m->session_add;

	if (!is_sid(a->sid))
		return "sid";
	return is_ice_chars(a->ufrag, sizeof(a->ufrag)) && is_ice_chars(a->pwd, sizeof(a->pwd))
		       ? NULL
		       : "credentials";
}

static const char *check_session_ice(const union ipc_msg *m)
{
	const struct ipc_session_ice *a = &m->session_ice;

	if (!is_sid(a->sid))
		return "sid";
	if (!is_ice_chars(a->ufrag, sizeof(a->ufrag)) || !is_ice_chars(a->pwd, sizeof(a->pwd)))
		return "credentials";
	if (a->remote_ufrag_len > sizeof(a->remote_ufrag))
		return "remote ufrag length";
	return memchr(a->remote_pwd, '\0', sizeof(a->remote_pwd)) ? NULL
								  : "remote password is not terminated";
}

static const char *check_session_keys(const union ipc_msg *m)
{
	if (!is_sid(m->session_keys.sid))
		return "sid";
	return is_profile(m->session_keys.profile) ? NULL : "profile";
}

static const char *check_session_extmap(const union ipc_msg *m)
{
	const struct ipc_session_extmap *e = &m->session_extmap;

	if (!is_sid(e->sid))
		return "sid";
	for (unsigned i = 0; i < IPC_N_EXTS; i++)
		for (unsigned j = 0; j < i; j++)
			if (e->id[i] != 0 && e->id[i] == e->id[j])
				return "extension id given twice";
	return NULL;
}

static const char *check_session_ref(const union ipc_msg *m)
{
	return is_sid(m->session_ref.sid) ? NULL : "sid";
}

static const char *track_wrong(const struct ipc_track_add *t)
{
	if (!is_sid(t->sid))
		return "sid";
	if (t->track >= IPC_MAX_TRACKS)
		return "track";
	if (t->kind > KIND_VIDEO || t->enabled > 1)
		return "kind or enabled";
	if (t->clock_hz == 0)
		return "clock rate";
	for (unsigned i = 0; i < IPC_TRACK_CODECS; i++)
		if (t->codec[i].pt > MAX_PT || t->codec[i].apt > MAX_PT || !is_codec(t->codec[i].codec))
			return "codec";
	if (t->n_rids > IPC_TRACK_RIDS || t->is_ranked > 1)
		return "rids or is_ranked";
	for (unsigned i = 0; i < t->n_rids; i++)
		if (t->rid[i][0] == '\0')
			return "rid";
	return NULL;
}

static const char *check_track_add(const union ipc_msg *m)
{
	return track_wrong(&m->track_add);
}

static const char *check_track_gate(const union ipc_msg *m)
{
	if (!is_sid(m->track_gate.sid))
		return "sid";
	return m->track_gate.track >= IPC_MAX_TRACKS || m->track_gate.enabled > 1 ? "track or enabled" : NULL;
}

static const char *check_track_ref(const union ipc_msg *m)
{
	if (!is_sid(m->track_ref.sid))
		return "sid";
	return m->track_ref.track >= IPC_MAX_TRACKS ? "track" : NULL;
}

static const char *leg_wrong(const struct ipc_leg_add *l)
{
	if (!is_sid(l->sid) || !is_sid(l->src_sid))
		return "sid";
	if (l->leg >= IPC_MAX_LEGS || l->src_track >= IPC_MAX_TRACKS)
		return "leg or track";
	if (l->kind > KIND_VIDEO || !is_codec(l->codec) || l->codec == CODEC_NONE)
		return "kind or codec";
	if (l->pt > MAX_PT || l->rtx_pt > MAX_PT)
		return "payload type";
	if (l->ssrc == 0 || (l->rtx_pt != 0 && (l->rtx_ssrc == 0 || l->rtx_ssrc == l->ssrc)))
		return "ssrc";
	return l->clock_hz == 0 ? "clock rate" : NULL;
}

static const char *check_leg_add(const union ipc_msg *m)
{
	return leg_wrong(&m->leg_add);
}

static const char *check_leg_ref(const union ipc_msg *m)
{
	if (!is_sid(m->leg_ref.sid))
		return "sid";
	return m->leg_ref.leg >= IPC_MAX_LEGS ? "leg" : NULL;
}

static const char *check_ack(const union ipc_msg *m)
{
	return m->ack.err > 0 || m->ack.err < -MAX_ERRNO ? "errno" : NULL;
}

static const char *check_path(const union ipc_msg *m)
{
	const struct ipc_path *p = &m->path;
	const char *wrong;

	if (!is_sid(p->sid))
		return "sid";
	if (p->nominated > 1 || p->remote.family == 0)
		return "nominated or remote";
	wrong = addr_wrong(&p->remote);
	return wrong ? wrong : addr_wrong(&p->local);
}

static const char *check_liveness(const union ipc_msg *m)
{
	if (!is_sid(m->liveness.sid))
		return "sid";
	return m->liveness.state > LIVE_NO_PATH ? "state" : NULL;
}

static const char *check_track_live(const union ipc_msg *m)
{
	const struct ipc_track_live *t = &m->track_live;

	if (!is_sid(t->sid))
		return "sid";
	if (t->track >= IPC_MAX_TRACKS || t->pt > MAX_PT || !is_codec(t->codec))
		return "track, payload type or codec";
	return memchr(t->rid, '\0', sizeof(t->rid)) ? NULL : "rid is not terminated";
}

static const char *check_voice(const union ipc_msg *m)
{
	if (!is_sid(m->voice.sid))
		return "sid";
	return m->voice.track >= IPC_MAX_TRACKS || m->voice.on > 1 ? "track or state" : NULL;
}

static const char *check_snap_session(const union ipc_msg *m)
{
	const struct ipc_snap_session *s = &m->snap_session;
	const char *wrong;

	if (!is_sid(s->sid))
		return "sid";
	if (s->profile != 0 && !is_profile(s->profile))
		return "profile";
	if (s->liveness > LIVE_NO_PATH)
		return "liveness";
	wrong = addr_wrong(&s->remote);
	return wrong ? wrong : addr_wrong(&s->local);
}

static const char *check_snap_track(const union ipc_msg *m)
{
	if (m->snap_track.live_pt > MAX_PT || m->snap_track.voice_on > 1)
		return "live state";
	return track_wrong(&m->snap_track.add);
}

static const char *check_snap_leg(const union ipc_msg *m)
{
	return leg_wrong(&m->snap_leg.add);
}

static const char *check_leg_state(const union ipc_msg *m)
{
	const struct ipc_leg_state *l = &m->leg_state;

	if (!is_sid(l->sid) || !is_sid(l->src_sid))
		return "sid";
	if (l->leg >= IPC_MAX_LEGS || l->src_track >= IPC_MAX_TRACKS)
		return "leg or track";
	if (l->n_layers > IPC_TRACK_RIDS || (l->layer >= l->n_layers && l->layer != UINT8_MAX))
		return "layer";
	return l->is_paused > 1 ? "is_paused" : NULL;
}

static const char *check_session_state(const union ipc_msg *m)
{
	return is_sid(m->session_state.sid) ? addr_wrong(&m->session_state.remote) : "sid";
}

static const struct row {
	uint16_t type, size;
	enum ipc_side from;
	const char *name;
	const char *(*check)(const union ipc_msg *); // NULL: nothing but the header
} rows[] = {
#define ROW(type, side, struct_name, check)                                     \
	{                                                                       \
		type, sizeof(struct struct_name), IPC_FROM_##side, #type, check \
	}
	ROW(CMD_HELLO, CP, ipc_hello, check_hello_cp),
	ROW(CMD_SNAPSHOT, CP, ipc_bare, NULL),
	ROW(CMD_SESSION_ADD, CP, ipc_session_add, check_session_add),
	ROW(CMD_SESSION_ICE, CP, ipc_session_ice, check_session_ice),
	ROW(CMD_SESSION_KEYS, CP, ipc_session_keys, check_session_keys),
	ROW(CMD_SESSION_EXTMAP, CP, ipc_session_extmap, check_session_extmap),
	ROW(CMD_SESSION_DEL, CP, ipc_session_ref, check_session_ref),
	ROW(CMD_TRACK_ADD, CP, ipc_track_add, check_track_add),
	ROW(CMD_TRACK_GATE, CP, ipc_track_gate, check_track_gate),
	ROW(CMD_TRACK_DEL, CP, ipc_track_ref, check_track_ref),
	ROW(CMD_LEG_ADD, CP, ipc_leg_add, check_leg_add),
	ROW(CMD_LEG_DEL, CP, ipc_leg_ref, check_leg_ref),
	ROW(CMD_QUERY, CP, ipc_session_ref, check_session_ref),
	ROW(EVT_HELLO, DP, ipc_hello, check_hello_dp),
	ROW(EVT_ACK, DP, ipc_ack, check_ack),
	ROW(EVT_PATH, DP, ipc_path, check_path),
	ROW(EVT_LIVENESS, DP, ipc_liveness, check_liveness),
	ROW(EVT_TRACK_LIVE, DP, ipc_track_live, check_track_live),
	ROW(EVT_VOICE, DP, ipc_voice, check_voice),
	ROW(EVT_SNAP_SESSION, DP, ipc_snap_session, check_snap_session),
	ROW(EVT_SNAP_TRACK, DP, ipc_snap_track, check_snap_track),
	ROW(EVT_SNAP_LEG, DP, ipc_snap_leg, check_snap_leg),
	ROW(EVT_SNAP_END, DP, ipc_bare, NULL),
	ROW(EVT_LEG_STATE, DP, ipc_leg_state, check_leg_state),
	ROW(EVT_SESSION_STATE, DP, ipc_session_state, check_session_state),
#undef ROW
};

static const struct row *row_find(unsigned type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

const char *ipc_type_name(unsigned type)
{
	const struct row *row = row_find(type);

	return row ? row->name : "unknown";
}

size_t ipc_type_size(unsigned type)
{
	const struct row *row = row_find(type);

	return row ? row->size : 0;
}

static const char *frame_wrong(const struct ipc_hdr *hdr, size_t len, enum ipc_side from,
			       const struct row *row)
{
	if (row == NULL)
		return "unknown type";
	if (row->from != from)
		return "wrong direction";
	if (hdr->len != len || len != row->size)
		return "wrong length";
	return NULL;
}

int ipc_check(const void *data, size_t len, enum ipc_side from, const char **why)
{
	union ipc_msg m = {0};
	const struct row *row;
	const char *wrong;

	if (len < sizeof(m.hdr) || len > sizeof(m)) {
		wrong = "wrong length";
	} else {
		memcpy(&m, data, len);
		row = row_find(m.hdr.type);
		// A hello tells the version before its length may be judged: structs differ between versions.
		if ((m.hdr.type == CMD_HELLO || m.hdr.type == EVT_HELLO) && m.hello.version != IPC_VERSION) {
			if (why)
				*why = "other version";
			return -EPROTO;
		}
		wrong = frame_wrong(&m.hdr, len, from, row);
		if (wrong == NULL && row->check)
			wrong = row->check(&m);
	}
	explicit_bzero(&m, sizeof(m)); // may hold keys
	if (why)
		*why = wrong;
	return wrong ? -EBADMSG : 0;
}

void ipc_begin_sized(void *msg, size_t size, enum ipc_type type)
{
	// cannot: type and size are constants of one line of ours
	MUST(size == ipc_type_size(type));
	memset(msg, 0, size);
	*(struct ipc_hdr *)msg = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)size};
}
