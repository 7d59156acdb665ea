#include "controlplane/session/life.h"

#include "tests/unit/check.h"

// As the diagram of life.h has it.
static const struct {
	enum life from;
	enum life_event event;
	enum life to;
} legal[] = {
	{LIFE_NEW, ON_JOINED, LIFE_JOINED},          {LIFE_NEW, ON_TAKEN_BACK, LIFE_READY},
	{LIFE_JOINED, ON_ANSWERED, LIFE_ANSWERED},   {LIFE_ANSWERED, ON_SECURED, LIFE_SECURED},
	{LIFE_SECURED, ON_NO_CHANNEL, LIFE_READY},   {LIFE_SECURED, ON_CHANNEL, LIFE_CHANNEL},
	{LIFE_READY, ON_CHANNEL, LIFE_CHANNEL},      {LIFE_CHANNEL, ON_CHANNEL, LIFE_CHANNEL},
	{LIFE_CHANNEL, ON_CHANNEL_LOST, LIFE_READY}, {LIFE_JOINED, ON_CLOSED, LIFE_CLOSED},
	{LIFE_ANSWERED, ON_CLOSED, LIFE_CLOSED},     {LIFE_SECURED, ON_CLOSED, LIFE_CLOSED},
	{LIFE_READY, ON_CLOSED, LIFE_CLOSED},        {LIFE_CHANNEL, ON_CLOSED, LIFE_CLOSED},
};

static enum life wanted(enum life from, enum life_event event)
{
	for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++)
		if (legal[i].from == from && legal[i].event == event)
			return legal[i].to;
	return LIFE_ILLEGAL;
}

static void only_what_is_drawn(void)
{
	unsigned n_legal = 0;

	for (int from = LIFE_NEW; from < N_LIVES; from++) {
		for (int event = 0; event < N_LIFE_EVENTS; event++) {
			enum life to = life_next((enum life)from, (enum life_event)event);
			if (to != wanted((enum life)from, (enum life_event)event))
				check_note(__FILE__, __LINE__, "event %d in %s leads to %s", event,
					   life_name((enum life)from), life_name(to));
			CHECK_EQ(to, wanted((enum life)from, (enum life_event)event));
			n_legal += to != LIFE_ILLEGAL;
		}
	}
	CHECK_EQ(n_legal, sizeof(legal) / sizeof(legal[0]));
}

static void values_out_of_range(void)
{
	CHECK_EQ(life_next(N_LIVES, ON_CLOSED), LIFE_ILLEGAL);
	CHECK_EQ(life_next(LIFE_ILLEGAL, ON_CLOSED), LIFE_ILLEGAL);
	CHECK_EQ(life_next(LIFE_READY, N_LIFE_EVENTS), LIFE_ILLEGAL);
	CHECK_STR(life_name(LIFE_ILLEGAL), "illegal");
	CHECK_STR(life_name(N_LIVES), "illegal");
}

// Any order of events, legal or not: what the states promise holds.
static void promises_hold_on_every_way(void)
{
	bool reached[N_LIVES] = {[LIFE_NEW] = true};

	for (unsigned round = 0; round < N_LIVES; round++)
		for (int from = LIFE_NEW; from < N_LIVES; from++)
			for (int event = 0; reached[from] && event < N_LIFE_EVENTS; event++) {
				enum life to = life_next((enum life)from, (enum life_event)event);
				if (to == LIFE_ILLEGAL)
					continue;
				reached[to] = true;
				CHECK(from != LIFE_CLOSED); // nothing comes after
				CHECK(to != LIFE_NEW);
				if (life_has_keys((enum life)from)) // keys go only with the session
					CHECK(life_has_keys(to) || to == LIFE_CLOSED);
				if (life_is_ready((enum life)from))
					CHECK(life_is_ready(to) || to == LIFE_CLOSED);
				if (life_is_ready(to))
					CHECK(life_has_keys(to));
			}
	for (int l = LIFE_NEW; l < N_LIVES; l++)
		CHECK(reached[l]);
	CHECK(!life_has_keys(LIFE_CLOSED) && !life_is_ready(LIFE_CLOSED));
}

CU_TestInfo life_tests[] = {
	{"transitions that are drawn are legal, all others are refused", only_what_is_drawn},
	{"values that are no state and no event are refused", values_out_of_range},
	{"keys and readiness end only with the session, on every way", promises_hold_on_every_way},
	CU_TEST_INFO_NULL};
