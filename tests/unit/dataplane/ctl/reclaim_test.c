// When an object is freed that workers may still look at.
#include "dataplane/ctl/reclaim.h"

#include "dataplane/core/mailbox.h"
#include "dataplane/worker/worker.h"
#include "tests/support/dataplane/rig_peer.h"

static unsigned n_freed;

static void count_free(void *p)
{
	n_freed++;
}

static void mail_then_grace(void)
{
	struct reclaim *r;
	struct rig_peer a;
	struct mail mail = {.type = MAIL_EXTMAP};

	CHECK_OR_RETURN(rig_open(2));
	rig_join(&a, 0, SEAL_AEAD_AES_128_GCM);
	r = reclaim_new(rig.dp);
	n_freed = 0;
	mail.session = rig.dp->session[0];
	mail_post(rig.dp->worker[0], &mail);
	reclaim_later(r, count_free, &mail, rig.dp->worker[0]);
	CHECK(reclaim_run(r));
	worker_round(rig.dp->worker[1], rig.now); // another worker's rounds do not count
	CHECK(reclaim_run(r));
	CHECK_EQ(n_freed, 0);
	worker_round(rig.dp->worker[0], rig.now); // does the mail
	CHECK(reclaim_run(r));                    // the grace period begins only now
	CHECK_EQ(n_freed, 0);
	worker_round(rig.dp->worker[0], rig.now);
	CHECK(reclaim_run(r));
	worker_round(rig.dp->worker[1], rig.now);
	CHECK(!reclaim_run(r));
	CHECK_EQ(n_freed, 1);
	reclaim_free(r);
	rig_leave(&a);
	rig_close();
}

CU_TestInfo reclaim_tests[] = {
	{"an object is freed after its worker's mails and a grace period", mail_then_grace},
	CU_TEST_INFO_NULL,
};
