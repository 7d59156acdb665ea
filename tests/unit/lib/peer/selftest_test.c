#include "lib/peer/selftest.h"

#include "lib/peer/dchan.h"
#include "tests/unit/check.h"

static void works(void)
{
	struct dtls_ctx *ctx = dtls_ctx_new();
	const char *why;

	CHECK_OR_RETURN(ctx != NULL && dchan_start(NS_PER_S) == 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(peer_selftest(ctx, NS_PER_S, &why), 0);
	dchan_stop();
	dtls_ctx_free(ctx);
}

static void says_what_fails(void)
{
	struct dtls_ctx *ctx = dtls_ctx_new();
	const char *why = NULL;

	CHECK_OR_RETURN(ctx != NULL); // no SCTP in this process
	CHECK_EQ(peer_selftest(ctx, NS_PER_S, &why), -EPROTO);
	CHECK_STR(why, "no data channel");
	dtls_ctx_free(ctx);
}

CU_TestInfo selftest_tests[] = {
	{"a handshake, a channel and a message, again and again", works},
	{"what fails is named", says_what_fails},
	CU_TEST_INFO_NULL,
};
