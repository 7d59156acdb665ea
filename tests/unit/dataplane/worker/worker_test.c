// What several threads touch at once; meant for ThreadSanitizer (make tsan T=shared).
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "dataplane/media/fanout.h"
#include "dataplane/ctl/reclaim.h"
#include "dataplane/worker/worker.h"
#include "tests/support/dataplane/rig_peer.h"

#define ROUNDS 20000

static _Atomic bool stop;

// --- the clock map of a source ----------------------------------------------------------------------------

static void *write_map(void *src)
{
	for (int64_t i = 1; i <= ROUNDS; i++) {
		struct clock_map map = {.at = i, .rtp = (uint32_t)i * 3, .clock_hz = 48000, .valid = true};
		source_map_set(src, &map);
	}
	atomic_store(&stop, true);
	return NULL;
}

static void clock_map_is_whole(void)
{
	static struct source src;
	pthread_t writer;
	struct clock_map map;
	unsigned n_torn = 0, n_back = 0;
	ns_t last = 0;

	memset(&src, 0, sizeof(src));
	stop = false;
	CHECK(!source_map_get(&src, &map));
	pthread_create(&writer, NULL, write_map, &src);
	while (!stop) {
		if (!source_map_get(&src, &map))
			continue;
		n_torn += map.rtp != (uint32_t)map.at * 3 || map.clock_hz != 48000;
		n_back += map.at < last;
		last = map.at;
	}
	pthread_join(writer, NULL);
	CHECK_EQ(n_torn, 0);
	CHECK_EQ(n_back, 0);
}

// --- fan-out lists under a reader ---------------------------------------------------------------------------

static struct source shared_source;
static _Atomic uint64_t n_walked, n_broken;

// A worker's use of the list: read once, walk, report a quiescent state.
static void *walk(void *arg)
{
	rte_rcu_qsbr_thread_register(rig.dp->qsbr, 0);
	rte_rcu_qsbr_thread_online(rig.dp->qsbr, 0);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		const struct fanout *f = fanout_of(&shared_source);
		for (uint32_t i = 0; f && i < f->first[1]; i++)
			n_broken += f->receiver[i].leg->session != f->receiver[i].session;
		n_walked++;
		rte_rcu_qsbr_quiescent(rig.dp->qsbr, 0);
	}
	rte_rcu_qsbr_thread_offline(rig.dp->qsbr, 0);
	rte_rcu_qsbr_thread_unregister(rig.dp->qsbr, 0);
	return NULL;
}

// A freed list is filled with rubbish first, so that a late reader would notice.
static void spoil(void *f)
{
	struct fanout *list = f;

	for (uint32_t i = 0; i < list->first[1]; i++)
		list->receiver[i].session = NULL;
	fanout_free(list);
}

static void lists_are_freed_after_readers(void)
{
	static struct session session;
	static struct leg leg[8];
	struct leg *legs[8];
	struct reclaim *r;
	pthread_t reader;

	CHECK_OR_RETURN(rig_open(1));
	rte_rcu_qsbr_thread_offline(rig.dp->qsbr, 0);
	rte_rcu_qsbr_thread_unregister(rig.dp->qsbr, 0); // the reader below takes its place
	for (unsigned i = 0; i < 8; i++) {
		leg[i].session = &session;
		legs[i] = &leg[i];
	}
	r = reclaim_new(rig.dp);
	stop = false;
	n_walked = n_broken = 0;
	pthread_create(&reader, NULL, walk, NULL);
	for (unsigned i = 0; i < ROUNDS / 4 || n_walked < 1000; i++) {
		struct fanout *f = fanout_new(legs, 1 + i % 8);
		reclaim_later(r, spoil, (void *)fanout_publish(&shared_source, f), NULL);
		reclaim_run(r);
		if (i % 64 == 0)
			sched_yield();
	}
	atomic_store(&stop, true);
	pthread_join(reader, NULL);
	reclaim_later(r, spoil, (void *)fanout_publish(&shared_source, NULL), NULL);
	CHECK(!reclaim_run(r)); // nobody reads any more
	CHECK_EQ(n_broken, 0);
	reclaim_free(r);
	rte_rcu_qsbr_thread_register(rig.dp->qsbr, 0);
	rig_close();
}

// --- mail before grace ---------------------------------------------------------------------------------------

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

// --- the real loop ------------------------------------------------------------------------------------------

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
	{"a clock map is never read half written", clock_map_is_whole},
	{"fan-out lists replaced 5000 times under a reader are freed after it",
	 lists_are_freed_after_readers},
	{"an object is freed after its worker's mails and a grace period", mail_then_grace},
	{"dataplane.busy_poll_us: a worker without work goes on looking", lingers},
	{"a worker that everybody has left does not stay overloaded", overload_ends_without_anybody},
	{"sessions, tracks and legs come and go under two running workers", churn},
	CU_TEST_INFO_NULL,
};
