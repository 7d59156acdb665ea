#include "lib/rtc/recv/speakers.h"

#include "tests/unit/check.h"

#include <stdlib.h>

#include "lib/base/rand.h"

#define N 1000
#define NOISE 60 // -dBov
#define SPEECH 25

static struct speaker speaker[N], *member[N];
static struct speakers room;
static ns_t now;

static void begin(unsigned k)
{
	memset(speaker, 0, sizeof(speaker));
	room = (struct speakers){.k = (uint8_t)k};
	for (unsigned i = 0; i < N; i++)
		member[i] = &speaker[i];
	now = 1000 * NS_PER_S;
	rand_seed(17);
}

static uint8_t around(unsigned level, unsigned spread)
{
	return (uint8_t)(level - spread + rand_u32() % (2 * spread + 1));
}

// One tick: [0, n) send a packet each; those in talks (bit per member below 64) speak, the others are noise.
static void tick(unsigned n, uint64_t talks)
{
	now += SPEAKERS_TICK_NS;
	for (unsigned i = 0; i < n; i++) {
		bool is_talking = i < 64 && (talks >> i & 1);
		speaker_hear(&speaker[i], is_talking ? around(SPEECH, 6) : around(NOISE, 3), is_talking, now);
	}
	speakers_tick(&room, member, n, now);
}

static void run(unsigned n, uint64_t talks, ns_t time)
{
	for (ns_t t = 0; t < time; t += SPEAKERS_TICK_NS)
		tick(n, talks);
}

static unsigned n_selected(unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += speaker[i].is_selected;
	return count;
}

static void test_three_of_a_thousand(void)
{
	begin(3);
	run(N, 0, 20 * NS_PER_S); // the floor is learnt
	CHECK_EQ(n_selected(N), 0);
	run(N, 7, 3 * NS_PER_S);
	CHECK(speaker[0].is_selected && speaker[1].is_selected && speaker[2].is_selected);
	CHECK_EQ(n_selected(N), 3);
	for (unsigned s = 0; s < 30; s++) { // and nobody else for half a minute
		run(N, 7, NS_PER_S);
		CHECK_EQ(n_selected(N), 3);
	}
}

static void test_talk_over_is_bounded(void)
{
	begin(3);
	run(100, 0, 5 * NS_PER_S);
	for (unsigned i = 0; i < 500; i++) {
		tick(100, 0xffffffff);
		CHECK(n_selected(100) <= 4); // K and the dominant one
	}
	CHECK_EQ(n_selected(100), 4);
}

static void test_fewer_places(void)
{
	begin(5);
	run(20, 0, 20 * NS_PER_S);
	run(20, 0x3f, 5 * NS_PER_S);
	CHECK_EQ(n_selected(20), 6); // and the dominant one
	room.k = 1;
	run(20, 0x3f, SPEAKERS_TICK_NS);
	CHECK_EQ(n_selected(20), 2);
	CHECK(room.dominant && room.dominant->is_selected);
	room.k = 5;
	run(20, 0x3f, 2 * NS_PER_S);
	CHECK_EQ(n_selected(20), 6);
}

static void test_entry_takes_40_ms(void)
{
	unsigned n = 0;

	begin(3);
	run(200, 0, 10 * NS_PER_S);
	run(200, 3, 5 * NS_PER_S);
	while (!speaker[7].is_selected && n < 50) {
		tick(200, 3 | 1 << 7);
		n++;
	}
	CHECK(n <= 3);
}

static void test_word_pause_keeps_the_place(void)
{
	begin(3);
	run(200, 0, 10 * NS_PER_S);
	run(200, 1, 2 * NS_PER_S);
	for (unsigned i = 0; i < 50; i++) {
		tick(200, 0);
		CHECK(speaker[0].is_selected); // a second between words
	}
	run(200, 0, 8 * NS_PER_S);
	CHECK(!speaker[0].is_selected);
}

static void test_dominant_stays_while_others_burst(void)
{
	begin(1);
	run(50, 0, 10 * NS_PER_S);
	run(50, 1, 5 * NS_PER_S);
	CHECK(room.dominant == &speaker[0]);
	for (unsigned i = 0; i < 20; i++) { // short noises of others while the speaker goes on
		run(50, 1 | (UINT64_C(2) << i % 10), 300 * NS_PER_MS);
		CHECK(speaker[0].is_selected);
		CHECK(room.dominant == &speaker[0]);
	}
}

static void test_liar(void)
{
	begin(1);
	run(50, 0, 10 * NS_PER_S);
	for (ns_t t = 0; t < 70 * NS_PER_S; t += SPEAKERS_TICK_NS) {
		now += SPEAKERS_TICK_NS;
		for (unsigned i = 0; i < 50; i++)
			speaker_hear(&speaker[i], i == 9 ? 0 : around(NOISE, 3), i == 9, now);
		speakers_tick(&room, member, 50, now);
	}
	CHECK_EQ(speaker[9].level, SPEAKERS_LIAR_LEVEL);
	run(1, 0, 0);
	CHECK(speaker[9].score > 0);
}

static void test_no_levels(void)
{
	begin(3);
	for (ns_t t = 0; t < 10 * NS_PER_S; t += SPEAKERS_TICK_NS) {
		now += SPEAKERS_TICK_NS;
		for (unsigned i = 0; i < 60; i++)
			speaker_guess(&speaker[i], i < 2 ? 100 : i < 30 ? 2 : 15, now);
		speakers_tick(&room, member, 60, now);
	}
	CHECK(speaker[0].is_selected && speaker[1].is_selected);
	CHECK_EQ(n_selected(60), 2);
	for (ns_t t = 0; t < 5 * NS_PER_S; t += SPEAKERS_TICK_NS) { // three who say their level push them out
		now += SPEAKERS_TICK_NS;
		for (unsigned i = 0; i < 60; i++)
			speaker_guess(&speaker[i], i < 2 ? 100 : 2, now);
		for (unsigned i = 60; i < 100; i++)
			speaker_hear(&speaker[i], i < 63 ? around(SPEECH, 6) : around(NOISE, 3), i < 63, now);
		speakers_tick(&room, member, 100, now);
	}
	CHECK(speaker[60].is_selected && speaker[61].is_selected && speaker[62].is_selected);
	CHECK(n_selected(100) <= 4);
}

static void test_changes_are_bounded(void)
{
	uint64_t before;

	begin(3);
	run(64, 0, 10 * NS_PER_S);
	before = room.n_changes;
	for (unsigned i = 0; i < 500; i++) // 10 s of everybody in turns
		tick(64, UINT64_C(0x1f) << i % 59);
	CHECK(room.n_changes - before <= 10 * 10 + 10);
}

static void test_forget(void)
{
	begin(2);
	run(10, 3, 5 * NS_PER_S);
	CHECK(room.dominant != NULL);
	now += SPEAKERS_TICK_NS;
	speakers_tick(&room, member + 2, N - 2, now);
	CHECK(room.dominant == NULL && room.rival == NULL);
	speaker[0] = speaker[1] = (struct speaker){};
	CHECK_EQ(n_selected(10), 0);
}

static void test_silence_then_speech(void)
{
	begin(3);
	run(100, 0, 30 * 60 * NS_PER_S / 10); // three minutes stand for thirty
	CHECK_EQ(n_selected(100), 0);
	tick(100, 1);
	tick(100, 1);
	tick(100, 1);
	CHECK(speaker[0].is_selected);
}

CU_TestInfo speakers_tests[] = {
	{"three talkers among a thousand noisy microphones are chosen, and only they",
	 test_three_of_a_thousand},
	{"talk-over never takes more than K voices and the dominant one", test_talk_over_is_bounded},
	{"with fewer places the weakest lose theirs at once", test_fewer_places},
	{"a talker enters within 60 ms, also into a full set", test_entry_takes_40_ms},
	{"pauses between words keep the place, silence loses it", test_word_pause_keeps_the_place},
	{"the dominant speaker stays while others make short noises", test_dominant_stays_while_others_burst},
	{"who claims the loudest level for a minute is demoted", test_liar},
	{"without levels sizes rank, behind all who say theirs", test_no_levels},
	{"the set changes at most ten times a second", test_changes_are_bounded},
	{"a member that leaves is not pointed to any more", test_forget},
	{"after long silence speech is chosen at once", test_silence_then_speech},
	CU_TEST_INFO_NULL,
};
