#include "lib/rtc/recv/nackgen.h"

#include "tests/unit/check.h"

#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"

#define MS NS_PER_MS

static struct nackgen g;
static struct nackgen_item list[NACKGEN_ITEMS];
static struct nackgen_out out;

static void begin(uint64_t first)
{
	nackgen_init(&g, list, ARRAY_LEN(list));
	CHECK_EQ(nackgen_packet(&g, first, false, 0), NACKGEN_NONE);
}

static void waits_for_order(void)
{
	begin(100);
	CHECK_EQ(nackgen_due(&g), NS_NEVER);
	nackgen_packet(&g, 102, false, 5 * MS);
	nackgen_tick(&g, 0, 6 * MS, &out);
	CHECK_EQ(out.n_seq, 0); // 1 ms, one later packet
	CHECK_EQ(nackgen_packet(&g, 101, false, 7 * MS), NACKGEN_RECOVERED);
	CHECK_EQ(nackgen_due(&g), NS_NEVER);
	nackgen_packet(&g, 104, false, 8 * MS);
	nackgen_packet(&g, 105, false, 8 * MS);
	nackgen_packet(&g, 106, false, 8 * MS);
	nackgen_tick(&g, 0, 8 * MS, &out); // three later ones
	CHECK_EQ(out.n_seq, 1);
	CHECK_EQ(out.seq[0], 103);
	nackgen_packet(&g, 108, false, 9 * MS);
	nackgen_tick(&g, 0, 19 * MS, &out); // 10 ms
	CHECK_EQ(out.n_seq, 1);
	CHECK_EQ(out.seq[0], 107);
}

// Repeats one RTT apart, ten times at most, a second at most.
static void repeats(void)
{
	unsigned n_asked = 0, n_lost = 0;
	ns_t last = 0;

	begin(0xffff);
	nackgen_packet(&g, 0x10001, false, 0);
	for (ns_t now = 0; now < 2000 * MS; now += 20 * MS) {
		nackgen_tick(&g, 50 * MS, now, &out);
		if (out.n_seq) {
			CHECK_EQ(out.seq[0], 0);
			CHECK(last == 0 || now - last >= 50 * MS);
			last = now;
			n_asked++;
		}
		if (out.n_lost) {
			CHECK_EQ(out.lost[0], 0x10000);
			n_lost++;
		}
	}
	CHECK_EQ(n_asked, NACKGEN_TRIES);
	CHECK_EQ(n_lost, 1);
	CHECK_EQ(nackgen_due(&g), NS_NEVER);
	CHECK_EQ(nackgen_packet(&g, 0x10000, false, 2000 * MS), NACKGEN_OLD);
}

static void overflow(void)
{
	begin(5);
	CHECK_EQ(nackgen_packet(&g, 5 + 1001, false, 0), NACKGEN_NONE); // 1000 missing
	CHECK_EQ(g.n_missing, 1000);
	CHECK_EQ(nackgen_packet(&g, 5 + 1003, false, 0), NACKGEN_OVERFLOW);
	CHECK_EQ(g.n_missing, 0);
	begin(5);
	CHECK_EQ(nackgen_packet(&g, 5 + 1002, false, 0), NACKGEN_OVERFLOW);
	CHECK_EQ(nackgen_packet(&g, UINT64_C(1) << 47, false, 0), NACKGEN_OVERFLOW);
}

// When the list is full, what is before the last key frame makes room.
static void key_frame_makes_room(void)
{
	begin(0);
	nackgen_packet(&g, 900, true, 0); // 899 missing before it
	CHECK_EQ(nackgen_packet(&g, 1100, false, 0), NACKGEN_NONE);
	CHECK_EQ(g.n_missing, 199);
	nackgen_tick(&g, 0, 20 * MS, &out);
	CHECK_EQ(out.n_seq, 199);
	CHECK_EQ(out.seq[0], 901);
}

static void ask_limit(void)
{
	begin(0);
	nackgen_packet(&g, 401, false, 0);
	nackgen_tick(&g, 0, 20 * MS, &out);
	CHECK_EQ(out.n_seq, NACKGEN_MAX_SEQ);
	nackgen_tick(&g, 0, 40 * MS, &out);
	CHECK_EQ(out.n_seq, 400 - NACKGEN_MAX_SEQ);
	CHECK_EQ(out.seq[0], 251);
	nackgen_tick(&g, 0, 2000 * MS, &out);
	CHECK_EQ(out.n_lost, NACKGEN_MAX_LOST);
	CHECK_EQ(g.n_missing, 400 - NACKGEN_MAX_LOST);
}

static void rtx(void)
{
	uint64_t index;

	begin(0x1fffe);
	nackgen_packet(&g, 0x20003, false, 0);
	CHECK(nackgen_rtx(&g, (uint8_t[]){0xff, 0xff, 1}, 3, &index));
	CHECK_EQ(index, 0x1ffff);
	CHECK(nackgen_rtx(&g, (uint8_t[]){0, 2}, 2, &index));
	CHECK_EQ(index, 0x20002);
	CHECK(!nackgen_rtx(&g, (uint8_t[]){0, 3}, 2, &index)); // not missing
	CHECK(!nackgen_rtx(&g, (uint8_t[]){0}, 1, &index));
	CHECK(!nackgen_rtx(&g, NULL, 0, &index));
	nackgen_packet(&g, 0x20002, false, 0);
	CHECK(!nackgen_rtx(&g, (uint8_t[]){0, 2}, 2, &index));
	nackgen_init(&g, list, ARRAY_LEN(list));
	CHECK(!nackgen_rtx(&g, (uint8_t[]){0, 0}, 2, &index));
}

// Random loss on both ways: what was received is never asked for, everything else is asked for and recovered or given
// up exactly once.
static void random_loss(void)
{
	enum { N = 100000 };
	uint8_t *state = calloc(N + 1, 1); // 0 missing, 1 received, 2 given up
	unsigned n_recovered = 0, n_lost = 0;
	ns_t now = 0;

	rand_seed(31);
	begin(0);
	state[0] = 1;
	for (unsigned i = 1; i <= N; i++) {
		now += 3 * MS;
		if (rand_u32() % 10 || i == N) {
			nackgen_packet(&g, i, false, now);
			state[i] = 1;
		}
		if (nackgen_due(&g) > now)
			continue;
		nackgen_tick(&g, 40 * MS, now, &out);
		for (unsigned k = 0; k < out.n_seq; k++) {
			uint64_t index = i - (uint16_t)(i - out.seq[k]);
			CHECK_OR_RETURN(state[index] == 0);
			CHECK_OR_RETURN(k == 0 || (uint16_t)(out.seq[k] - out.seq[k - 1]) < 0x8000);
			if (rand_u32() % 3 == 0) {
				CHECK_OR_RETURN(nackgen_packet(&g, index, false, now) == NACKGEN_RECOVERED);
				state[index] = 1;
				n_recovered++;
			}
		}
		for (unsigned k = 0; k < out.n_lost; k++) {
			CHECK_OR_RETURN(state[out.lost[k]] == 0);
			state[out.lost[k]] = 2;
			n_lost++;
		}
	}
	for (unsigned i = 0; i < N - 1000; i++)
		CHECK_OR_RETURN(state[i] != 0);
	CHECK(n_recovered > N / 11);
	CHECK(n_lost > 10 && n_lost < n_recovered / 20); // (2/3)^10
	free(state);
	rand_seed(0);
}

CU_TestInfo nackgen_tests[] = {
	{"a gap is asked for after 10 ms or three later packets", waits_for_order},
	{"requests repeat one RTT apart, ten times, then the packet is given up", repeats},
	{"more than 1000 missing packets ask for a key frame instead", overflow},
	{"a full list forgets what is before the last key frame", key_frame_makes_room},
	{"requests and give-ups per tick are limited, the rest follows", ask_limit},
	{"RTX of 0 or 1 byte, or of a packet that is not missing, is ignored", rtx},
	{"100000 packets with loss: each missing one is recovered or given up once", random_loss},
	CU_TEST_INFO_NULL,
};
