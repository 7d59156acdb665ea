#include "lib/rtc/send/gcc.h"

#include "tests/unit/check.h"
#include "tests/unit/linksim.h"

#include "lib/base/err.h"

#define MS NS_PER_MS

// --- links that stay --------------------------------------------------------------------------------

// 10 s to converge to within 20 %, then 20 s in which the mean stays there and the queue short.
static void constant(double bps, double loss, uint32_t queue_max, double jitter_ms)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct sim *s = sim_new(bps, seed);
		double mean;

		s->loss = loss;
		s->queue_max = queue_max;
		s->jitter_ms = jitter_ms;
		sim_run(s, 9000);
		CHECK(s->max_queue < 300 * MS); // start and first probe
		sim_mark(s);
		sim_run(s, 1000);
		mean = sim_mean_target(s) / bps;
		CHECK(mean > 0.79 && mean < 1.2);
		sim_mark(s);
		sim_run(s, 20000);
		mean = sim_mean_target(s) / bps;
		CHECK(mean > 0.85 && mean < 1.1);
		CHECK(s->min_target > 0.65 * bps);
		CHECK(s->max_queue < 200 * MS);
		CHECK(s->n_probe_bytes * PROBE_SHARE <= s->n_bytes + PROBE_FREE_BYTES * PROBE_SHARE);
		sim_free(s);
	}
}

static void links(void)
{
	constant(500e3, 0, 60000, 0);
	constant(600e3, 0, 60000, 0);
	constant(1e6, 0, 60000, 0);
	constant(2e6, 0, 60000, 0);
}

static void bufferbloat(void)
{
	constant(600e3, 0, 1000000, 0);
	constant(1e6, 0, 1000000, 0);
	constant(2e6, 0, 1000000, 0);
}

static void jitter(void)
{
	constant(1e6, 0, 60000, 5);
	constant(2e6, 0.01, 60000, 8);
}

static void random_loss(void)
{
	constant(600e3, 0.01, 60000, 0);
	constant(1e6, 0.05, 60000, 0);
	constant(2e6, 0.05, 60000, 0);
}

// 50 ms of nothing every 2 s.
static void bursts(void)
{
	struct sim *s = sim_new(1e6, 8);

	s->burst_ms = 2000;
	sim_run(s, 10000);
	sim_mark(s);
	sim_run(s, 20000);
	CHECK(sim_mean_target(s) > 0.8e6 && sim_mean_target(s) < 1.1e6);
	CHECK(s->max_queue < 200 * MS);
	sim_free(s);
}

// 10 %: not within bounds in 10 s, but never starved.
static void heavy_loss(void)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct sim *s = sim_new(1e6, seed);

		s->loss = 0.1;
		sim_run(s, 30000);
		CHECK(s->min_target > 400e3);
		CHECK(s->max_queue < 300 * MS);
		sim_free(s);
	}
}

// An application that sends little does not get an estimate out of thin air, and keeps what was proven.
static void wide_link(void)
{
	struct sim *s = sim_new(20e6, 4);

	s->app_max_bps = 3e6;
	sim_run(s, 10000);
	sim_mark(s);
	sim_run(s, 5000);
	CHECK(sim_mean_sent(s) > 2.4e6);
	CHECK(s->max_target <= GCC_MAX_BPS);
	CHECK_EQ(s->n_lost, 0);
	sim_free(s);
	s = sim_new(20e6, 4);
	s->app_bps = 500e3;
	s->no_probes = true;
	sim_run(s, 30000);
	CHECK(gcc_target(&s->gcc) <= 1.5 * 500e3 * 1.1 + 10000);
	sim_free(s);
}

// A link that drops instead of queueing: loss alone has to tell.
static void policer(void)
{
	struct sim *s = sim_new(1e6, 6);

	s->queue_max = 5 * SIM_PACKET;
	sim_run(s, 10000);
	sim_mark(s);
	sim_run(s, 20000);
	CHECK(sim_mean_target(s) > 0.7e6 && sim_mean_target(s) < 1.3e6);
	CHECK(s->n_lost * 6 < s->n_sent);
	sim_free(s);
}

// --- links that change ------------------------------------------------------------------------------

static void step(void)
{
	struct sim *s = sim_new(3e6, 2);
	unsigned ms;

	sim_run(s, 20000);
	CHECK(gcc_target(&s->gcc) > 2.4e6);
	s->link_bps = 400e3;
	s->queue_max = 100000;
	for (ms = 0; gcc_target(&s->gcc) > 480e3 && ms < 10000; ms++)
		sim_step(s);
	CHECK(ms < 2000);
	sim_run(s, 8000);
	sim_mark(s);
	sim_run(s, 10000);
	CHECK(sim_mean_target(s) > 0.8 * 400e3 && sim_mean_target(s) < 1.2 * 400e3);
	CHECK(s->max_queue < 300 * MS);
	s->link_bps = 3e6;
	for (ms = 0; gcc_target(&s->gcc) < 2e6 && ms < 60000; ms++)
		sim_step(s);
	CHECK(ms < 20000);
	sim_free(s);
}

// A forwarded high layer fills the queue of a link that became narrow, and goes on losing packets there long after the low
// one is sent: that must not be answered again and again, or nothing is sent at all.
static void step_of_layers(void)
{
	struct sim *s = sim_new(3e6, 2);
	unsigned ms;

	s->app_bps = 1.5e6;
	sim_run(s, 20000);
	CHECK(gcc_target(&s->gcc) > 1.6e6);
	s->link_bps = 400e3;
	s->queue_max = 50000; // a second
	for (ms = 0; gcc_target(&s->gcc) > 1.5e6 && ms < 10000; ms++)
		sim_step(s);
	CHECK(ms < 2000);
	sim_run(s, 500); // the key frame of the low layer
	s->app_bps = 250e3;
	sim_run(s, 2000);
	sim_mark(s);
	sim_run(s, 12000);
	CHECK(s->min_target > 260e3); // what it takes
	CHECK(sim_mean_target(s) < 1.2 * 400e3);
	sim_free(s);
}

static void feedback_stops(void)
{
	struct sim *s = sim_new(2e6, 9);
	uint32_t before;

	s->no_probes = true;
	sim_run(s, 10000);
	s->no_feedback = true;
	sim_run(s, 200); // what was under way
	before = gcc_target(&s->gcc);
	sim_run(s, 2500);
	CHECK_EQ(gcc_target(&s->gcc), before); // held
	sim_run(s, 4300);
	CHECK(gcc_target(&s->gcc) < before * 0.52); // 0.8^3
	CHECK(gcc_target(&s->gcc) > before * 0.32); // 0.8^5
	sim_run(s, 60000);
	CHECK_EQ(gcc_target(&s->gcc), GCC_MIN_BPS);
	s->no_feedback = false;
	s->no_probes = false;
	sim_run(s, 30000);
	CHECK(gcc_target(&s->gcc) > 1.2e6);
	sim_free(s);
}

// --- parts ------------------------------------------------------------------------------------------

static void remb(void)
{
	struct gcc g;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	CHECK_EQ(gcc_target(&g), GCC_START_BPS);
	gcc_remb(&g, 300000);
	CHECK_EQ(gcc_target(&g), 300000);
	gcc_remb(&g, 0);
	CHECK_EQ(gcc_target(&g), GCC_MIN_BPS);
	gcc_remb(&g, UINT32_MAX);
	CHECK_EQ(gcc_target(&g), GCC_START_BPS);
}

static void by_reports(void)
{
	struct gcc g;
	ns_t now = 0;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	for (unsigned i = 0; i < 10; i++)
		gcc_report(&g, 0, 0, now += NS_PER_S);
	CHECK(gcc_target(&g) > 1.2e6 && gcc_target(&g) < 1.4e6); // 8 % per second
	gcc_remb(&g, 900000);
	CHECK_EQ(gcc_target(&g), 900000);
	gcc_remb(&g, UINT32_MAX);
	for (unsigned i = 0; i < 10; i++)
		gcc_report(&g, 64, 0, now += NS_PER_S);
	CHECK(gcc_target(&g) < 500e3);
	CHECK(!gcc_is_calm(&g, now)); // probes would show nothing
	for (unsigned i = 0; i < 100; i++)
		gcc_report(&g, 0, 0, now += NS_PER_S);
	CHECK_EQ(gcc_target(&g), GCC_MAX_BPS);
	for (unsigned i = 0; i < 80; i++)
		gcc_idle(&g, 1000000, now += NS_PER_S / 10);
	CHECK(gcc_target(&g) < GCC_MAX_BPS / 2);
	gcc_update(&g, 0, now); // feedback begins late: from where it was
	CHECK(gcc_target(&g) < GCC_MAX_BPS / 2);
	gcc_report(&g, 255, 0, now + NS_PER_S);
	CHECK(g.loss < 0.1); // and reports no longer count
}

static void offered(void)
{
	struct gcc g;
	ns_t now = 0;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	CHECK(!gcc_is_measured(&g));
	gcc_offer(&g, 1600000);
	CHECK_EQ(gcc_target(&g), GCC_START_BPS); // feedback may still come
	gcc_report(&g, 0, 0, now += NS_PER_S);
	CHECK(gcc_is_measured(&g));
	CHECK(gcc_target(&g) >= 2000000 && gcc_target(&g) < 2200000);
	gcc_offer(&g, 2600000); // another stream, and nothing was lost so far
	CHECK(gcc_target(&g) >= 3250000);
	for (unsigned i = 0; i < 10; i++)
		gcc_report(&g, 64, 0, now += NS_PER_S);
	CHECK(gcc_target(&g) < 1000000);
	gcc_offer(&g, 2600000);
	CHECK(gcc_target(&g) < 1000000);   // not at once
	for (unsigned i = 0; i < 300; i++) // paused: nothing is left to report about
		gcc_idle(&g, 0, now += NS_PER_S / 10);
	CHECK(gcc_target(&g) > 2000000);
}

static void ceiling(void)
{
	struct gcc g;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	gcc_offer(&g, 1000000);
	CHECK_EQ(gcc_max(&g), GCC_MAX_BPS);
	gcc_probe(&g, 20000000, false, MS);
	CHECK_EQ(gcc_target(&g), GCC_MAX_BPS);
	gcc_offer(&g, 7000000);
	CHECK_EQ(gcc_max(&g), 8750000);
	gcc_probe(&g, 20000000, false, 2 * MS);
	CHECK_EQ(gcc_target(&g), 8750000);
	gcc_offer(&g, UINT32_MAX);
	CHECK_EQ(gcc_max(&g), GCC_CEILING_BPS);
	gcc_reset(&g, 3 * MS);
	CHECK_EQ(gcc_max(&g), GCC_CEILING_BPS);
	gcc_offer(&g, 0);
	gcc_probe(&g, 20000000, false, 4 * MS);
	CHECK_EQ(gcc_target(&g), GCC_MAX_BPS);
}

static void reset(void)
{
	struct gcc g;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	gcc_probe(&g, 3000000, false, MS);
	CHECK_EQ(gcc_target(&g), 3000000);
	gcc_reset(&g, 2 * MS);
	CHECK_EQ(gcc_target(&g), GCC_START_BPS);
	gcc_remb(&g, 200000);
	gcc_reset(&g, 3 * MS);
	CHECK_EQ(gcc_target(&g), 200000);
	CHECK_EQ(g.conf.start_bps, GCC_START_BPS);
}

// Congestion, then nothing is sent any more: the queue is gone, and a probe may be tried.
static void rest(void)
{
	struct sim *s = sim_new(3e6, 2);

	s->no_probes = true;
	s->queue_max = 200000;
	sim_run(s, 5000);
	s->app_bps = 2.5e6;
	s->link_bps = 400e3;
	sim_run(s, 4000);
	CHECK(!gcc_is_calm(&s->gcc, s->now));
	CHECK(gcc_queue_ms(&s->gcc) > 500);
	s->app_bps = 1;
	sim_run(s, 9000);
	CHECK_EQ(gcc_queue_ms(&s->gcc), 0);
	CHECK(gcc_is_calm(&s->gcc, s->now));
	sim_free(s);
}

// Arrival times of a liar: whatever they say, the target stays in its bounds.
static void absurd_times(void)
{
	struct gcc g;

	rand_seed(77);
	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	for (unsigned i = 0; i < 100000; i++) {
		struct sendhist_ack a = {.sent_us = (int64_t)i * 1000,
					 .arrival_us = (int64_t)(rand_u64() >> (14 + rand_u32() % 50)) -
						       (rand_u32() & 1 ? INT64_C(1) << 40 : 0),
					 .n_bytes = (uint16_t)rand_u32(),
					 .event = rand_u32() % 3};
		gcc_ack(&g, &a);
		if (i % 16 == 0)
			gcc_update(&g, (ns_t)(rand_u32() % 1000) * MS, (ns_t)i * MS);
		CHECK_OR_RETURN(gcc_target(&g) >= GCC_MIN_BPS && gcc_target(&g) <= GCC_MAX_BPS);
		CHECK_OR_RETURN(isfinite(g.delay_bps) && isfinite(g.loss_bps) && isfinite(g.delay.threshold));
	}
	rand_seed(0);
}

static void negative_times(void)
{
	struct gcc g;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	for (int64_t i = 0; i < 100; i++)
		gcc_ack(&g, &(struct sendhist_ack){.sent_us = i * 10000,
						   .arrival_us = i * 10000 - 3000000,
						   .n_bytes = 1000});
	gcc_probe(&g, GCC_MIN_BPS, true, NS_PER_S); // a full link carries what was acknowledged
	CHECK_EQ((uint32_t)g.delay_bps, 800000);
}

CU_TestInfo gcc_tests[] = {
	{"500 k to 2 M: within 20 % in 10 s, queue below 200 ms", links},
	{"a buffer of many seconds does not fill", bufferbloat},
	{"jitter is not taken for a queue", jitter},
	{"1 and 5 % random loss do not lower the estimate", random_loss},
	{"bursts of loss of 50 ms do not lower the estimate", bursts},
	{"10 % random loss does not starve a receiver", heavy_loss},
	{"a wide link: up by probes, and not without evidence", wide_link},
	{"a link that drops instead of queueing", policer},
	{"3 M, 400 k, 3 M: down within 2 s, up by probes", step},
	{"a high layer that filled a queue does not end the low one", step_of_layers},
	{"without feedback the estimate falls by a fifth per second after 3 s", feedback_stops},
	{"what was congested is calm after nothing was sent for some seconds", rest},
	{"REMB caps the target within its bounds", remb},
	{"with reports the target begins with what is offered, and falls by loss", offered},
	{"the ceiling follows what is offered, within a bound", ceiling},
	{"without transport-wide feedback loss reports and REMB count", by_reports},
	{"another path begins from no more than before", reset},
	{"arrival times below 0 are counted like others (found by fuzzing)", negative_times},
	{"absurd arrival times leave the target within bounds", absurd_times},
	CU_TEST_INFO_NULL,
};
