// TSC cycles per packet sent by one worker, all in: buffer, header, rewrite, seal, network headers, port. Beside it
// the raw cipher of the same run (cipher.h): runs of both alternate, so that what disturbs the one disturbs the other.
// One JSON row each on stdout; those with "case" are what bench puts on top of summary.json.
//
//   perf-fanout              everything
//   perf-fanout count CASE   send COUNT_ROUNDS packets to COUNT_RECEIVERS receivers by code that every x86-64 with
//                            AVX2 runs alike: for an instruction counter (tests/perf/instructions)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/core/session.h"
#include "dataplane/deliver/viewer_priv.h"
#include "dataplane/media/bwe.h"
#include "tests/perf/support/bed.h"
#include "tests/perf/support/cipher.h"
#include "tests/perf/support/perf.h"
#include "tests/perf/support/stages.h"

enum {
	RECEIVERS = 1000,
	BLOCKS = 41,      // of RUNS of the one and RUNS of the other
	RUNS = 9,         // each sends one packet to all: too short to be interrupted often
	CARD_RING = 1024, // buffers on their way out at any time
	COLD_RING = 3 * 1024,
	COUNT_RECEIVERS = 256,
	COUNT_ROUNDS = 16,
};

static const struct bench_case cases[] = {
	{"voice_gcm128", SEAL_AEAD_AES_128_GCM, 100, false, 1},
	{"video_gcm128", SEAL_AEAD_AES_128_GCM, 1200, true, 1},
	{"voice_gcm256", SEAL_AEAD_AES_256_GCM, 100, false, 1},
	{"video_gcm256", SEAL_AEAD_AES_256_GCM, 1200, true, 1},
	{"voice_cm80", SEAL_AES128_CM_SHA1_80, 100, false, 1},
	{"video_cm80", SEAL_AES128_CM_SHA1_80, 1200, true, 1},
};
// Packets of a frame that come at once are served at once, and as much as a voice of this size would be pushed.
static const struct bench_case frames[] = {
	{"video_gcm128_frames_of_4", SEAL_AEAD_AES_128_GCM, 1200, true, 4},
	{"video_gcm128_frames_of_9", SEAL_AEAD_AES_128_GCM, 1200, true, 9},
	{"pushed_gcm128", SEAL_AEAD_AES_128_GCM, 1200, false, 1},
};

// --- figures --------------------------------------------------------------------------------------------

struct figures {
	struct samples all, raw, added;
};

// Cycles per packet of a sample.
static double sample_all(struct bed *b)
{
	uint64_t began = rte_rdtsc(), sent = bed_send(b), took = rte_rdtsc() - began;

	if (sent != (uint64_t)b->n * b->is->burst)
		die(EXIT_SOFTWARE, "%s: %lu packets instead of %u", b->is->name, sent, b->n * b->is->burst);
	bed_wait(b);
	return (double)took / (double)sent;
}

static double sample_raw(struct cipher *raw, const struct bed *b)
{
	uint64_t began = rte_rdtsc();

	cipher_seal(raw, b->is->len);
	return (double)(rte_rdtsc() - began) / b->n;
}

// One block: the first run of each is not counted, it fetches what the other has displaced.
static void run_block(struct bed *b, struct cipher *raw, struct figures *f)
{
	struct samples all = {}, alone = {};

	(void)sample_raw(raw, b);
	for (unsigned i = 0; i < RUNS; i++)
		samples_add(&alone, sample_raw(raw, b));
	(void)sample_all(b);
	for (unsigned i = 0; i < RUNS; i++)
		samples_add(&all, sample_all(b));
	samples_add(&f->all, samples_at(&all, 0.5));
	samples_add(&f->raw, samples_at(&alone, 0.5));
	samples_add(&f->added, samples_at(&all, 0.5) - samples_at(&alone, 0.5));
}

static void measure(struct bed *b, const struct bench_case *c, unsigned n, const char *what,
		    const char *label)
{
	static struct figures f;
	struct cipher *raw;
	double cycles;

	memset(&f, 0, sizeof(f));
	bed_fill(b, c, n);
	bed_settle(b);
	raw = cipher_new(c->profile, n, b->dp->tx_pool, b->card.n_ring);
	for (unsigned i = 0; i < BLOCKS; i++)
		run_block(b, raw, &f);
	cipher_free(raw);
	bed_empty(b);
	printf("{\"name\": \"%s\", \"%s\": \"%s\", \"receivers\": %u, \"payload\": %u, ", what, label,
	       c->name, n, c->len);
	cycles = samples_print(&f.all, "cycles_per_packet");
	printf(", ");
	samples_print(&f.raw, "raw_cycles");
	printf(", ");
	samples_print(&f.added, "overhead_cycles");
	double pps = (double)rte_get_tsc_hz() / cycles;
	printf(", \"mpps_per_core\": %.2f, \"gbit_per_core\": %.1f}\n", pps / 1e6,
	       pps * 8 * (42 + CIPHER_HDR + c->len + (double)seal_rtp_tag_len(c->profile)) / 1e9);
	fflush(stdout);
}

// What the dataplane keeps of a session that hears two voices and watches a screen, without packet buffers.
static void print_memory(struct bed *b)
{
	size_t key = seal_key_size(b->w->seal), video = sizeof(struct bwe) + sizeof(struct viewer);
	size_t sum = sizeof(struct session) + 2 * key + 3 * sizeof(struct leg) + video;

	printf("{\"name\": \"memory\", \"session_bytes\": %zu, \"leg_bytes\": %zu, \"key_bytes\": %zu, "
	       "\"estimator_bytes\": %zu, \"viewer_bytes\": %zu, \"kib_with_two_voices_and_a_screen\": %.1f, "
	       "\"buffer_bytes\": %u}\n",
	       sizeof(struct session), sizeof(struct leg), key, sizeof(struct bwe), sizeof(struct viewer),
	       (double)sum / 1024, b->dp->tx_pool->elt_size + b->dp->tx_pool->header_size);
}

static void all_figures(struct bed *b)
{
	static const unsigned sizes[] = {10, 50, 100, 200, 500, 2000, 5000};

	bed_card(b, CARD_RING);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		measure(b, &cases[i], RECEIVERS, "one worker, 1000 receivers", "case");
	for (unsigned i = 0; i < ARRAY_LEN(frames); i++)
		measure(b, &frames[i], RECEIVERS, "one worker, 1000 receivers", "case");
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		if (!cases[i].is_video) {
			bed_fill(b, &cases[i], RECEIVERS);
			stages_print(b);
			bed_empty(b);
		}
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		measure(b, &cases[0], sizes[i], "by receivers", "scaling");
		measure(b, &cases[1], sizes[i], "by receivers", "scaling");
	}
	bed_card(b, COLD_RING);
	for (unsigned i = 0; i < 2; i++)
		measure(b, &cases[i], RECEIVERS, "buffers colder than the caches", "cold");
	bed_card(b, 64);
	for (unsigned i = 0; i < 2; i++)
		measure(b, &cases[i], RECEIVERS, "buffers given back at once", "hot");
	print_memory(b);
}

// What the instruction counter looks at, by this name.
[[gnu::noipa]] static uint64_t count_rounds(struct bed *b)
{
	uint64_t sent = 0;

	for (unsigned i = 0; i < COUNT_ROUNDS; i++) {
		sent += bed_send(b);
		bed_wait(b);
	}
	return sent;
}

static void count_case(struct bed *b, const char *name)
{
	const struct bench_case *c = NULL;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		if (strcmp(cases[i].name, name) == 0)
			c = &cases[i];
	if (c == NULL)
		die(EXIT_USAGE, "no such case: %s", name);
	seal_engine_free(b->w->seal);
	b->w->seal = seal_engine_new("ipsec-mb/avx2");
	if (b->w->seal == NULL)
		die(EXIT_UNAVAILABLE, "this CPU has no AVX2");
	bed_card(b, CARD_RING);
	bed_fill(b, c, COUNT_RECEIVERS);
	bed_settle(b);
	printf("%lu\n", count_rounds(b));
	bed_empty(b);
}

int main(int argc, char **argv)
{
	static struct bed bed;

	bed_open(&bed);
	if (argc == 3 && strcmp(argv[1], "count") == 0)
		count_case(&bed, argv[2]);
	else if (argc == 1)
		all_figures(&bed);
	else
		die(EXIT_USAGE, "perf-fanout [count CASE]");
	bed_close(&bed);
	return 0;
}
