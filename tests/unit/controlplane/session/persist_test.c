// Records of sessions in the store.
#include "controlplane/session/persist.h"

#include <errno.h>
#include <string.h>

#include "lib/base/err.h"
#include "tests/unit/check.h"

static void records_are_strict(void)
{
	struct persist_record in = {.sid = 0x01000007,
				    .client = STR("client"),
				    .join = {.call_id = STR("c"),
					     .user_id = STR("u"),
					     .session_id = STR("s"),
					     .channel_id = STR("ch"),
					     .flags = {.has_channel = true,
						       .has_av1 = true,
						       .dc_signaling = true}},
				    .screen_id = STR("scr"),
				    .sealed = STR("0123456789")},
			      out;
	uint8_t buf[256];
	int n = persist_encode(&in, buf, sizeof(buf));

	CHECK(n > 0);
	CHECK_EQ(persist_decode((struct str){(char *)buf, (size_t)n}, &out), 0);
	CHECK_EQ(out.sid, in.sid);
	CHECK(str_eq(out.client, in.client) && str_eq(out.join.channel_id, in.join.channel_id));
	CHECK(str_eq(out.screen_id, in.screen_id) && str_eq(out.sealed, in.sealed));
	CHECK(out.join.flags.has_channel && out.join.flags.has_av1 && out.join.flags.dc_signaling);
	CHECK(!out.join.flags.av1_support && !out.join.flags.has_dc && !out.mic_on);
	for (int len = 0; len < n; len++)
		CHECK_EQ(persist_decode((struct str){(char *)buf, (size_t)len}, &out), -EBADMSG);
	buf[0]++;
	CHECK_EQ(persist_decode((struct str){(char *)buf, (size_t)n}, &out), -ENOTSUP);
	CHECK_EQ(persist_encode(&in, buf, 20), -ENOSPC);
}

static void seal_holds(void)
{
	static const char secret[] = "a=ice-pwd:do-not-show-me-anywhere";
	char sealed[sizeof(secret) + PERSIST_SEAL_EXTRA], plain[sizeof(sealed)];
	int n = persist_seal(0x1122334455667788, 9, secret, sizeof(secret), sealed);

	CHECK_EQ(n, sizeof(sealed));
	CHECK(memmem(sealed, sizeof(sealed), "ice-pwd", 7) == NULL);
	CHECK_EQ(persist_open(0x1122334455667788, 9, (struct str){sealed, (size_t)n}, plain), sizeof(secret));
	CHECK_STR(plain, secret);
	CHECK_EQ(persist_open(0x1122334455667789, 9, (struct str){sealed, (size_t)n}, plain), -EBADMSG);
	CHECK_EQ(persist_open(0x1122334455667788, 8, (struct str){sealed, (size_t)n}, plain), -EBADMSG);
	CHECK_EQ(persist_open(0x1122334455667788, 9, (struct str){sealed, 27}, plain), -EBADMSG);
	sealed[20] ^= 1;
	CHECK_EQ(persist_open(0x1122334455667788, 9, (struct str){sealed, (size_t)n}, plain), -EBADMSG);
}

CU_TestInfo persist_tests[] = {
	{"records are decoded strictly", records_are_strict},
	{"a sealed state opens only with its cookie", seal_holds},
	CU_TEST_INFO_NULL,
};
