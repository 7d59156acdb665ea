#include <stdbool.h>

#include "controlplane/auth/bcrypt.h"
#include "controlplane/auth/sources.h"
#include "lib/base/err.h"
#include "tests/unit/check.h"

static unsigned order[64], n_done;

struct numbered {
	struct bcrypt_job job;
	unsigned id;
};

static void on_done(struct bcrypt_job *job)
{
	order[n_done++ % 64] = container_of(job, struct numbered, job)->id;
}

static void make(struct numbered *n, unsigned id, unsigned cost)
{
	*n = (struct numbered){.job.done = on_done, .id = id};
	strcpy(n->job.key, "secret");
	bcrypt_salt(n->job.setting, cost);
}

static void wait_all(struct loop *l, unsigned n)
{
	ns_t until = clock_now() + 20 * NS_PER_S;

	while (n_done < n && clock_now() < until)
		loop_turn(l, 5 * NS_PER_MS);
	CHECK_EQ(n_done, n);
}

static void verifies(void)
{
	struct loop *l = loop_new();
	struct bcrypt_queue *q = bcrypt_new(l, NS_PER_S, 2, 10, 10);
	struct numbered n = {.job.done = on_done};

	n_done = 0;
	strcpy(n.job.key, "allmine"); // Go's test vector: hashes of rtcd carry over
	strcpy(n.job.setting, "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga");
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){}, &n.job), 0);
	wait_all(l, 1);
	CHECK_EQ(n.job.rc, 0);
	CHECK(bcrypt_matches(&n.job));
	CHECK_EQ(n.job.key[0], 0); // wiped
	strcpy(n.job.key, "allmine2");
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){}, &n.job), 0);
	wait_all(l, 2);
	CHECK(!bcrypt_matches(&n.job));
	make(&n, 1, 10);
	CHECK(strncmp(n.job.setting, "$2a$10$", 7) == 0);
	bcrypt_free(q);
	loop_free(l);
}

static void sources_take_turns(void)
{
	static struct numbered flood[20], other;
	struct loop *l = loop_new();
	struct bcrypt_queue *q = bcrypt_new(l, 30 * NS_PER_S, 1, 100, 20);
	unsigned place = 0;

	n_done = 0;
	for (unsigned i = 0; i < 20; i++) {
		make(&flood[i], i, 4);
		CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){1}, &flood[i].job), 0);
	}
	make(&other, 99, 4);
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){2}, &other.job), 0);
	wait_all(l, 21);
	while (order[place] != 99)
		place++;
	CHECK(place <= 2); // behind what ran and at most one of the others
	bcrypt_free(q);
	loop_free(l);
}

static void queue_is_bounded(void)
{
	static struct numbered jobs[8];
	struct loop *l = loop_new();
	struct bcrypt_queue *q = bcrypt_new(l, 100 * NS_PER_MS, 1, 4, 2);
	unsigned n_late = 0;

	n_done = 0;
	for (unsigned i = 0; i < 8; i++)
		make(&jobs[i], i, i == 0 ? 14 : 4);                          // the first takes about a second
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){1}, &jobs[0].job), 0); // runs
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){1}, &jobs[1].job), 0);
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){1}, &jobs[2].job), 0);
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){1}, &jobs[3].job), -ENOBUFS); // a source
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){2}, &jobs[4].job), 0);
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){3}, &jobs[5].job), 0);
	CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){4}, &jobs[6].job), -ENOBUFS); // all
	wait_all(l, 5);
	for (unsigned i = 1; i < 6; i++)
		n_late += jobs[i].job.rc == -ETIMEDOUT;
	CHECK_EQ(n_late, 4); // waited longer than they may
	CHECK_EQ(jobs[0].job.rc, 0);
	bcrypt_free(q);
	loop_free(l);
}

static void ends_while_busy(void)
{
	static struct numbered jobs[3];
	struct loop *l = loop_new();
	struct bcrypt_queue *q = bcrypt_new(l, NS_PER_S, 1, 10, 10);

	n_done = 0;
	for (unsigned i = 0; i < 3; i++) {
		make(&jobs[i], i, 10);
		CHECK_EQ(bcrypt_submit(q, (const uint8_t[16]){1}, &jobs[i].job), 0);
	}
	bcrypt_free(q);
	CHECK_EQ(n_done, 3); // each told once
	CHECK_EQ(jobs[2].job.rc, -ECANCELED);
	loop_free(l);
}

static void registrations_run_out(void)
{
	struct sources s;
	struct source *src;
	ns_t now = 0;

	CHECK_EQ(sources_init(&s, 4), 0);
	src = sources_get(&s, (const uint8_t[16]){1}, now);
	for (int i = 0; i < 2; i++)
		CHECK(source_may_register(src, 2, now));
	CHECK(!source_may_register(src, 2, now + 59 * NS_PER_S));
	CHECK_EQ(source_register_wait(src, now + 59 * NS_PER_S), NS_PER_S);
	CHECK(source_may_register(src, 2, now + 60 * NS_PER_S));
	sources_fini(&s);
}

static void table_is_bounded(void)
{
	struct sources s;
	struct source *held;

	CHECK_EQ(sources_init(&s, 4), 0);
	held = sources_get(&s, (const uint8_t[16]){200}, 0);
	held->n_refs = 1;
	for (uint8_t i = 1; i < 100; i++)
		CHECK(sources_get(&s, (const uint8_t[16]){i}, 0) != NULL);
	CHECK_EQ(s.n, 4);
	CHECK(sources_get(&s, (const uint8_t[16]){200}, 0) == held); // in use: kept
	sources_fini(&s);
}

CU_TestInfo bcrypt_tests[] = {
	{"verifies Go's vector; keys are wiped", verifies},
	{"D4: sources take turns", sources_take_turns},
	{"D4: the queue is bounded by source, in all, and in time", queue_is_bounded},
	{"ends while busy, each job told once", ends_while_busy},
	{"D7: registrations of a source run out and come back", registrations_run_out},
	{"the table of sources is bounded, those in use stay", table_is_bounded},
	CU_TEST_INFO_NULL,
};
