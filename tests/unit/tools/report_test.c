#include "tools/sluicegun/report.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void test_stat(void)
{
	uint64_t pages = 0;
	const char *stat =
		"42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 1 0 99 1000000 777 18446 1 2";

	CHECK_EQ(proc_stat_parse(str_of(stat), &pages), 0);
	CHECK_EQ(pages, 777);
	CHECK_EQ(proc_stat_parse(STR("42 (a) S 1"), &pages), -EBADMSG);
	CHECK_EQ(proc_stat_parse(STR("no process"), &pages), -EBADMSG);
	CHECK_EQ(proc_stat_parse(STR_NONE, &pages), -EBADMSG);
}

static void test_own(void)
{
	int pid[2] = {getpid(), -1};
	struct proc_use use;

	CHECK_EQ(proc_read(pid, 1, &use), 0);
	CHECK(use.cpu_us > 0 && use.rss_bytes > 100000);
	CHECK_EQ(proc_read(pid, 2, &use), -ESRCH);
}

static void test_slope(void)
{
	static struct second s[3600];

	for (unsigned i = 0; i < 3600; i++)
		s[i].rss_mib = i < 100 ? (float)i : 100 + (float)i / 3600 * 8;
	CHECK(report_rss_slope(s, 3600) > 7.9 && report_rss_slope(s, 3600) < 8.1);
	for (unsigned i = 0; i < 3600; i++)
		s[i].rss_mib = 100;
	CHECK(report_rss_slope(s, 3600) < 0.001 && report_rss_slope(s, 3600) > -0.001);
	CHECK(report_rss_slope(s, 5) == 0);
}

static void test_sum(void)
{
	struct gun_conf conf = {.calls = 1, .people = 2, .n_workers = 2, .quiet = true};
	struct shared *shared = calloc(1, sizeof(*shared));
	struct report r;

	CHECK_OR_RETURN(shared != NULL);
	shared->tally[0] = (struct tally){.voice_in = 90, .n_legs = 1, .n_ready = 1, .cpu_us = 5};
	shared->tally[1] = (struct tally){.video_in = 90, .n_legs = 1, .n_failed = 1, .cpu_us = 7};
	hist_add(&shared->tally[1].join_us, 1000);
	report_init(&r, &conf, shared, 0);
	report_collect(&r, 1);
	CHECK_EQ(r.all.voice_in + r.all.video_in, 180);
	CHECK_EQ(r.all.cpu_us, 12);
	CHECK_EQ(r.all.join_us.n, 1);
	CHECK(report_all_in(&r));
	CHECK(report_loss(&r) == 0);
	CHECK_EQ(report_verdict(&r), 1); // one failed
	shared->tally[1].n_failed = 0;
	report_collect(&r, 2);
	CHECK_EQ(report_verdict(&r), 0);
	shared->tally[0].voice_lost = 20;
	report_collect(&r, 3);
	CHECK(report_loss(&r) == 0.1);
	CHECK_EQ(report_verdict(&r), 1);
	conf.max_loss = 0.1;
	CHECK_EQ(report_verdict(&r), 0);
	shared->tally[1].n_missing = 1; // a stream of 90 packets that nobody heard
	report_collect(&r, 4);
	CHECK(report_loss(&r) == 110.0 / 290);
	report_fini(&r);
	free(shared);
}

CU_TestInfo report_tests[] = {
	{"memory is read from a process of any name", test_stat},
	{"CPU and memory of a process that is there, an error for one that is not", test_own},
	{"the slope of memory looks at the second half", test_slope},
	{"figures of all workers are summed and judged", test_sum},
	CU_TEST_INFO_NULL,
};
