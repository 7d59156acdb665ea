// Which track and encoding an SSRC is found to belong to.
#include "dataplane/publish/bind.h"

#include "tests/support/dataplane/show.h"

static unsigned n_live(char *rids)
{
	struct note note;
	unsigned n = 0;

	for (unsigned i = 0; i < rig.dp->n_workers; i++)
		while (note_take(rig.dp->worker[i], &note))
			if (note.type == NOTE_TRACK_LIVE && note.live.track == 1) {
				rids[n++] = note.live.rid[0];
				CHECK_EQ(note.live.codec, CODEC_VP8);
			}
	return n;
}

static void encodings_are_told_apart(void)
{
	char rids[8] = "";

	CHECK_OR_RETURN(show_open(1, 0, 2));
	rig_shoot(&sender,
		  (struct rig_shot){.ssrc = H, .index = 900, .mid = "1", .rid = "h", .flags = LAYER_START});
	rig_shoot(&sender,
		  (struct rig_shot){.ssrc = L, .index = 500, .mid = "1", .rid = "l", .flags = LAYER_START});
	show_shoot(L, 501, 0); // later packets need no extension
	show_shoot(L, 504, 0);
	rig_shoot(&sender, (struct rig_shot){.ssrc = L_RTX,
					     .index = 1,
					     .pt = RIG_RTX,
					     .mid = "1",
					     .rrid = "l",
					     .is_rtx = true,
					     .osn = 502});
	rig_run(0);
	CHECK(show_is_held(0, 500) && show_is_held(0, 501) && show_is_held(0, 502) && !show_is_held(0, 503) &&
	      show_is_held(0, 504));
	CHECK_EQ(show_top(1), 900);
	CHECK_EQ(rig_counter(CTR_VIDEO_LATE), 1);
	CHECK_EQ(n_live(rids), 2);
	CHECK_STR(rids, "hl");
	show_close();
}

static void unknown_encodings_stay_out(void)
{
	CHECK_OR_RETURN(show_open(1, 0, 2));
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 500, .mid = "1", .rid = "l"});
	rig_shoot(&sender, (struct rig_shot){.ssrc = H, .index = 600, .mid = "1", .rid = "q"});
	rig_shoot(&sender, (struct rig_shot){.ssrc = H, .index = 601, .mid = "1", .rid = "quality"});
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 501, .pt = 77});
	rig_say(&sender);
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_UNKNOWN_RID), 2);
	CHECK_EQ(rig_counter(DROP_BAD_PT), 1);
	CHECK_EQ(show_top(0), 500);
	CHECK_EQ(show_top(1), 0);
	CHECK_EQ(rig_counter(CTR_RTP_RX_PACKETS), 5);
	// Once bound it stays so, whatever the extensions say.
	rig_shoot(&sender, (struct rig_shot){.ssrc = L, .index = 502, .mid = "1", .rid = "h"});
	rig_run(0);
	CHECK_EQ(show_top(0), 502);
	CHECK_EQ(show_top(1), 0);
	show_close();
}

static void listed_ssrcs_bind(void)
{
	struct ipc_track_add add = {.track = 1,
				    .kind = KIND_VIDEO,
				    .enabled = 1,
				    .mid = "1",
				    .clock_hz = 90000,
				    .ssrc = {L},
				    .rtx_ssrc = {L_RTX},
				    .codec = {{.pt = RIG_VP8, .codec = CODEC_VP8, .fb = FB_NACK | FB_PLI},
					      {.pt = RIG_RTX, .codec = CODEC_RTX, .apt = RIG_VP8}}};

	CHECK_OR_RETURN(show_open(1, L, 0));
	add.sid = sender.sid;
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	rig_run(0);
	show_shoot(L, 10, LAYER_KEY);
	show_shoot(L, 12, 0);
	rig_run(0);
	// Declared again as it was: nothing changes.
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), 0);
	rig_shoot(&sender,
		  (struct rig_shot){.ssrc = L_RTX, .index = 7, .pt = RIG_RTX, .is_rtx = true, .osn = 11});
	show_shoot(L, 13, 0);
	rig_run(0);
	CHECK(show_is_held(0, 10) && show_is_held(0, 11) && show_is_held(0, 12) && show_is_held(0, 13));
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 0);
	// More encodings than it began with are refused: that is another track.
	add.n_rids = 2;
	memcpy(add.rid[0], "l", 2);
	memcpy(add.rid[1], "h", 2);
	CHECK_EQ(rig_cmd(&add, CMD_TRACK_ADD), -EEXIST);
	show_close();
}

static void packets_wait_for_their_track(void)
{
	struct rig_peer *p = &sender;

	CHECK_OR_RETURN(rig_open(1));
	rig_join(&sender, 1, SEAL_AEAD_AES_128_GCM);
	for (unsigned i = 0; i < 10; i++)
		rig_shoot(p, (struct rig_shot){.ssrc = L,
					       .index = 100 + i,
					       .ts = i,
					       .mid = "1",
					       .flags = i == 2 ? LAYER_KEY | LAYER_START : 0});
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 2); // eight wait
	CHECK_EQ(rig_video_track(&sender, 1, "1", 0, 0), 0);
	rig_run(0);
	CHECK_EQ(show_top(0), 109);
	CHECK(show_is_held(0, 102) && show_is_held(0, 109) && !show_is_held(0, 101));
	// For a second, no longer.
	rig_shoot(p, (struct rig_shot){.ssrc = H, .index = 100, .mid = "2"});
	rig_run(0);
	rig_run(1500 * MS);
	CHECK_EQ(rig_counter(DROP_NO_TRACK), 3);
	rig_leave(&sender);
	rig_close();
}

CU_TestInfo bind_tests[] = {
	{"encodings are told apart by MID and RID, repairs by RRID", encodings_are_told_apart},
	{"unknown encodings and codecs stay out, the rest goes on", unknown_encodings_stay_out},
	{"listed SSRCs bind, and a declaration that says nothing new changes nothing", listed_ssrcs_bind},
	{"packets wait a second for their track", packets_wait_for_their_track},
	CU_TEST_INFO_NULL,
};
