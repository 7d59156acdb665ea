#include "lib/rtc/send/simulcast.h"

#include "tests/unit/check.h"
#include "tests/unit/linksim.h"

#include "lib/base/err.h"

#define MS NS_PER_MS
#define START (50 * NS_PER_S)

static struct simulcast s;
static struct simulcast_out out;
static struct simulcast_rung rung[2];
static struct simulcast_in in;

// Is a packet of this layer forwarded?
static bool simulcast_takes(const struct simulcast *sim, uint8_t layer)
{
	return sim->now != SIMULCAST_NONE && sim->now_layer == layer && !sim->is_frozen;
}

// A ladder of l (500 kbit/s) and h (2.5 Mbit/s).
static void begin(uint32_t budget_bps)
{
	simulcast_init(&s);
	rung[0] = (struct simulcast_rung){.bps = 500000, .layer = 0, .cap = 3, .is_active = true};
	rung[1] = (struct simulcast_rung){.bps = 2500000, .layer = 1, .cap = 3, .is_active = true};
	in = (struct simulcast_in){
		.rung = rung, .n_rungs = 2, .max_rung = 1, .budget_bps = budget_bps, .now = START};
	simulcast_decide(&s, &in, &out);
}

// Decide every 100 ms; a key frame that is asked for comes 200 ms later when keys is set.
static unsigned run(ns_t time, bool keys)
{
	unsigned n_asked = 0;
	ns_t key_at = NS_NEVER;
	uint8_t key_layer = 0;

	for (ns_t end = in.now + time; in.now < end; in.now += 100 * MS) {
		if (in.now >= key_at) {
			(void)simulcast_on_key(&s, key_layer, in.now);
			key_at = NS_NEVER;
		}
		simulcast_decide(&s, &in, &out);
		if (out.ask_key) {
			n_asked++;
			key_layer = out.key_layer;
			if (keys)
				key_at = in.now + 200 * MS;
		}
	}
	return n_asked;
}

static void joiner_best(void)
{
	begin(3000000);
	CHECK(out.ask_key);
	CHECK_EQ(out.key_layer, 1);
	CHECK(!simulcast_takes(&s, 1));
	CHECK(!simulcast_on_key(&s, 0, START));
	CHECK(simulcast_on_key(&s, 1, START));
	CHECK(simulcast_takes(&s, 1));
	CHECK(!simulcast_takes(&s, 0));
	begin(600000);
	CHECK(out.ask_key);
	CHECK_EQ(out.key_layer, 0);
	CHECK_EQ(out.spend_bps, 500000);
	begin(10000); // never nothing
	CHECK_EQ(out.key_layer, 0);
}

static void climb(void)
{
	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	run(1000 * MS, true);
	CHECK_EQ(out.probe_bps, 2750000);
	in.budget_bps = 2800000;
	run(1900 * MS, true);
	CHECK_EQ(s.want, SIMULCAST_NONE); // held 2 s first
	run(500 * MS, false);
	CHECK_EQ(s.want, 1);
	CHECK(simulcast_takes(&s, 0)); // until the key frame
	CHECK_EQ(out.spend_bps, 2500000);
	CHECK(simulcast_on_key(&s, 1, in.now));
	CHECK(!simulcast_takes(&s, 0));
	in.budget_bps = 2300000; // 0.92: stays
	run(10 * NS_PER_S, true);
	CHECK(simulcast_takes(&s, 1));
	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	in.budget_bps = 2800000;
	in.is_proven = true; // by a probe
	simulcast_decide(&s, &in, &out);
	CHECK(out.ask_key);
}

static void step_down(void)
{
	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	in.budget_bps = 2000000;
	run(1500 * MS, true);
	CHECK(simulcast_takes(&s, 1));
	run(1000 * MS, true);
	CHECK(simulcast_takes(&s, 0));
	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	in.queue_ms = 250; // at once
	simulcast_decide(&s, &in, &out);
	CHECK(out.ask_key && out.key_layer == 0);
	CHECK(simulcast_takes(&s, 1));
	in.loss = 250; // and without waiting for the key frame
	simulcast_decide(&s, &in, &out);
	CHECK(!simulcast_takes(&s, 1));
	CHECK(simulcast_on_key(&s, 0, in.now));
	CHECK(simulcast_takes(&s, 0));
	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	in.budget_bps = 1000000; // the estimate fell as well
	in.queue_ms = 250;
	simulcast_decide(&s, &in, &out);
	CHECK(out.ask_key && out.key_layer == 0);
}

static void backoff(void)
{
	unsigned n = 0;
	bool was_high = true;

	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	// A link that is good until h is tried: 30 minutes.
	for (unsigned i = 0; i < 18000; i++) {
		in.budget_bps = simulcast_takes(&s, 1) ? 1500000 : 3000000;
		run(100 * MS, true);
		if (s.want != SIMULCAST_NONE)
			(void)simulcast_on_key(&s, s.want_layer, in.now);
		n += simulcast_takes(&s, 1) != was_high;
		was_high = simulcast_takes(&s, 1);
	}
	CHECK(n > 10);
	CHECK(n < 40);
	CHECK_EQ(s.backoff, SIMULCAST_MAX_BACKOFF_NS);
	in.budget_bps = 3000000;
	run(600 * NS_PER_S, true);
	in.budget_bps = 1000000;
	run(5 * NS_PER_S, true);
	CHECK_EQ(s.backoff, SIMULCAST_BACKOFF_NS); // after 5 min stable
}

static void layer_dies(void)
{
	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	rung[1].is_active = false;
	simulcast_decide(&s, &in, &out);
	CHECK(out.ask_key && out.key_layer == 0);
	CHECK(simulcast_on_key(&s, 0, in.now));
	rung[0].is_active = false;
	simulcast_decide(&s, &in, &out);
	CHECK(!out.ask_key);
	CHECK_EQ(out.probe_bps, 0);
	rung[1].is_active = true;
	simulcast_decide(&s, &in, &out); // not the climb of a living layer: at once
	CHECK(out.ask_key && out.key_layer == 1);
}

static void no_key_frame(void)
{
	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	in.budget_bps = 3000000;
	CHECK_EQ(run(11 * NS_PER_S, false), 3); // after 2 s, 5 s, 8 s
	run(2 * NS_PER_S, false);
	CHECK_EQ(s.want, SIMULCAST_NONE); // given up, tried again after the back-off
	CHECK(simulcast_takes(&s, 0));
	CHECK(run(12 * NS_PER_S, true) > 0);
	CHECK(simulcast_takes(&s, 1));
	begin(600000); // the first one is asked for as long as it takes
	CHECK_EQ(run(30 * NS_PER_S, false), 10 - 1);
}

static void guesses_pause_nothing(void)
{
	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	in.is_guess = true;
	in.budget_bps = 100000;
	run(20 * NS_PER_S, true);
	CHECK(simulcast_takes(&s, 0));
	in.is_guess = false;
	run(6 * NS_PER_S, true);
	CHECK(s.is_paused);
	in.is_guess = true; // another path
	run(1 * NS_PER_S, true);
	CHECK(simulcast_takes(&s, 0));
}

static void pause_and_resume(void)
{
	unsigned n_paused = 0;

	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	in.budget_bps = 240000;
	run(4900 * MS, true);
	CHECK(simulcast_takes(&s, 0));
	for (unsigned i = 0; i < 10; i++) {
		run(100 * MS, true);
		n_paused += out.is_paused_now;
	}
	CHECK_EQ(n_paused, 1);
	CHECK(!simulcast_takes(&s, 0));
	CHECK_EQ(out.spend_bps, 0);
	CHECK_EQ(out.probe_bps, 500000);
	in.budget_bps = 440000;
	run(10 * NS_PER_S, true);
	CHECK(s.is_paused);
	in.budget_bps = 450000;
	simulcast_decide(&s, &in, &out);
	CHECK(out.is_resumed_now && out.ask_key);
	CHECK(simulcast_on_key(&s, 0, in.now));
	CHECK(simulcast_takes(&s, 0));
}

// The lowest layer does not fit and piles up: audio behind it would suffer.
static void choked(void)
{
	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	in.budget_bps = 400000;
	run(10 * NS_PER_S, true);
	CHECK(simulcast_takes(&s, 0)); // it gets through nevertheless
	in.queue_ms = 300;
	run(1900 * MS, true);
	CHECK(simulcast_takes(&s, 0));
	run(300 * MS, true);
	CHECK(s.is_paused);
	in.queue_ms = 0;
	in.budget_bps = 600000;
	run(9 * NS_PER_S, true);
	CHECK(s.is_paused); // backs off
	run(2 * NS_PER_S, true);
	CHECK(simulcast_takes(&s, 0));
}

// The link got narrow and the queue of the higher layer is still there, but less each second.
static void drains(void)
{
	begin(600000);
	CHECK(simulcast_on_key(&s, 0, START));
	in.budget_bps = 400000;
	for (in.queue_ms = 1000; in.queue_ms > 200; in.queue_ms = in.queue_ms * 7 / 10) {
		run(1900 * MS, true);
		CHECK(simulcast_takes(&s, 0));
	}
	in.queue_ms = 1000;
	for (unsigned i = 0; i < 12; i++, in.queue_ms -= 5) // too slowly
		run(200 * MS, true);
	CHECK(s.is_paused);
}

// One encoding with temporal layers: caps are the rungs, and need no key frame.
static void caps(void)
{
	begin(3000000);
	rung[0] = (struct simulcast_rung){.bps = 1000000, .layer = 1, .cap = 0, .is_active = true};
	CHECK(simulcast_on_key(&s, 1, START));
	in.budget_bps = 1500000;
	CHECK_EQ(run(2500 * MS, false), 0);
	CHECK_EQ(s.want, 0);
	CHECK(simulcast_takes(&s, 1));
	CHECK(simulcast_on_frame(&s, 2, false, in.now)); // down at any frame
	CHECK_EQ(s.now_cap, 0);
	CHECK(!simulcast_on_frame(&s, 0, true, in.now));
	in.budget_bps = 3000000;
	run(15 * NS_PER_S, false);
	CHECK(!simulcast_on_frame(&s, 2, false, in.now)); // up where nothing is missed
	CHECK(simulcast_on_frame(&s, 1, true, in.now));
	CHECK_EQ(s.now_cap, 3);
}

static void shorter_ladder(void)
{
	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	in.max_rung = 0; // the viewer made its window small
	simulcast_decide(&s, &in, &out);
	CHECK(out.ask_key && out.key_layer == 0);
	CHECK(simulcast_takes(&s, 1)); // until then
	in.n_rungs = 0;
	simulcast_decide(&s, &in, &out);
	CHECK(!out.ask_key);
	CHECK_EQ(out.spend_bps, 0);
}

// One encoding shows temporal layers only after a while: what is sent keeps its place, now on top.
static void longer_ladder(void)
{
	begin(3000000);
	in.n_rungs = 1;
	rung[0] = (struct simulcast_rung){.bps = 1000000, .layer = 0, .cap = 3, .is_active = true};
	run(300 * MS, true);
	CHECK(simulcast_on_key(&s, 0, in.now) || s.now == 0);
	rung[0] = (struct simulcast_rung){.bps = 600000, .layer = 0, .cap = 0, .is_active = true};
	rung[1] = (struct simulcast_rung){.bps = 1000000, .layer = 0, .cap = 3, .is_active = true};
	in.n_rungs = 2;
	simulcast_decide(&s, &in, &out);
	CHECK_EQ(s.now, 1);
	CHECK_EQ(s.now_cap, 3);
	CHECK_EQ(out.spend_bps, 1000000);
	CHECK(!out.ask_key);
}

static void barred(void)
{
	begin(3000000);
	CHECK(simulcast_on_key(&s, 1, START));
	in.is_barred = true;
	simulcast_decide(&s, &in, &out);
	CHECK(out.is_paused_now);
	CHECK(!simulcast_takes(&s, 1));
	run(20 * NS_PER_S, true);
	CHECK(s.is_paused);
	in.is_barred = false;
	simulcast_decide(&s, &in, &out);
	CHECK(out.is_resumed_now && out.ask_key);
}

static void rates(void)
{
	struct layerrate r = {};

	CHECK_EQ(layerrate_bps(&r, LAYERRATE_SHORT_NS, START), 0);
	CHECK(!layerrate_is_active(&r, START));
	for (ns_t t = 0; t < 10 * NS_PER_S; t += 10 * MS)
		layerrate_add(&r, 1250, START + t); // 1 Mbit/s
	CHECK_EQ(layerrate_bps(&r, LAYERRATE_SHORT_NS, START + 10 * NS_PER_S), 1000000);
	CHECK_EQ(layerrate_bps(&r, LAYERRATE_LONG_NS, START + 10 * NS_PER_S), 1000000);
	CHECK_EQ(layerrate_bps(&r, LAYERRATE_SHORT_NS, START + 11 * NS_PER_S), 500000);
	CHECK(layerrate_is_active(&r, START + 11 * NS_PER_S));
	CHECK_EQ(layerrate_bps(&r, LAYERRATE_SHORT_NS, START + 60 * NS_PER_S), 0);
	CHECK(!layerrate_is_active(&r, START + 60 * NS_PER_S));
	layerrate_add(&r, 1250, START + 60 * NS_PER_S); // begins anew
	CHECK_EQ(layerrate_bps(&r, LAYERRATE_SHORT_NS, START + 60 * NS_PER_S + 500 * MS), 0);
}

// --- closed loop ------------------------------------------------------------------------------------
// The estimator, the probes and the choice over a bottleneck. Key frames take 300 ms.

struct loop {
	struct sim *sim;
	ns_t key_at;
	uint8_t key_layer;
	unsigned n_changes;
	unsigned ms_high;
};

static void loop_step(struct loop *c)
{
	struct sim *m = c->sim;

	sim_step(m);
	in.now = m->now;
	if (m->now >= c->key_at) {
		c->n_changes += simulcast_on_key(&s, c->key_layer, m->now);
		c->key_at = NS_NEVER;
	}
	if (m->now / MS % 100 == 0) {
		in.budget_bps = simulcast_budget(gcc_target(&m->gcc), 50000);
		in.queue_ms = gcc_queue_ms(&m->gcc);
		in.is_proven = gcc_is_proven(&m->gcc, m->now);
		in.loss = (uint16_t)(fmax(0, m->gcc.loss - m->gcc.inherent) * 1000);
		simulcast_decide(&s, &in, &out);
		m->app_max_bps = out.probe_bps ? (out.probe_bps + 50000) / 0.95 : 0;
		if (out.ask_key) {
			c->key_at = m->now + 300 * MS;
			c->key_layer = out.key_layer;
		}
	}
	m->app_bps = s.now == SIMULCAST_NONE ? 50000 : rung[s.now].bps + 50000;
	c->ms_high += simulcast_takes(&s, 1);
}

static struct loop loop_of(double link_bps, double loss, uint64_t seed)
{
	struct loop c = {.sim = sim_new(link_bps, seed), .key_at = NS_NEVER};

	c.sim->loss = loss;
	begin(simulcast_budget(GCC_START_BPS, 50000));
	c.key_at = c.sim->now + 300 * MS;
	return c;
}

static void loop_run(struct loop *c, unsigned ms)
{
	while (ms-- > 0)
		loop_step(c);
}

static void wide(void)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct loop c = loop_of(6e6, seed == 3 ? 0.02 : 0, seed);

		loop_run(&c, 3000);
		CHECK(simulcast_takes(&s, 1)); // a joiner's first seconds
		CHECK(c.n_changes <= 2);
		loop_run(&c, 12000);
		c.n_changes = c.ms_high = 0;
		loop_run(&c, 60000);
		CHECK(c.n_changes <= 2);
		CHECK(c.ms_high > 50000);
		sim_free(c.sim);
	}
}

// Links that carry h, but not much more, and a sender whose frames vary: h within 3 s, and it stays.
static void fitting(void)
{
	static const double link[] = {2.9e6, 3e6, 3.1e6, 3.5e6, 4e6};

	for (unsigned i = 0; i < 2 * ARRAY_LEN(link); i++) {
		struct loop c = loop_of(link[i / 2], i % 2 ? 0.01 : 0, i + 1);

		c.sim->queue_max = 120000;
		c.sim->jitter_ms = 2;
		c.sim->app_vary = 0.3;
		c.sim->key_factor = i % 2 ? 5 : 3;
		loop_run(&c, 3000);
		CHECK(simulcast_takes(&s, 1));
		c.n_changes = c.ms_high = 0;
		loop_run(&c, 120000);
		CHECK(c.n_changes <= 4);
		CHECK(c.ms_high > 100000);
		CHECK(c.sim->max_queue < 400 * MS);
		sim_free(c.sim);
	}
}

// Links that carry l, but not much more: it stays, the queue is short, and the estimate is the link's.
static void fitting_low(void)
{
	static const double link[] = {600e3, 650e3, 800e3};

	for (unsigned i = 0; i < 2 * ARRAY_LEN(link); i++) {
		struct loop c = loop_of(link[i / 2], i % 2 ? 0.01 : 0, i + 1);
		double mean;

		c.sim->queue_max = 120000;
		c.sim->jitter_ms = 2;
		c.sim->app_vary = 0.3;
		c.sim->key_factor = 3;
		loop_run(&c, 10000);
		sim_mark(c.sim);
		c.n_changes = 0;
		loop_run(&c, 60000);
		mean = sim_mean_target(c.sim) / link[i / 2];
		CHECK(mean > 0.75 && mean < 1.2);
		CHECK_EQ(c.n_changes, 0);
		CHECK(simulcast_takes(&s, 0));
		CHECK(c.sim->max_queue < 300 * MS);
		sim_free(c.sim);
	}
}

// D37: a link between l and h must not make it try h again and again.
static void narrow(void)
{
	static const double link[] = {700e3, 1e6, 1.5e6};

	for (unsigned i = 0; i < ARRAY_LEN(link); i++) {
		struct loop c = loop_of(link[i], 0, i + 1);

		loop_run(&c, 10000);
		c.n_changes = c.ms_high = 0;
		sim_mark(c.sim);
		loop_run(&c, 110000);
		CHECK(c.n_changes <= 4); // two minutes
		CHECK(c.ms_high < 5000);
		CHECK(simulcast_takes(&s, 0));
		CHECK(c.sim->max_queue < 400 * MS);
		sim_free(c.sim);
	}
}

// A link that does not carry the lowest layer, by much or by little: audio must not stand in its queue.
static void too_narrow(void)
{
	static const double link[] = {300e3, 400e3, 540e3};

	for (unsigned i = 0; i < ARRAY_LEN(link); i++) {
		struct loop c = loop_of(link[i], 0, 7);

		c.sim->queue_max = 200000; // seconds
		loop_run(&c, 60000);
		sim_mark(c.sim);
		loop_run(&c, 240000);
		CHECK(c.sim->max_queue < 500 * MS);
		CHECK_EQ(c.sim->n_lost, 0);
		sim_free(c.sim);
	}
}

static void link_changes(void)
{
	struct loop c = loop_of(6e6, 0, 5);
	unsigned ms;

	loop_run(&c, 20000);
	CHECK(simulcast_takes(&s, 1));
	c.sim->link_bps = 900e3;
	for (ms = 0; !simulcast_takes(&s, 0) && ms < 20000; ms++)
		loop_step(&c);
	CHECK(ms < 3000);
	loop_run(&c, 20000);
	CHECK(simulcast_takes(&s, 0));
	c.sim->link_bps = 6e6;
	for (ms = 0; !simulcast_takes(&s, 1) && ms < 120000; ms++)
		loop_step(&c);
	CHECK(ms < 45000);
	sim_free(c.sim);
}

// The publisher's encodings begin one after the other: the large one, alone at first, is not begun with on a narrow link.
static void waits_for_the_small_one(void)
{
	struct simulcast_rung r[] = {{.bps = 500000, .layer = 0, .cap = 3, .is_active = false},
				     {.bps = 2500000, .layer = 1, .cap = 3, .is_active = true}};
	struct simulcast_in i = {
		.rung = r, .n_rungs = 2, .max_rung = 1, .budget_bps = 520000, .now = 1000 * NS_PER_S};
	struct simulcast_out o;
	struct simulcast c;

	simulcast_init(&c);
	for (unsigned k = 0; k < 9; k++, i.now += 100 * NS_PER_MS) {
		simulcast_decide(&c, &i, &o);
		CHECK_EQ(c.want, SIMULCAST_NONE);
	}
	r[0].is_active = true;
	simulcast_decide(&c, &i, &o);
	CHECK_EQ(c.want, 0);
	r[0].is_active = false; // none comes: better than nothing
	simulcast_init(&c);
	for (unsigned k = 0; k < 12; k++, i.now += 100 * NS_PER_MS)
		simulcast_decide(&c, &i, &o);
	CHECK_EQ(c.want, 1);
	simulcast_init(&c);
	i.budget_bps = 3000000; // and at once where it fits
	simulcast_decide(&c, &i, &o);
	CHECK_EQ(c.want, 1);
}

CU_TestInfo simulcast_tests[] = {
	{"a joiner starts at the best layer its budget allows", joiner_best},
	{"a climb waits for 2 s or a probe, and for the key frame", climb},
	{"a step down takes 2 s, under congestion none", step_down},
	{"switches back off, and forget after 5 minutes", backoff},
	{"a layer that dies is left at once", layer_dies},
	{"a key frame that does not come is asked for again; a climb is given up", no_key_frame},
	{"for want of a budget that is a guess nothing is paused", guesses_pause_nothing},
	{"video is paused when less than half of the lowest layer fits, and comes back", pause_and_resume},
	{"video is paused when the lowest layer piles up in the queue", choked},
	{"a queue that drains while the lowest layer goes on does not pause it", drains},
	{"temporal caps are rungs that need no key frame", caps},
	{"a ladder that becomes shorter", shorter_ladder},
	{"a ladder that gets temporal rungs", longer_ladder},
	{"layer rates are measured over whole quarters of a second", rates},
	{"a wide link gets the high layer within 3 s and keeps it", wide},
	{"links that just carry the high layer get it within 3 s and keep it", fitting},
	{"links that just carry the low layer keep it, and their estimate is right", fitting_low},
	{"a host that is overloaded sends no video, whatever the budget", barred},
	{"D37: links between the layers stay low without oscillating", narrow},
	{"a link that does not carry the lowest layer keeps a short queue for audio", too_narrow},
	{"a link that collapses is followed within 3 s, and its recovery", link_changes},
	{"a large encoding that comes first waits a second for a small one on a narrow link",
	 waits_for_the_small_one},
	CU_TEST_INFO_NULL,
};
