// The loop of workers as it runs on threads of its own; meant for ThreadSanitizer too (make tsan T=worker).
#include "dataplane/worker/worker.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "tests/support/dataplane/rig_peer.h"

static void *run_worker(void *w)
{
	worker_run(w);
	return NULL;
}

// Until everything deleted is freed: the workers get to their mails and pass a grace period.
static bool drained(void)
{
	for (unsigned i = 0; i < 1000000; i++) {
		if (!model_flush(rig.model))
			return true;
		sched_yield();
	}
	return false;
}

static pthread_t thread[2];

static void start_workers(void)
{
	for (unsigned i = 0; i < rig.dp->n_workers; i++) {
		rte_rcu_qsbr_thread_offline(rig.dp->qsbr, i);
		rte_rcu_qsbr_thread_unregister(rig.dp->qsbr, i);
		pthread_create(&thread[i], NULL, run_worker, rig.dp->worker[i]);
	}
}

static void stop_workers(void)
{
	atomic_store(&rig.dp->stop, true);
	for (unsigned i = 0; i < rig.dp->n_workers; i++) {
		worker_wake(rig.dp->worker[i]);
		pthread_join(thread[i], NULL);
		rte_rcu_qsbr_thread_register(rig.dp->qsbr, i);
	}
}

static void lingers(void)
{
	for (unsigned on = 0; on < 2; on++) {
		CHECK_OR_RETURN(rig_open(1));
		rig.dp->worker[0]->linger_ns = on ? 3600 * NS_PER_S : 0;
		rig.dp->worker[0]->worked_at = clock_now();
		start_workers();
		for (unsigned i = 0; i < 200 && rig_counter(CTR_LOOPS) < (on ? 1000 : 1); i++)
			usleep(10000);
		usleep(50000);
		stop_workers();
		if (on)
			CHECK(rig_counter(CTR_LOOPS) >= 1000);
		CHECK_EQ(rig_counter(CTR_SLEEPS) > 0, !on);
		rig_close();
	}
}

// Nothing comes and no timer is armed: were it to sleep until something does, joins would be refused for ever.
static void overload_ends_without_anybody(void)
{
	struct worker *w;

	CHECK_OR_RETURN(rig_open(1));
	w = rig.dp->worker[0];
	w->overload.stage = OVERLOAD_CAMERAS;
	w->overload.below = clock_now() - OVERLOAD_LEAVE_NS + 100 * NS_PER_MS; // not yet when it falls asleep
	start_workers();
	for (unsigned i = 0; i < 200 && rig_counter(GAUGE_FULL) == 0; i++)
		usleep(10000);
	CHECK_EQ(rig_counter(GAUGE_FULL), 1);
	for (unsigned i = 0; i < 200 && rig_counter(GAUGE_FULL) == 1; i++)
		usleep(10000);
	CHECK_EQ(rig_counter(GAUGE_FULL), 0);
	stop_workers();
	rig_close();
}

// Sessions, tracks and legs come and go under two running workers.
static void churn(void)
{
	struct rig_peer a, b;
	struct ipc_session_ref ref = {};

	CHECK_OR_RETURN(rig_open(2));
	start_workers();
	for (unsigned i = 0; i < 300; i++) {
		rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
		rig_add(&b, 1, SEAL_AES128_CM_SHA1_80);
		rig_keys(&a);
		rig_track(&a, 0, "0", a.ssrc);
		CHECK_EQ(rig_leg(&b, 0, &a, 77), 0);
		ref.sid = i % 2 ? a.sid : b.sid;
		CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
		ref.sid = i % 2 ? b.sid : a.sid;
		CHECK_EQ(rig_cmd(&ref, CMD_SESSION_DEL), 0);
		rig_leave(&a);
		rig_leave(&b);
		if (i % 16 == 15) // the rig has 64 sessions, and one that waits for its grace period still counts
			CHECK_OR_RETURN(drained());
	}
	CHECK(drained());
	stop_workers();
	CHECK_EQ(rig.dp->worker[0]->n_sessions + rig.dp->worker[1]->n_sessions, 0);
	CHECK_EQ(rig.dp->worker[0]->n_legs + rig.dp->worker[1]->n_legs, 0);
	rig_close();
}

CU_TestInfo worker_tests[] = {
	{"dataplane.busy_poll_us: a worker without work goes on looking", lingers},
	{"a worker that everybody has left does not stay overloaded", overload_ends_without_anybody},
	{"sessions, tracks and legs come and go under two running workers", churn},
	CU_TEST_INFO_NULL,
};
