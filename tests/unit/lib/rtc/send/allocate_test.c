#include "lib/rtc/send/allocate.h"

#include "lib/base/rand.h"
#include "tests/unit/check.h"

#define START (50 * NS_PER_S)

static struct simulcast choice[8];
static struct allocate_leg leg[8];
static unsigned n_legs;
static struct allocate_in in;
static uint32_t needed;

static void add(uint8_t importance, uint32_t low, uint32_t high)
{
	simulcast_init(&choice[n_legs]);
	leg[n_legs] = (struct allocate_leg){.choice = &choice[n_legs],
					    .rung = {{.bps = low, .layer = 0, .cap = 3, .is_active = true},
						     {.bps = high, .layer = 1, .cap = 3, .is_active = true}},
					    .n_rungs = 2,
					    .max_rung = 1,
					    .importance = importance};
	n_legs++;
}

static void begin(uint32_t budget)
{
	n_legs = 0;
	in = (struct allocate_in){.budget_bps = budget, .now = START};
}

// Decide each 100 ms; key frames come at once.
static void run(ns_t time)
{
	for (ns_t end = in.now + time; in.now < end; in.now += 100 * NS_PER_MS) {
		needed = allocate(leg, n_legs, &in);
		for (unsigned i = 0; i < n_legs; i++)
			if (choice[i].want != SIMULCAST_NONE)
				(void)simulcast_on_key(&choice[i], choice[i].want_layer, in.now);
	}
}

static void screen_first(void)
{
	begin(3300000);
	add(0, 500000, 2500000);
	add(1, 500000, 1500000);
	run(200 * NS_PER_MS);
	CHECK_EQ(choice[0].now, 1);
	CHECK_EQ(choice[1].now, 0);
	CHECK_EQ(needed, 2500000 + 1650000);
	begin(1200000);
	add(0, 500000, 2500000);
	add(1, 500000, 1500000);
	run(200 * NS_PER_MS);
	CHECK_EQ(choice[0].now, 0);
	CHECK_EQ(choice[1].now, 0);
	CHECK_EQ(needed, 2750000 + 500000); // the screen's
	begin(600000);
	add(0, 500000, 2500000);
	add(1, 500000, 1500000);
	run(10 * NS_PER_S);
	CHECK_EQ(choice[0].now, 0);
	CHECK(choice[1].is_paused);
	in.budget_bps = 1200000;
	run(100 * NS_PER_MS);
	CHECK(!choice[1].is_paused);
}

static void cameras_share(void)
{
	begin(2000000);
	for (unsigned i = 0; i < 3; i++)
		add(1, 500000, 2500000);
	run(100 * NS_PER_MS);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(choice[i].now, 0);
	begin(4000000); // one may have more, when all have something
	for (unsigned i = 0; i < 3; i++)
		add(1, 500000, 2500000);
	run(100 * NS_PER_MS);
	CHECK_EQ(choice[0].now, 1);
	CHECK_EQ(choice[1].now, 0);
	CHECK_EQ(choice[2].now, 0);
	begin(1100000); // all want one half more than there is
	for (unsigned i = 0; i < 3; i++)
		add(1, 500000, 2500000);
	run(10 * NS_PER_S);
	CHECK_EQ(choice[0].now, 0);
	CHECK_EQ(choice[1].now, 0);
	CHECK(choice[2].is_paused);
}

// What is sent stays while the budget wavers by less than a tenth, however many streams there are.
static void steady(void)
{
	begin(2800000);
	for (unsigned i = 0; i < 5; i++)
		add(1, 500000, 2500000);
	run(100 * NS_PER_MS);
	for (unsigned t = 0; t < 600; t++) {
		in.budget_bps = 2300000 + rand_u32() % 500000;
		run(100 * NS_PER_MS);
		for (unsigned i = 0; i < 5; i++)
			CHECK_EQ(choice[i].now, 0);
	}
	in.budget_bps = 1500000;
	run(8 * NS_PER_S);
	CHECK(choice[4].is_paused);
	CHECK_EQ(choice[0].now, 0);
}

// What comes is told once; nothing of a choice changes without being told.
static void told(void)
{
	begin(3000000);
	add(0, 500000, 2500000);
	CHECK_EQ(allocate(leg, 1, &in), 0);
	CHECK(leg[0].is_changed);
	in.now += 100 * NS_PER_MS;
	(void)allocate(leg, 1, &in);
	CHECK(!leg[0].is_changed);
	leg[0].is_barred = true;
	(void)allocate(leg, 1, &in);
	CHECK(leg[0].is_changed && choice[0].is_paused);
}

// Whatever the numbers: the sum stays within the budget and its tenth, but for the lowest rung of those not paused.
static void bounds(void)
{
	rand_seed(3);
	for (unsigned round = 0; round < 300; round++) {
		begin(0);
		for (unsigned i = 0; i < 8; i++) {
			uint32_t low = rand_u32() % 1000000;
			add((uint8_t)(i / 3), low, low + rand_u32() % 4000000);
			leg[i].rung[rand_u32() % 2].is_active = rand_u32() % 8 != 0;
		}
		for (unsigned t = 0; t < 20; t++) {
			uint64_t sum = 0, lows = 0;

			in.budget_bps = rand_u32() % 8000000;
			run(10 * NS_PER_S);
			for (unsigned i = 0; i < 8; i++) {
				sum += leg[i].out.spend_bps;
				for (unsigned k = 0; k < 2 && choice[i].now >= 0; k++)
					if (leg[i].rung[k].is_active) {
						lows += leg[i].rung[k].bps;
						break;
					}
			}
			if (sum * 9 > (uint64_t)in.budget_bps * 10 + lows * 10)
				CHECK_EQ(sum, in.budget_bps);
		}
	}
	rand_seed(0);
}

CU_TestInfo allocate_tests[] = {
	{"a screen comes first, cameras get what is left", screen_first},
	{"cameras share: each the low layer before one gets the high one", cameras_share},
	{"streams keep what they have while the budget wavers", steady},
	{"a change is told, once", told},
	{"8 streams with random rates stay within the budget", bounds},
	CU_TEST_INFO_NULL,
};
