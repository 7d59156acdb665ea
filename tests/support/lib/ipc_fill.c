#include "tests/support/lib/ipc_fill.h"

#include <string.h>

#include "lib/ipc/pktring.h"

static void fill_leg(struct ipc_leg_add *l)
{
	l->sid = l->src_sid = SID;
	l->codec = CODEC_OPUS;
	l->pt = 111;
	l->ssrc = 1;
	l->clock_hz = 48000;
}

// The smallest valid message of a type.
void ipc_fill(union ipc_msg *m, unsigned type)
{
	memset(m, 0, sizeof(*m));
	m->hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)ipc_type_size(type)};
	m->session_ref.sid = SID; // where most have it
	switch (type) {
	case CMD_HELLO:
	case EVT_HELLO:
		m->hello = (struct ipc_hello){m->hdr,
					      .version = IPC_VERSION,
					      .boot_id = 1,
					      .punt_size = PKTRING_MIN_SIZE,
					      .max_sessions = 100,
					      .n_workers = 1,
					      .media_port = 8443};
		break;
	case CMD_SESSION_ADD:
		memset(m->session_add.ufrag, 'u', IPC_UFRAG_LEN);
		memset(m->session_add.pwd, '/', IPC_PWD_LEN);
		break;
	case CMD_SESSION_ICE:
		memset(m->session_ice.ufrag, 'u', IPC_UFRAG_LEN);
		memset(m->session_ice.pwd, '9', IPC_PWD_LEN);
		break;
	case CMD_SESSION_KEYS:
		m->session_keys.profile = 7;
		break;
	case CMD_TRACK_ADD:
		m->track_add.clock_hz = 48000;
		break;
	case EVT_ACK:
		m->ack.err = 0;
		break;
	case CMD_LEG_ADD:
		fill_leg(&m->leg_add);
		break;
	case EVT_PATH:
		m->path.remote = (struct ipc_addr){.family = 4, .proto = 17, .port = 9};
		break;
	case EVT_SNAP_TRACK:
		m->snap_track.add.sid = SID;
		m->snap_track.add.clock_hz = 48000;
		break;
	case EVT_SNAP_LEG:
		fill_leg(&m->snap_leg.add);
		break;
	case EVT_LEG_STATE:
		m->leg_state.src_sid = SID;
		m->leg_state.layer = UINT8_MAX;
		break;
	default:
		break;
	}
}
