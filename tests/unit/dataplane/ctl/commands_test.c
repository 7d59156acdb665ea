// A control plane that says anything: the model stays whole, memory comes back, the workers go on.
#include "dataplane/ctl/model_priv.h"
#include "lib/base/rand.h"
#include "lib/ipc/ipc.h"
#include "tests/support/dataplane/rig_peer.h"

#define COMMANDS 30000

static uint32_t any_sid(void)
{
	return (1 + rand_u32() % 2) << 24 | rand_u32() % 5;
}

static void fill(union ipc_msg *m, enum ipc_type type)
{
	uint32_t sid = any_sid();

	m->session_ref.sid = sid;
	if (type == CMD_SESSION_ADD || type == CMD_SESSION_ICE) {
		char *ufrag = type == CMD_SESSION_ADD ? m->session_add.ufrag : m->session_ice.ufrag;
		char *pwd = type == CMD_SESSION_ADD ? m->session_add.pwd : m->session_ice.pwd;
		memset(ufrag, 'a' + (int)(rand_u32() % 12), IPC_UFRAG_LEN);
		memset(pwd, 'p', IPC_PWD_LEN);
	} else if (type == CMD_SESSION_KEYS) {
		m->session_keys.profile = SEAL_AEAD_AES_128_GCM;
		m->session_keys.rtcp_ssrc = 1;
	} else if (type == CMD_TRACK_ADD) {
		m->track_add.track = (uint16_t)(rand_u32() % 3);
		m->track_add.kind = KIND_AUDIO;
		m->track_add.clock_hz = 48000;
		m->track_add.codec[0].pt = RIG_PT;
		m->track_add.codec[0].codec = CODEC_OPUS;
	} else if (type == CMD_TRACK_GATE || type == CMD_TRACK_DEL) {
		m->track_ref.track = (uint16_t)(rand_u32() % 3);
	} else if (type == CMD_LEG_ADD) {
		m->leg_add.leg = (uint16_t)(rand_u32() % 6);
		m->leg_add.pt = 96;
		m->leg_add.src_sid = any_sid();
		m->leg_add.src_track = (uint16_t)(rand_u32() % 3);
		m->leg_add.codec = CODEC_OPUS;
		m->leg_add.ssrc = 1 + rand_u32() % 1000;
		m->leg_add.clock_hz = 48000;
	} else if (type == CMD_LEG_DEL) {
		m->leg_ref.leg = (uint16_t)(rand_u32() % 6);
	}
}

static int ignore(void *n, const void *msg)
{
	const struct ipc_hdr *hdr = msg;

	CHECK_EQ(hdr->len, ipc_type_size(hdr->type));
	(*(unsigned *)n)++;
	return 0;
}

static void random_commands(void)
{
	unsigned n_ok = 0, n_refused = 0, n_snap = 0;
	uint32_t slot = 0;

	CHECK_OR_RETURN(rig_open(2));
	rand_seed(3);
	for (unsigned i = 0; i < COMMANDS; i++) {
		enum ipc_type type = CMD_SESSION_ADD + rand_u32() % (CMD_LEG_DEL - CMD_SESSION_ADD + 1);
		union ipc_msg m = {};

		if (type == CMD_SESSION_DEL && rand_u32() % 4)
			continue;
		ipc_begin_sized(&m, ipc_type_size(type), type);
		fill(&m, type);
		int err = model_apply(rig.model, &m);
		n_ok += err == 0;
		n_refused += err < 0;
		if (i % 16 == 0)
			rig_run(NS_PER_MS);
	}
	rand_seed(0);
	CHECK(n_ok > COMMANDS / 20);
	CHECK(n_refused > COMMANDS / 20);
	while (model_snapshot(rig.model, &slot, ignore, &n_snap))
		;
	CHECK(n_snap >= rig.model->n_sessions);
	for (uint32_t i = 0; i < 5; i++)
		for (uint32_t gen = 1; gen <= 2; gen++) {
			struct ipc_session_ref ref = {.sid = gen << 24 | i};
			(void)rig_cmd(&ref, CMD_SESSION_DEL);
		}
	CHECK_EQ(rig.model->n_sessions, 0);
	for (unsigned i = 0; i < 10; i++)
		rig_run(NS_PER_MS);
	CHECK(!model_flush(rig.model)); // nothing is left waiting
	CHECK_EQ(rig.dp->worker[0]->n_sessions + rig.dp->worker[1]->n_sessions, 0);
	CHECK_EQ(rig.dp->worker[0]->n_tracks + rig.dp->worker[1]->n_tracks, 0);
	CHECK_EQ(rig.dp->worker[0]->n_legs + rig.dp->worker[1]->n_legs, 0);
	CHECK_EQ(rte_mempool_in_use_count(rig.dp->rx_pool), 0);
	rig_close();
}

static void same_again(void)
{
	struct rig_peer a, b;
	struct ipc_session_ref ref = {};

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	rig_track(&a, 0, "0", a.ssrc);
	rig_keys(&a);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
	rig_run(0);
	CHECK_EQ(rig.dp->worker[0]->n_legs, 1);
	CHECK_EQ(rig.dp->worker[0]->n_tracks, 2);
	ref.sid = a.sid;
	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), -ENOENT);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// Who toggles a track makes each receiver spend an SSRC. On 09e1aeb the 8193rd was refused, and so were all after it.
static void ssrcs_without_end(void)
{
	struct rig_peer a, b;
	struct ipc_leg_ref ref = {.leg = 1};

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_leg(&b, 0, &a, 99999), 0); // stays
	ref.sid = b.sid;
	for (uint32_t i = 0; i < 9000; i++) {
		CHECK_OR_RETURN(rig_leg(&b, 1, &a, 100000 + i) == 0);
		CHECK_OR_RETURN(rig_cmd(&ref, CMD_LEG_DEL) == 0);
		rig_run(0);
		model_flush(rig.model);
	}
	CHECK_EQ(rig_leg(&b, 1, &a, 100000 + 8999), -EEXIST); // not one of the last under the same key
	CHECK_EQ(rig_leg(&b, 1, &a, 100000 + 1000), -EEXIST);
	CHECK_EQ(rig_leg(&b, 1, &a, 99999), -EEXIST); // nor one that is in use, however old
	CHECK_EQ(rig_leg(&b, 1, &a, 200000), 0);
	rig_say(&a);
	rig_run(0);
	CHECK_EQ(rig_n_heard(&b, 200000), 1);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// The ring of notes is full for a while: what is lost is told later, not never.
static void full_notes(void)
{
	struct rig_peer a, b;
	struct note note = {.type = NOTE_UFRAG_GONE}, got;
	bool path = false, on = false;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&b, 1, SEAL_AEAD_AES_128_GCM);
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	while (note_post(rig.dp->worker[0], &note))
		;
	rig_check(&a);
	rig_run(0);
	rig_keys(&a);
	rig_track(&a, 0, "0", a.ssrc);
	for (unsigned i = 0; i < 60; i++) {
		rig_say_as(&a, (struct rig_voice){.pt = RIG_PT, .level = i % 2 ? 20 : 90, .payload = 40});
		rig_run(20 * NS_PER_MS);
	}
	while (note_take(rig.dp->worker[0], &got))
		CHECK(got.type == NOTE_UFRAG_GONE || got.sid != a.sid);
	for (unsigned i = 0; i < 30; i++) {
		rig_say(&a);
		rig_run(20 * NS_PER_MS);
	}
	while (note_take(rig.dp->worker[0], &got)) {
		path |= got.type == NOTE_PATH && got.sid == a.sid && got.path.key.remote_port == a.port;
		on |= got.type == NOTE_VOICE && got.sid == a.sid;
	}
	CHECK(path);
	CHECK(on);
	rig_leave(&a);
	rig_leave(&b);
	rig_close();
}

// How often 24 bytes of the password are on the heap. (Under ASan the heap is elsewhere and nothing is found.)
static unsigned n_on_heap(const char *pwd)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[256];
	unsigned n = 0;

	while (maps && fgets(line, sizeof(line), maps)) {
		const char *begin, *end;
		if (!strstr(line, "[heap]") || sscanf(line, "%p-%p", (void **)&begin, (void **)&end) != 2)
			continue;
		while ((begin = memmem(begin, (size_t)(end - begin), pwd, 24)) != NULL) {
			n++;
			begin += 24;
		}
	}
	if (maps)
		fclose(maps);
	return n;
}

static void passwords_go(void)
{
	struct rig_peer a;
	struct ipc_session_ref ref = {};
	char pwd[IPC_PWD_LEN];
	unsigned before;

	CHECK_OR_RETURN(rig_open(1));
	memset(pwd, 'A' + 5, sizeof(pwd));
	before = n_on_heap(pwd);
	rig_join(&a, 5, SEAL_AEAD_AES_128_GCM);
	ref.sid = a.sid;
	CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
	for (unsigned i = 0; i < 5; i++)
		rig_run(NS_PER_MS);
	CHECK(!model_flush(rig.model));
	CHECK_EQ(n_on_heap(pwd), before);
	rig_leave(&a);
	rig_close();
}

CU_TestInfo commands_tests[] = {
	{"30000 random commands leave nothing behind", random_commands},
	{"commands are idempotent", same_again},
	{"a session never runs out of SSRCs, and uses none of the last again", ssrcs_without_end},
	{"events that found no room are told later", full_notes},
	{"passwords of a session do not stay in freed memory", passwords_go},
	CU_TEST_INFO_NULL,
};
