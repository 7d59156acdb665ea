#include "controlplane/session/command.h"

#include <assert.h>
#include <string.h>

// Into a field that is NUL-padded; what does not fit is cut.
static void fill_str(char *field, size_t size, struct str s)
{
	if (s.len > 0)
		memcpy(field, s.p, s.len < size ? s.len : size);
}

// --- sessions --------------------------------------------------------------------------------------
uint32_t command_session_add(struct link *link, const struct command_session *c)
{
	struct ipc_session_add m;

	assert(c->sid != 0);
	ipc_begin(&m, CMD_SESSION_ADD);
	m.sid = c->sid;
	m.call = c->call;
	m.tenant = link_tenant(link, c->tenant);
	m.cookie = c->cookie;
	memcpy(m.ufrag, c->ice->ufrag, sizeof(m.ufrag));
	memcpy(m.pwd, c->ice->pwd, sizeof(m.pwd));
	fill_str(m.name, sizeof(m.name), str_of(c->name));
	m.flags = c->every_voice ? SESSION_EVERY_VOICE : 0;
	return link_send(link, &m) == 0 ? m.hdr.seq : 0;
}

static uint32_t send_session_ref(struct link *link, enum ipc_type type, uint32_t sid)
{
	struct ipc_session_ref m;

	ipc_begin(&m, type);
	m.sid = sid;
	return link_send(link, &m) == 0 ? m.hdr.seq : 0;
}

void command_session_del(struct link *link, uint32_t sid)
{
	send_session_ref(link, CMD_SESSION_DEL, sid);
}

uint32_t command_query(struct link *link, uint32_t sid)
{
	return send_session_ref(link, CMD_QUERY, sid);
}

void command_session_ice(struct link *link, uint32_t sid, const struct negotiate_ice *local,
			 struct str remote_ufrag, struct str remote_pwd)
{
	struct ipc_session_ice m;

	ipc_begin(&m, CMD_SESSION_ICE);
	m.sid = sid;
	memcpy(m.ufrag, local->ufrag, sizeof(m.ufrag));
	memcpy(m.pwd, local->pwd, sizeof(m.pwd));
	if (remote_ufrag.len <= sizeof(m.remote_ufrag)) {
		m.remote_ufrag_len = (uint8_t)remote_ufrag.len;
		fill_str(m.remote_ufrag, sizeof(m.remote_ufrag), remote_ufrag);
	}
	if (remote_pwd.len < sizeof(m.remote_pwd))
		fill_str(m.remote_pwd, sizeof(m.remote_pwd), remote_pwd);
	link_send(link, &m);
}

int command_session_keys(struct link *link, uint32_t sid, const struct keys *k, uint32_t rtcp_ssrc)
{
	struct ipc_session_keys m;
	int rc;

	ipc_begin(&m, CMD_SESSION_KEYS);
	m.sid = sid;
	m.profile = k->profile;
	m.rtcp_ssrc = rtcp_ssrc;
	memcpy(m.rx_key, k->rx_key, sizeof(m.rx_key));
	memcpy(m.tx_key, k->tx_key, sizeof(m.tx_key));
	memcpy(m.rx_salt, k->rx_salt, sizeof(m.rx_salt));
	memcpy(m.tx_salt, k->tx_salt, sizeof(m.tx_salt));
	rc = link_send(link, &m);
	explicit_bzero(&m, sizeof(m));
	return rc;
}

void command_session_extmap(struct link *link, uint32_t sid, const uint8_t id[IPC_N_EXTS])
{
	struct ipc_session_extmap m;

	ipc_begin(&m, CMD_SESSION_EXTMAP);
	m.sid = sid;
	memcpy(m.id, id, sizeof(m.id));
	link_send(link, &m);
}

// --- tracks ----------------------------------------------------------------------------------------
// Encodings are numbered from the poorest. Senders name them in that order; those that do not are known by the names
// that browsers use.
static unsigned rid_rank(struct str rid)
{
	static const char known[] = "lqmhf"; // low, quarter, middle, high or half, full
	const char *at = rid.len == 1 ? strchr(known, rid.p[0]) : NULL;

	return at && *at ? (unsigned)(at - known) : UINT32_MAX;
}

static void fill_rids(struct ipc_track_add *m, const struct negotiate_upstream *u)
{
	unsigned order[IPC_TRACK_RIDS];
	bool is_known = true;

	assert(u->n_rids <= IPC_TRACK_RIDS);
	for (unsigned i = 0; i < u->n_rids; i++) {
		order[i] = i;
		is_known &= rid_rank(u->rid[i]) != UINT32_MAX;
		for (unsigned k = i;
		     is_known && k > 0 && rid_rank(u->rid[order[k]]) < rid_rank(u->rid[order[k - 1]]); k--) {
			unsigned swap = order[k];
			order[k] = order[k - 1];
			order[k - 1] = swap;
		}
	}
	m->n_rids = (uint8_t)u->n_rids;
	for (unsigned i = 0; i < u->n_rids; i++) {
		struct str rid = u->rid[is_known ? order[i] : i];
		assert(rid.len < IPC_RID_LEN);
		memcpy(m->rid[i], rid.p, rid.len);
	}
}

void command_track_add(struct link *link, uint32_t sid, const struct command_track *t,
		       const struct negotiate_upstream *u)
{
	struct ipc_track_add m;

	assert(t->number < IPC_MAX_TRACKS);
	ipc_begin(&m, CMD_TRACK_ADD);
	m.sid = sid;
	m.track = t->number;
	m.kind = u->kind;
	m.enabled = t->enabled;
	if (u->mid.len <= sizeof(m.mid)) // a longer one is in no packet
		fill_str(m.mid, sizeof(m.mid), u->mid);
	m.clock_hz = u->clock_hz;
	memcpy(m.ssrc, u->ssrc, sizeof(m.ssrc));
	memcpy(m.rtx_ssrc, u->rtx_ssrc, sizeof(m.rtx_ssrc));
	fill_rids(&m, u);
	m.is_ranked = t->is_ranked;
	for (unsigned i = 0; i < u->n_codecs && i < IPC_TRACK_CODECS; i++) {
		m.codec[i].pt = u->codec[i].pt;
		m.codec[i].codec = u->codec[i].codec;
		m.codec[i].apt = u->codec[i].apt;
		m.codec[i].fb = u->codec[i].fb;
	}
	link_send(link, &m);
}

void command_track_gate(struct link *link, uint32_t sid, uint16_t track, bool enabled)
{
	struct ipc_track_gate m;

	ipc_begin(&m, CMD_TRACK_GATE);
	m.sid = sid;
	m.track = track;
	m.enabled = enabled;
	link_send(link, &m);
}

void command_track_del(struct link *link, uint32_t sid, uint16_t track)
{
	struct ipc_track_ref m;

	ipc_begin(&m, CMD_TRACK_DEL);
	m.sid = sid;
	m.track = track;
	link_send(link, &m);
}

// --- legs ------------------------------------------------------------------------------------------
void command_leg_add(struct link *link, uint32_t sid, const struct negotiate_leg *l)
{
	struct ipc_leg_add m;

	assert(l->leg < IPC_MAX_LEGS && l->ssrc != 0);
	ipc_begin(&m, CMD_LEG_ADD);
	m.sid = sid;
	m.leg = l->leg;
	m.kind = l->kind;
	m.pt = l->pt;
	m.src_sid = l->key.sid;
	m.src_track = l->key.track;
	m.codec = l->codec;
	m.rtx_pt = l->rtx_pt;
	m.ssrc = l->ssrc;
	m.rtx_ssrc = l->rtx_ssrc;
	m.clock_hz = l->clock_hz;
	m.importance = l->type == TYPE_SCREEN ? 0 : 1;
	m.fb = l->fb;
	if (l->mid.len <= sizeof(m.mid))
		fill_str(m.mid, sizeof(m.mid), l->mid);
	link_send(link, &m);
}

void command_leg_del(struct link *link, uint32_t sid, uint16_t leg)
{
	struct ipc_leg_ref m;

	ipc_begin(&m, CMD_LEG_DEL);
	m.sid = sid;
	m.leg = leg;
	link_send(link, &m);
}
