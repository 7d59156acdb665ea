// What a message must satisfy, type by type.
#include "tests/unit/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "tests/support/lib/ipc_fill.h"

static const uint16_t all_types[] = {
	CMD_HELLO,          CMD_SNAPSHOT,    CMD_SESSION_ADD, CMD_SESSION_ICE,  CMD_SESSION_KEYS,
	CMD_SESSION_EXTMAP, CMD_SESSION_DEL, CMD_TRACK_ADD,   CMD_TRACK_GATE,   CMD_TRACK_DEL,
	CMD_LEG_ADD,        CMD_LEG_DEL,     EVT_HELLO,       EVT_ACK,          EVT_PATH,
	EVT_LIVENESS,       EVT_TRACK_LIVE,  EVT_VOICE,       EVT_SNAP_SESSION, EVT_SNAP_TRACK,
	EVT_SNAP_LEG,       EVT_SNAP_END,    CMD_QUERY,       EVT_LEG_STATE,    EVT_SESSION_STATE,
};

static enum ipc_side side_of(unsigned type)
{
	return type < EVT_HELLO ? IPC_FROM_CP : IPC_FROM_DP;
}

static void test_every_type_is_known(void)
{
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
		union ipc_msg m;
		const char *why = NULL;
		unsigned type = all_types[i];

		CHECK(strcmp(ipc_type_name(type), "unknown") != 0);
		CHECK_OR_RETURN(ipc_type_size(type) >= sizeof(struct ipc_hdr) &&
				ipc_type_size(type) <= IPC_MAX_MSG);
		CHECK_EQ(ipc_type_size(type) % 4, 0);
		ipc_fill(&m, type);
		if (ipc_check(&m, m.hdr.len, side_of(type), &why) != 0)
			check_note(__FILE__, __LINE__, "%s: %s", ipc_type_name(type), why);
		CHECK(why == NULL);
	}
	CHECK_STR(ipc_type_name(0), "unknown");
	CHECK_EQ(ipc_type_size(50), 0);
}

static void test_lengths_and_directions_are_exact(void)
{
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
		union ipc_msg m;
		const char *why;
		uint16_t type = all_types[i], len;
		bool is_hello = type == CMD_HELLO || type == EVT_HELLO;

		ipc_fill(&m, type);
		len = m.hdr.len;
		CHECK_EQ(ipc_check(&m, len, side_of(type) == IPC_FROM_CP ? IPC_FROM_DP : IPC_FROM_CP, &why),
			 -EBADMSG);
		CHECK_STR(why, "wrong direction");
		CHECK_EQ(ipc_check(&m, len - 1u, side_of(type), &why), -EBADMSG);
		CHECK_EQ(ipc_check(&m, len + 1u, side_of(type), &why), -EBADMSG);
		m.hdr.len++; // says more than there is
		CHECK_EQ(ipc_check(&m, len, side_of(type), NULL), -EBADMSG);
		CHECK_EQ(ipc_check(&m, 0, side_of(type), NULL), -EBADMSG);
		CHECK_EQ(ipc_check(&m, 7, side_of(type), NULL), -EBADMSG);
		if (!is_hello && type != CMD_SNAPSHOT && type != EVT_SNAP_END && type != EVT_ACK) {
			ipc_fill(&m, type);
			if (type == EVT_SNAP_TRACK)
				m.snap_track.add.sid = 5; // generation 0
			else if (type == EVT_SNAP_LEG)
				m.snap_leg.add.sid = 5;
			else
				m.session_ref.sid = 5;
			CHECK_EQ(ipc_check(&m, len, side_of(type), &why), -EBADMSG);
			CHECK_STR(why, "sid");
		}
	}
}

static void test_other_version_is_named(void)
{
	union ipc_msg m;
	const char *why;

	ipc_fill(&m, EVT_HELLO);
	m.hello.version = IPC_VERSION + 1;
	CHECK_EQ(ipc_check(&m, m.hdr.len, IPC_FROM_DP, &why), -EPROTO);
	CHECK_STR(why, "other version");
	CHECK_EQ(ipc_check(&m, m.hdr.len + 64u, IPC_FROM_DP, &why), -EPROTO); // its hello may have grown
}

static bool is_refused(const union ipc_msg *m)
{
	return ipc_check(m, m->hdr.len, side_of(m->hdr.type), NULL) == -EBADMSG;
}

static void test_values_out_of_range_are_refused(void)
{
	union ipc_msg m;

#define REFUSED(type, member, value)   \
	do {                           \
		ipc_fill(&m, type);        \
		m.member = value;      \
		CHECK(is_refused(&m)); \
	} while (0)
	REFUSED(CMD_HELLO, hello.boot_id, 0);
	REFUSED(EVT_HELLO, hello.punt_size, 5000);
	REFUSED(EVT_HELLO, hello.punt_size, 1u << 31);
	REFUSED(EVT_HELLO, hello.n_workers, 0);
	REFUSED(EVT_HELLO, hello.max_sessions, UINT32_MAX);
	REFUSED(CMD_SESSION_ADD, session_add.ufrag[3], ':');
	REFUSED(CMD_SESSION_ADD, session_add.pwd[31], '\0');
	REFUSED(CMD_SESSION_ICE, session_ice.remote_ufrag_len, 33);
	REFUSED(CMD_SESSION_KEYS, session_keys.profile, 2);
	REFUSED(CMD_TRACK_ADD, track_add.track, IPC_MAX_TRACKS);
	REFUSED(CMD_TRACK_ADD, track_add.kind, 2);
	REFUSED(CMD_TRACK_ADD, track_add.clock_hz, 0);
	REFUSED(CMD_TRACK_ADD, track_add.codec[3].pt, 128);
	REFUSED(CMD_TRACK_ADD, track_add.codec[0].codec, CODEC_RTX + 1);
	REFUSED(CMD_TRACK_GATE, track_gate.enabled, 2);
	REFUSED(CMD_TRACK_DEL, track_ref.track, 0xffff);
	REFUSED(CMD_LEG_ADD, leg_add.leg, IPC_MAX_LEGS);
	REFUSED(CMD_LEG_ADD, leg_add.src_sid, 7);
	REFUSED(CMD_LEG_ADD, leg_add.ssrc, 0);
	REFUSED(CMD_LEG_ADD, leg_add.rtx_pt, 97); // without an SSRC for it
	REFUSED(CMD_LEG_ADD, leg_add.codec, CODEC_NONE);
	REFUSED(CMD_LEG_DEL, leg_ref.leg, IPC_MAX_LEGS);
	REFUSED(EVT_ACK, ack.err, 1);
	REFUSED(EVT_ACK, ack.err, INT32_MIN);
	REFUSED(EVT_PATH, path.remote.family, 5);
	REFUSED(EVT_PATH, path.remote.family, 0);
	REFUSED(EVT_PATH, path.local.family, 6); // without protocol and port
	REFUSED(EVT_PATH, path.remote.port, 0);
	REFUSED(EVT_LIVENESS, liveness.state, LIVE_NO_PATH + 1);
	REFUSED(EVT_TRACK_LIVE, track_live.pt, 128);
	REFUSED(EVT_VOICE, voice.on, 2);
	REFUSED(EVT_SNAP_SESSION, snap_session.profile, 9);
	REFUSED(EVT_SNAP_TRACK, snap_track.live_pt, 200);
	REFUSED(EVT_SNAP_LEG, snap_leg.add.kind, 2);
#undef REFUSED
	ipc_fill(&m, CMD_SESSION_ICE);
	memset(m.session_ice.remote_pwd, 'x', sizeof(m.session_ice.remote_pwd));
	CHECK(is_refused(&m));
	ipc_fill(&m, EVT_TRACK_LIVE);
	memset(m.track_live.rid, 'l', sizeof(m.track_live.rid));
	CHECK(is_refused(&m));
	ipc_fill(&m, CMD_SESSION_EXTMAP);
	m.session_extmap.id[EXT_MID] = m.session_extmap.id[EXT_LEVEL] = 3;
	CHECK(is_refused(&m));
}

// docs/ipc.md is written by hand; its table must not fall behind.
static void test_the_manual_lists_every_message(void)
{
	static char text[1 << 16];
	FILE *f = fopen("docs/ipc.md", "r");

	CHECK_OR_RETURN(f != NULL);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
		char row[64];

		snprintf(row, sizeof(row), "| `%s` | %u | %zu |", ipc_type_name(all_types[i]), all_types[i],
			 ipc_type_size(all_types[i]));
		if (strstr(text, row) == NULL)
			check_note(__FILE__, __LINE__, "docs/ipc.md lacks: %s", row);
		CHECK(strstr(text, row) != NULL);
	}
}

CU_TestInfo ipc_check_tests[] = {
	{"every type has a name, a size and a valid smallest message", test_every_type_is_known},
	{"length, direction and session id are checked for every type",
	 test_lengths_and_directions_are_exact},
	{"a hello of another version is told apart, whatever its length", test_other_version_is_named},
	{"values out of range are refused", test_values_out_of_range_are_refused},
	{"the manual lists every message with its number and size", test_the_manual_lists_every_message},
	CU_TEST_INFO_NULL,
};
