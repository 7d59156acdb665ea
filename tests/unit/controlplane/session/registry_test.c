#include "controlplane/session/registry.h"

#include <stdlib.h>

#include "lib/base/err.h"
#include "tests/unit/check.h"

static const struct registry_limits generous = {100, 80, 60, 10, 1000};

static struct join_msg join_of(const char *call, const char *session)
{
	return (struct join_msg){.call_id = str_of(call), .user_id = STR("u"), .session_id = str_of(session)};
}

static enum join_result join(struct registry *r, struct member *m, const char *client, const char *call,
			     const char *session)
{
	struct join_msg j = join_of(call, session);

	return registry_join(r, m, str_of(client), &j, NS_PER_S);
}

static void same_id_of_two_clients(void)
{
	struct registry r;
	struct member a = {.sid = 1}, b = {.sid = 2};

	CHECK_EQ(registry_init(&r, &generous), 0);
	CHECK_EQ(join(&r, &a, "clientA", "c1", "s1"), JOIN_OK);
	CHECK_EQ(join(&r, &b, "clientB", "c1", "s1"), JOIN_OK);
	CHECK(registry_find(&r, STR("clientA"), STR("s1")) == &a);
	CHECK(registry_find(&r, STR("clientB"), STR("s1")) == &b);
	CHECK(registry_find(&r, STR("clientC"), STR("s1")) == NULL);
	CHECK(a.call != b.call);
	registry_leave(&r, &a);
	CHECK(registry_find(&r, STR("clientB"), STR("s1")) == &b);
	registry_leave(&r, &b);
	registry_fini(&r);
}

static void duplicate_leaves_nothing(void)
{
	struct registry r;
	struct member a = {.sid = 1}, b = {.sid = 2};

	CHECK_EQ(registry_init(&r, &generous), 0);
	CHECK_EQ(join(&r, &a, "A", "c1", "s1"), JOIN_OK);
	CHECK_EQ(join(&r, &b, "A", "c1", "s1"), JOIN_DUPLICATE);
	CHECK_EQ(join(&r, &b, "A", "c2", "s1"), JOIN_DUPLICATE);
	CHECK(b.call == NULL && b.session_id == NULL);
	CHECK_EQ(r.n_sessions, 1);
	CHECK_EQ(r.n_calls, 1);
	CHECK(registry_find(&r, STR("A"), STR("s1")) == &a);
	registry_leave(&r, &b); // never joined: nothing happens
	CHECK_EQ(r.n_sessions, 1);
	registry_leave(&r, &a);
	registry_fini(&r);
}

static void last_leaver_and_next_joiner(void)
{
	struct registry r;
	struct member a = {.sid = 1}, b = {.sid = 2};

	CHECK_EQ(registry_init(&r, &generous), 0);
	for (int i = 0; i < 1000; i++) {
		struct join_msg first = join_of("c1", "s1");
		CHECK_EQ(registry_join(&r, &a, STR("A"), &first, (i + 2) * NS_PER_S), JOIN_OK);
		uint32_t number = a.call->number;
		a.call->presenter = a.sid;
		registry_leave(&r, &a);
		CHECK_EQ(r.n_calls, 0);
		CHECK_EQ(map_count(r.groups), 0);
		struct join_msg j = join_of("c1", "s2");
		CHECK_EQ(registry_join(&r, &b, STR("A"), &j, (i + 2) * NS_PER_S), JOIN_OK);
		CHECK(b.call->number != number);
		CHECK_EQ(b.call->presenter, 0);
		registry_leave(&r, &b);
	}
	registry_fini(&r);
}

static void limits_hold(void)
{
	static const struct {
		struct registry_limits limits;
		const char *client[3], *call[3];
		enum join_result last;
	} cases[] = {
		{{2, 9, 9, 9, 9}, {"A", "B", "C"}, {"c", "c", "c"}, JOIN_FULL_NODE},
		{{9, 2, 9, 9, 9}, {"A", "A", "A"}, {"c", "d", "e"}, JOIN_FULL_CLIENT},
		{{9, 9, 2, 9, 9}, {"A", "A", "A"}, {"c", "c", "c"}, JOIN_FULL_CALL},
		{{9, 9, 9, 2, 9}, {"A", "A", "A"}, {"c", "d", "e"}, JOIN_TOO_MANY_CALLS},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct registry r;
		struct member m[3] = {{.sid = 1}, {.sid = 2}, {.sid = 3}};
		const char *ids[] = {"s1", "s2", "s3"};
		CHECK_EQ(registry_init(&r, &cases[i].limits), 0);
		for (int k = 0; k < 3; k++)
			CHECK_EQ(join(&r, &m[k], cases[i].client[k], cases[i].call[k], ids[k]),
				 k < 2 ? JOIN_OK : cases[i].last);
		CHECK_EQ(r.n_sessions, 2);
		CHECK(m[2].call == NULL);
		for (int k = 0; k < 3; k++)
			registry_leave(&r, &m[k]);
		CHECK_EQ(map_count(r.groups), 0);
		registry_fini(&r);
	}
}

static void joins_are_paced(void)
{
	struct registry_limits limits = generous;
	struct registry r;
	struct member m[2 * CALL_JOIN_BURST_S + 2] = {};
	char ids[ARRAY_LEN(m)][8];
	unsigned n = 0;

	limits.joins_per_s = 2;
	CHECK_EQ(registry_init(&r, &limits), 0);
	for (; n < ARRAY_LEN(m); n++) {
		m[n].sid = n + 1;
		snprintf(ids[n], sizeof(ids[n]), "s%u", n);
		struct join_msg j = join_of("c", ids[n]);
		enum join_result want =
			n < 2 * CALL_JOIN_BURST_S || n == ARRAY_LEN(m) - 1 ? JOIN_OK : JOIN_TOO_FAST;
		ns_t now = n == ARRAY_LEN(m) - 1 ? 2 * NS_PER_S : NS_PER_S;
		CHECK_EQ(registry_join(&r, &m[n], STR("A"), &j, now), want);
	}
	CHECK_EQ(r.n_sessions, ARRAY_LEN(m) - 1);
	for (unsigned i = 0; i < n; i++)
		registry_leave(&r, &m[i]);
	registry_fini(&r);
}

// Join and leave in turn, so that the call has no member between; how many joins are taken.
static unsigned join_and_leave(struct registry *r, struct str client, unsigned n, ns_t now)
{
	struct join_msg j = join_of("c", "s");
	struct member m = {.sid = 1};
	unsigned taken = 0;

	for (unsigned i = 0; i < n; i++)
		if (registry_join(r, &m, client, &j, now) == JOIN_OK) {
			registry_leave(r, &m);
			taken++;
		}
	return taken;
}

static void pace_outlives_sessions(void)
{
	struct registry_limits limits = generous;
	struct registry r;
	char id[16];

	limits.joins_per_s = 2;
	CHECK_EQ(registry_init(&r, &limits), 0);
	CHECK_EQ(join_and_leave(&r, STR("A"), 1000, NS_PER_S), 2 * CALL_JOIN_BURST_S);
	CHECK_EQ(map_count(r.groups), 0);
	CHECK_EQ(join_and_leave(&r, STR("A"), 1000, 2 * NS_PER_S), 2);
	CHECK_EQ(join_and_leave(&r, STR("B"), 1, 2 * NS_PER_S), 1);
	for (unsigned i = 0; i < REGISTRY_MAX_PACES + 10; i++) {
		snprintf(id, sizeof(id), "client%u", i);
		join_and_leave(&r, str_of(id), 1, 2 * NS_PER_S);
	}
	CHECK_EQ(map_count(r.paces), REGISTRY_MAX_PACES);
	registry_fini(&r);
}

static void long_ids(void)
{
	struct registry r;
	struct member m = {.sid = 1};
	char id[CALL_MAX_ID + 2];

	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	CHECK_EQ(registry_init(&r, &generous), 0);
	CHECK_EQ(join(&r, &m, "A", "c", id), JOIN_INVALID);
	CHECK_EQ(map_count(r.groups), 0);
	registry_fini(&r);
}

CU_TestInfo registry_tests[] = {
	{"D10: a session id means nothing without its client", same_id_of_two_clients},
	{"D14: a duplicate join leaves nothing behind and the old session alone", duplicate_leaves_nothing},
	{"D29: who joins as the last one leaves gets a living call", last_leaver_and_next_joiner},
	{"D58: sessions, calls and joins are limited", limits_hold},
	{"D58: joins are taken again when time has passed", joins_are_paced},
	{"D58: leaving does not fill the bucket of joins", pace_outlives_sessions},
	{"overlong ids are refused", long_ids},
	CU_TEST_INFO_NULL,
};
