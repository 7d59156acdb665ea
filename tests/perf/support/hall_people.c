// Who is in the hall: sessions made by commands, their paths and keys, what they send and hear.
#include "tests/perf/support/hall_priv.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/rand.h"
#include "lib/rtc/wire/stun.h"
#include "tests/perf/support/perf.h"

#define HALL_RTX_SSRC 0x50000000u

static void hall_command(const void *msg, size_t size, enum ipc_type type)
{
	union ipc_msg cmd = {};
	int err;

	memcpy(&cmd, msg, size);
	cmd.hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)size, .seq = ++hall.seq};
	err = model_apply(hall.model, &cmd);
	if (err < 0)
		die(EXIT_SOFTWARE, "command %d: %s", type, strerror(-err));
}
#define hall_cmd(msg, type) hall_command((msg), sizeof(*(msg)), (type))

static uint32_t hall_sid(uint32_t person)
{
	return 0x01000000 + person;
}

void hall_secret(uint32_t person, uint8_t key[32], uint8_t salt[16])
{
	memset(key, 0x11, 32);
	memset(salt, 0x22, 16);
	memcpy(key, &person, sizeof(person));
}

// Keys after the path, as after a handshake: that proves the path.
static void hall_keys(uint32_t person)
{
	struct ipc_session_keys keys = {
		.sid = hall_sid(person), .profile = SEAL_AEAD_AES_128_GCM, .rtcp_ssrc = 1};

	hall_secret(person, keys.rx_key, keys.rx_salt);
	hall_secret(person, keys.tx_key, keys.tx_salt);
	hall_cmd(&keys, CMD_SESSION_KEYS);
	hall.is_keyed[person] = true;
	hall.n_keyed++;
}

void hall_tend(void)
{
	union ipc_msg event;
	struct note note;

	for (unsigned i = 0; i < hall.n_workers; i++)
		while (note_take(hall.dp->worker[i], &note)) {
			if (note.type == NOTE_PATH && !hall.is_keyed[note.sid & 0xffffff] &&
			    !hall.watcher[note.sid & 0xffffff].is_leaving)
				hall_keys(note.sid & 0xffffff);
			(void)model_note(hall.model, &note, &event);
		}
	model_flush(hall.model);
}

static void hall_names(uint32_t person, char ufrag[IPC_UFRAG_LEN], char pwd[IPC_PWD_LEN])
{
	char text[64];

	memset(ufrag, 'u', IPC_UFRAG_LEN);
	memset(pwd, 'p', IPC_PWD_LEN);
	snprintf(text, sizeof(text), "%06x", person);
	memcpy(ufrag, text, 6);
	memcpy(pwd, text, 6);
}

static void hall_hmac(void *e, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
			     uint8_t out[20])
{
	seal_hmac_sha1(e, key, key_len, msg, len, out);
}

// A connectivity check that nominates.
static void hall_check(uint32_t person)
{
	char ufrag[IPC_UFRAG_LEN], pwd[IPC_PWD_LEN];
	uint8_t txid[STUN_TXID_LEN], msg[STUN_MAX_PROBE];
	struct stun_mac mac = {hall_hmac, hall.seal};
	struct stun_key key = {&mac, (const uint8_t *)pwd, IPC_PWD_LEN};
	struct stun_request req = {.txid = txid,
				   .to_ufrag = {ufrag, IPC_UFRAG_LEN},
				   .from_ufrag = STR("hall"),
				   .priority = 1,
				   .use_candidate = true};
	struct rte_mbuf *m;

	hall_names(person, ufrag, pwd);
	rand_bytes(txid, sizeof(txid));
	m = hall_mbuf(person, msg, (size_t)stun_write_request(msg, sizeof(msg), &req, &key));
	while (rte_ring_sp_enqueue(hall.queue[person % hall.n_workers].in, m) != 0)
		hall_tend();
}

void hall_add(uint32_t person, uint32_t call)
{
	struct ipc_session_add add = {.sid = hall_sid(person), .call = call};
	struct ipc_session_extmap ext = {.sid = hall_sid(person),
					 .id = {[EXT_LEVEL] = 1, [EXT_TWCC] = HALL_TWCC}};

	hall_names(person, add.ufrag, add.pwd);
	snprintf(add.name, sizeof(add.name), "person%u", person);
	hall_cmd(&add, CMD_SESSION_ADD);
	hall_cmd(&ext, CMD_SESSION_EXTMAP);
	hall_check(person);
	hall.n_people++;
}

void hall_leave(uint32_t person)
{
	struct ipc_session_ref ref = {.sid = hall_sid(person)};

	hall_cmd(&ref, CMD_SESSION_DEL);
}

void hall_admit(void)
{
	ns_t until = clock_now() + 30 * NS_PER_S;

	while (hall.n_keyed < hall.n_people) {
		hall_tend();
		if (clock_now() > until)
			die(EXIT_SOFTWARE, "%u of %u have keys", hall.n_keyed, hall.n_people);
	}
}

void hall_talk(uint32_t person, uint16_t track, const struct talker *how)
{
	unsigned i = hall.n_talkers++;
	struct talker *t = &hall.talker[i];
	struct ipc_track_add add = {.sid = hall_sid(person),
				    .track = track,
				    .kind = how->is_video ? KIND_VIDEO : KIND_AUDIO,
				    .enabled = 1,
				    .clock_hz = how->is_video ? 90000 : 48000,
				    .ssrc = {HALL_SSRC + i},
				    .codec[0] = {.pt = HALL_PT,
						 .codec = how->is_video ? CODEC_VP8 : CODEC_OPUS,
						 .fb = how->is_video ? FB_NACK | FB_PLI | FB_TWCC : 0}};
	uint8_t key[32], salt[16];

	if (i >= HALL_MAX_TALKERS)
		die(EXIT_SOFTWARE, "too many talkers");
	snprintf(add.mid, sizeof(add.mid), "%u", track);
	hall_cmd(&add, CMD_TRACK_ADD);
	hall_secret(person, key, salt);
	*t = *how;
	t->sid = hall_sid(person);
	t->index = 1000;
	t->key = perf_alloc(seal_key_size(hall.seal));
	if (seal_key_init(hall.seal, t->key, SEAL_AEAD_AES_128_GCM, key, salt) < 0)
		die(EXIT_SOFTWARE, "key");
}

void hall_hear(uint32_t person, unsigned i, uint32_t from, uint16_t track)
{
	bool is_video = hall.talker[i].is_video;
	struct ipc_leg_add add = {.sid = hall_sid(person),
				  .leg = (uint16_t)i,
				  .kind = is_video ? KIND_VIDEO : KIND_AUDIO,
				  .pt = HALL_PT,
				  .src_sid = hall_sid(from),
				  .src_track = track,
				  .codec = is_video ? CODEC_VP8 : CODEC_OPUS,
				  .ssrc = HALL_SSRC + i,
				  .clock_hz = is_video ? 90000 : 48000};

	if (is_video) {
		add.rtx_pt = HALL_PT + 1;
		add.rtx_ssrc = HALL_RTX_SSRC + i;
		hall_watch_add(person);
	}
	hall_cmd(&add, CMD_LEG_ADD);
}
