// Lists of receivers that are replaced under a reader; meant for ThreadSanitizer too (make tsan T=fanout).
#include "dataplane/media/fanout.h"

#include <pthread.h>
#include <sched.h>

#include "dataplane/ctl/reclaim.h"
#include "dataplane/media/leg.h"
#include "tests/support/dataplane/rig_peer.h"

#define ROUNDS 5000

static _Atomic bool stop;
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
	for (unsigned i = 0; i < ROUNDS || n_walked < 1000; i++) {
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

CU_TestInfo fanout_tests[] = {
	{"fan-out lists replaced 5000 times under a reader are freed after it",
	 lists_are_freed_after_readers},
	CU_TEST_INFO_NULL,
};
