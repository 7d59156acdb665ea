// Whole calls through whole workers at the rates of rtcd's published load tests (docs/benchmarks.md): is anything lost, how late is
// it, how much of a worker does it take; and the same while people join. A screen is 180 packets a second of 1114 bytes, a
// voice 50 of 80. One JSON row each on stdout.
#include "tests/perf/hall.h"

#define RUN_NS (4 * NS_PER_S)

struct shape {
	const char *name;
	unsigned calls, people, voices, screens, workers;
	unsigned joins_per_s; // into the first call, who hear everybody there
};

static const struct shape shapes[] = {
	{"1 call x 1000, 2 voices", 1, 1000, 2, 0, 1, 0},
	{"1 call x 1000, 2 voices and a screen", 1, 1000, 2, 1, 1, 0},
	{"4 calls x 1000, 2 voices and a screen each", 4, 1000, 2, 1, 1, 0},
	{"4 calls x 1000, 2 voices and a screen each", 4, 1000, 2, 1, 2, 0},
	{"1 call x 5000, 2 voices and a screen", 1, 5000, 2, 1, 1, 0},
	{"1 call x 5000, 2 voices and a screen", 1, 5000, 2, 1, 2, 0},
	{"1 call x 1000, 2 voices and a screen, 1000 joins a second", 1, 1000, 2, 1, 1, 1000},
};

static const struct shape *shape; // that runs

static void hear_call(uint32_t person, unsigned call)
{
	unsigned per_call = shape->voices + shape->screens;

	for (unsigned k = 0; k < per_call; k++) {
		uint32_t from = call * shape->people + k;
		if (from != person)
			hall_hear(person, call * per_call + k, from, 0);
	}
}

static void begin(void)
{
	struct talker voice = {.n_bytes = 80, .burst = 1, .ts_step = 960};
	struct talker screen = {.n_bytes = 1114, .burst = 9, .ts_step = 2400};

	hall_open(shape->workers, shape->calls * shape->people + 5 * shape->joins_per_s + 1);
	voice.period = rte_get_tsc_hz() / 50;
	screen.period = rte_get_tsc_hz() / 20;
	for (unsigned i = 0; i < shape->calls * shape->people; i++) {
		hall_add(i, i / shape->people);
		hall_tend();
	}
	hall_admit();
	for (unsigned c = 0; c < shape->calls; c++)
		for (unsigned k = 0; k < shape->voices + shape->screens; k++)
			hall_talk(c * shape->people + k, 0, k < shape->voices ? &voice : &screen);
	for (unsigned i = 0; i < shape->calls * shape->people; i++) {
		hear_call(i, i / shape->people);
		if (i % 64 == 0)
			hall_tend();
	}
	hall_tend();
}

static void join(ns_t since)
{
	unsigned due = (unsigned)(since * shape->joins_per_s / NS_PER_S), base = shape->calls * shape->people;

	while (hall.n_people - base < due) {
		uint32_t person = hall.n_people;
		hall_add(person, 0);
		hear_call(person, 0);
	}
}

static uint64_t drops(void)
{
	uint64_t n = 0;

#define DROP(id, reason, help) n += statseg_sum(hall.dp->statseg, DROP_##id);
#include "lib/ipc/counters.def"
	return n;
}

static void print_drops(void)
{
#define DROP(id, reason, help)                        \
	if (statseg_sum(hall.dp->statseg, DROP_##id)) \
		fprintf(stderr, "  %s: %lu\n", reason, statseg_sum(hall.dp->statseg, DROP_##id));
#include "lib/ipc/counters.def"
}

static void print_latency(const char *what, unsigned kind)
{
	static struct hist h;

	memset(&h, 0, sizeof(h));
	for (unsigned i = 0; i < hall.n_workers; i++)
		hist_merge(&h, &hall.queue[i].latency[kind]);
	if (h.n == 0)
		return;
	printf(", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f, \"%s_p999_us\": %.1f", what,
	       (double)hist_percentile(&h, 50) / 1e3, what, (double)hist_percentile(&h, 99) / 1e3, what,
	       (double)hist_percentile(&h, 99.9) / 1e3);
}

static double on_cpu_percent(void)
{
	ns_t cpu = 0, wall = 0;

	for (unsigned i = 0; i < hall.n_workers; i++) {
		cpu += hall.queue[i].cpu - hall.queue[i].cpu_from;
		wall += hall.queue[i].wall - hall.queue[i].wall_from;
	}
	return 100.0 * (double)cpu / (double)wall;
}

static void run(const struct shape *s)
{
	uint64_t busy, idle, in = 0, out = 0, dropped, expected;
	double seconds = (double)RUN_NS / 1e9;

	shape = s;
	begin();
	dropped = drops();
	busy = statseg_sum(hall.dp->statseg, CTR_CYCLES_BUSY);
	idle = statseg_sum(hall.dp->statseg, CTR_CYCLES_IDLE);
	hall_run(RUN_NS, s->joins_per_s ? join : NULL);
	busy = statseg_sum(hall.dp->statseg, CTR_CYCLES_BUSY) - busy;
	idle = statseg_sum(hall.dp->statseg, CTR_CYCLES_IDLE) - idle;
	dropped = drops() - dropped;
	for (unsigned i = 0; i < hall.n_workers; i++) {
		in += hall.queue[i].n_in;
		out += hall.queue[i].n_out;
	}
	expected = in * (s->people - 1);
	printf("{\"name\": \"%s\", \"workers\": %u, \"sent\": %lu, \"dropped\": %lu", s->name, s->workers,
	       out, dropped);
	if (s->joins_per_s == 0)
		printf(", \"missing\": %ld", (long)(expected - out));
	printf(", \"kpps\": %.0f, \"worker_percent\": %.1f, \"busy_cycles_per_packet\": %.0f",
	       (double)out / seconds / 1e3, 100.0 * (double)busy / (double)(busy + idle) * s->workers,
	       (double)busy / (double)out);
	printf(", \"core_was_ours_percent\": %.1f", on_cpu_percent());
	print_latency("voice", 0);
	print_latency("screen", 1);
	printf("}\n");
	fflush(stdout);
	print_drops();
	hall_close();
}

int main(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(shapes); i++)
		run(&shapes[i]);
	eal_stop();
	return 0;
}
