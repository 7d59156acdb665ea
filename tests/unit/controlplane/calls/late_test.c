#include "controlplane/calls/late.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/check.h"

// What the calls are told, as text.
static struct {
	char text[512];
	unsigned n;
} told;

static void say(const char *what, conn_id conn, struct str client, struct str session_id)
{
	size_t len = strlen(told.text);

	told.n++;
	snprintf(told.text + len, sizeof(told.text) - len, "%s %u %.*s %.*s;", what, conn, STR_ARG(client),
		 STR_ARG(session_id));
}

static void on_join(void *arg, conn_id conn, struct str client, const struct join_msg *j)
{
	say("join", conn, client, j->session_id);
	CHECK(arg == &told);
	CHECK(str_eq(j->call_id, STR("call")) && str_eq(j->user_id, STR("user")));
	CHECK(str_eq(j->channel_id, STR_NONE) && j->flags.has_dc && !j->flags.has_av1);
}

static void on_join_invalid(void *arg, conn_id conn, struct str client, struct str session_id)
{
	say("invalid", conn, client, session_id);
}

static void on_leave(void *arg, conn_id conn, struct str client, struct str session_id)
{
	say("leave", conn, client, session_id);
}

static void on_reconnect(void *arg, conn_id conn, struct str client, struct str session_id)
{
	say("reconnect", conn, client, session_id);
}

static void on_rtc(void *arg, conn_id conn, struct str client, struct str session_id, enum rtc_type type,
		   struct str data)
{
	say("rtc", conn, client, session_id);
	CHECK_EQ(type, RTC_SDP);
	CHECK(str_eq(data, STR("{}")));
}

static const struct plugin_ops ops = {on_join, on_join_invalid, on_leave, on_reconnect, on_rtc};

static bool keep(struct late *l, enum late_kind kind, conn_id conn, struct str session_id)
{
	return late_keep(l, &(struct late_msg){.kind = kind,
					       .conn = conn,
					       .client = STR("a"),
					       .join = {.session_id = session_id},
					       .type = kind == LATE_RTC ? RTC_SDP : 0,
					       .data = kind == LATE_RTC ? STR("{}") : STR_NONE});
}

static void in_their_order(void)
{
	char session[] = "s1", user[] = "user"; // borrowed for the call alone
	struct late_msg join = {.kind = LATE_JOIN,
				.conn = 7,
				.client = STR("a"),
				.join = {.call_id = STR("call"),
					 .user_id = str_of(user),
					 .session_id = str_of(session),
					 .flags.has_dc = true}};
	struct late l;

	told.text[0] = '\0';
	late_init(&l);
	CHECK(late_keep(&l, &join));
	CHECK(keep(&l, LATE_RTC, 8, str_of(session)));
	memset(session, 'x', 2);
	memset(user, 'x', 4);
	CHECK(keep(&l, LATE_RECONNECT, 9, STR("s2")));
	CHECK(keep(&l, LATE_LEAVE, 10, STR("s1")));
	CHECK_EQ(l.n, 4);
	late_replay(&l, &ops, &told);
	CHECK_STR(told.text, "join 7 a s1;rtc 8 a s1;reconnect 9 a s2;leave 10 a s1;");
	CHECK(l.n == 0 && l.bytes == 0);
	told.text[0] = '\0';
	late_replay(&l, &ops, &told); // once only
	CHECK_STR(told.text, "");
}

static void bounded_in_number(void)
{
	struct late l;

	late_init(&l);
	for (unsigned i = 0; i < LATE_MAX; i++)
		CHECK_OR_RETURN(keep(&l, LATE_LEAVE, 1, STR("s")));
	CHECK(!keep(&l, LATE_LEAVE, 1, STR("s")));
	late_drop(&l);
	CHECK(l.n == 0 && l.bytes == 0);
	CHECK(keep(&l, LATE_LEAVE, 1, STR("s")));
	late_drop(&l);
}

static void bounded_in_bytes(void)
{
	size_t size = 1 << 20;
	char *big = calloc(1, size);
	struct late_msg m = {.kind = LATE_RTC, .client = STR("a"), .data = {big, size}};
	unsigned n = 0;
	struct late l;

	late_init(&l);
	while (n < 100 && late_keep(&l, &m))
		n++;
	CHECK_EQ(n, 63); // and what is kept beside the text
	CHECK(l.bytes <= LATE_MAX_BYTES);
	CHECK(keep(&l, LATE_LEAVE, 1, STR("s"))); // a small one still fits
	late_drop(&l);
	free(big);
}

CU_TestInfo late_tests[] = {{"messages come back in their order, with their texts", in_their_order},
			    {"no more messages than the limit", bounded_in_number},
			    {"no more bytes than the limit", bounded_in_bytes},
			    CU_TEST_INFO_NULL};
