// Whole calls through whole workers at the rates of rtcd's published load tests (docs/benchmarks.md): is anything lost, how late is
// it, how much of a worker does it take; the same while people join, and while key frames come that are ten times as large.
// A screen is 180 packets a second of 1114 bytes, a voice 50 of 80. One JSON row each on stdout.
//
//   perf-calls [WORD]   those whose name has the word
#include "dataplane/ctl/eal.h"
#include "tests/perf/support/hall.h"
#include "tests/perf/support/perf.h"

#define WARM_NS (4 * NS_PER_S) // until estimates allow everybody the screen
#define RUN_NS (5 * NS_PER_S)
#define PLAIN 9 // packets of a frame
#define LARGE 100

struct shape {
	const char *name;
	unsigned calls, people, voices, screens, workers;
	unsigned joins_per_s; // into the first call, who hear everybody there
	uint16_t key_burst;   // packets of a key frame, twice a second
};

static const struct shape shapes[] = {
	{"1 call x 1000, 2 voices", 1, 1000, 2, 0, 1, 0, 0},
	{"1 call x 1000, 2 voices and a screen", 1, 1000, 2, 1, 1, 0, PLAIN},
	{"4 calls x 1000, 2 voices and a screen each", 4, 1000, 2, 1, 1, 0, PLAIN},
	{"4 calls x 1000, 2 voices and a screen each", 4, 1000, 2, 1, 2, 0, PLAIN},
	{"1 call x 5000, 2 voices and a screen", 1, 5000, 2, 1, 1, 0, PLAIN},
	{"1 call x 5000, 2 voices and a screen", 1, 5000, 2, 1, 2, 0, PLAIN},
	{"latency: 1 call x 1000, a voice and a screen", 1, 1000, 1, 1, 1, 0, PLAIN},
	{"latency: the same, key frames of 100 packets", 1, 1000, 1, 1, 1, 0, LARGE},
	{"latency: 1000 people join and leave each second", 1, 1000, 1, 1, 1, 1000, PLAIN},
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
	struct talker screen = {.n_bytes = 1114,
				.burst = PLAIN,
				.ts_step = 4500,
				.is_video = true,
				.key_every = 10,
				.key_burst = shape->key_burst};

	hall_open(shape->workers, shape->calls * shape->people + 6 * shape->joins_per_s + 1);
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

static uint64_t drops(void)
{
	uint64_t n = 0;

#define DROP(id, reason, help) n += statseg_sum(hall.dp->statseg, DROP_##id);
#include "lib/ipc/counters.def"
	return n;
}

static uint64_t before_path(void)
{
	return statseg_sum(hall.dp->statseg, DROP_NO_PATH);
}

// Counters since measuring began.
static struct {
	bool is_begun;
	uint64_t busy, idle, dropped, before_path;
} since_begin;

static void count_from(void)
{
	since_begin.is_begun = true;
	since_begin.busy = statseg_sum(hall.dp->statseg, CTR_CYCLES_BUSY);
	since_begin.idle = statseg_sum(hall.dp->statseg, CTR_CYCLES_IDLE);
	since_begin.dropped = drops();
	since_begin.before_path = before_path();
}

static unsigned joins_at(ns_t since)
{
	return since < 0 ? 0 : (unsigned)(since * shape->joins_per_s / NS_PER_S);
}

// People come, stop answering, and leave: so many stay that the call is half as large again as without them.
static void join(ns_t since)
{
	static unsigned n_stopped, n_left;
	unsigned base = shape->calls * shape->people;

	if (hall.n_people == base)
		n_stopped = n_left = 0;
	while (hall.n_people - base < joins_at(since)) {
		uint32_t person = hall.n_people;
		hall_add(person, 0);
		hear_call(person, 0);
	}
	for (; n_stopped < joins_at(since - 400 * NS_PER_MS); n_stopped++)
		hall.watcher[base + n_stopped].is_leaving = true;
	for (; n_left < joins_at(since - 500 * NS_PER_MS); n_left++)
		hall_leave(base + n_left);
}

static void tend(ns_t since)
{
	if (since < 0)
		return;
	if (!since_begin.is_begun)
		count_from();
	join(since);
}

static void print_drops(void)
{
#define DROP(id, reason, help)                        \
	if (statseg_sum(hall.dp->statseg, DROP_##id)) \
		fprintf(stderr, "  %s: %lu\n", reason, statseg_sum(hall.dp->statseg, DROP_##id));
#include "lib/ipc/counters.def"
}

static void print_percentiles(const char *what, const struct hist *h)
{
	if (h->n > 0)
		printf(", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f, \"%s_p999_us\": %.1f", what,
		       (double)hist_percentile(h, 50) / 1e3, what, (double)hist_percentile(h, 99) / 1e3, what,
		       (double)hist_percentile(h, 99.9) / 1e3);
}

// For the plot: pairs of microseconds and the share that was later, in percent.
static void print_points(const struct hist *h)
{
	uint64_t seen = 0;
	bool is_first = true;

	printf(", \"points\": [");
	for (unsigned i = 0; i < HIST_BUCKETS && seen < h->n; i++) {
		seen += h->bucket[i];
		if (h->bucket[i] == 0)
			continue;
		printf("%s[%.2f, %.6f]", is_first ? "" : ", ", (double)hist_bucket_top(i) / 1e3,
		       100.0 * (double)(h->n - seen) / (double)h->n);
		is_first = false;
	}
	printf("]");
}

static void print_latency(void)
{
	static struct hist h[HALL_KINDS];

	memset(h, 0, sizeof(h));
	for (unsigned kind = 0; kind < HALL_KINDS; kind++)
		for (unsigned i = 0; i < hall.n_workers; i++)
			hist_merge(&h[kind], &hall.queue[i].latency[kind]);
	print_percentiles("voice", &h[HALL_VOICE]);
	print_percentiles("voice_own", &hall.queue[0].own);
	print_percentiles("screen", &h[HALL_SCREEN]);
	if (strncmp(shape->name, "latency", 7) == 0)
		print_points(&hall.queue[0].own);
}

static double stolen_percent(void)
{
	uint64_t stolen = 0, all = 0;

	for (unsigned i = 0; i < hall.n_workers; i++) {
		stolen += hall.queue[i].stolen;
		all += hall.queue[i].looked - hall.queue[i].began;
	}
	return 100.0 * (double)stolen / (double)all;
}

// What came in and who was to get it, what went out.
static void print_packets(void)
{
	uint64_t in[HALL_KINDS] = {}, out[HALL_KINDS] = {};

	for (unsigned i = 0; i < hall.n_workers; i++)
		for (unsigned kind = 0; kind < HALL_KINDS; kind++) {
			in[kind] += hall.queue[i].n_in[kind];
			out[kind] += hall.queue[i].n_out[kind];
		}
	// Who has keys and no path yet misses what is sent meanwhile: nothing that was due to anybody is lost by it.
	printf(", \"sent\": %lu, \"dropped\": %lu", out[HALL_VOICE] + out[HALL_SCREEN],
	       drops() - since_begin.dropped - (before_path() - since_begin.before_path));
	if (shape->joins_per_s > 0)
		printf(", \"before_their_path\": %lu", before_path() - since_begin.before_path);
	else
		printf(", \"missing_voice\": %ld, \"missing_screen\": %ld",
		       (long)(in[HALL_VOICE] * (shape->people - 1) - out[HALL_VOICE]),
		       (long)(in[HALL_SCREEN] * (shape->people - 1) - out[HALL_SCREEN]));
	printf(", \"kpps\": %.0f", (double)(out[HALL_VOICE] + out[HALL_SCREEN]) * 1e6 / (double)RUN_NS);
}

static void run(const struct shape *s)
{
	uint64_t busy, idle;

	shape = s;
	since_begin.is_begun = false;
	begin();
	hall_run(s->screens ? WARM_NS : NS_PER_S, RUN_NS, tend);
	busy = statseg_sum(hall.dp->statseg, CTR_CYCLES_BUSY) - since_begin.busy;
	idle = statseg_sum(hall.dp->statseg, CTR_CYCLES_IDLE) - since_begin.idle;
	printf("{\"name\": \"%s\", \"workers\": %u", s->name, s->workers);
	print_packets();
	printf(", \"worker_percent\": %.1f, \"stolen_percent\": %.1f",
	       100.0 * (double)busy / (double)(busy + idle) * s->workers, stolen_percent());
	print_latency();
	printf("}\n");
	fflush(stdout);
	print_drops();
	hall_close();
}

int main(int argc, char **argv)
{
	for (unsigned i = 0; i < ARRAY_LEN(shapes); i++)
		if (argc < 2 || strstr(shapes[i].name, argv[1]))
			run(&shapes[i]);
	eal_stop();
	return 0;
}
