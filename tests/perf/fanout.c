// TSC cycles per packet sent by one worker, all in: buffer, header, rewrite, seal, network headers, port. Beside it
// the raw cipher of the same run (raw.h): runs of both alternate, so that what disturbs the one disturbs the other.
// One JSON row each on stdout; those with "case" are what bench puts on top of summary.json.
//
//   perf-fanout              everything
//   perf-fanout count CASE   send COUNT_ROUNDS packets to COUNT_RECEIVERS receivers by code that every x86-64 with
//                            AVX2 runs alike: for an instruction counter (tests/perf/instructions)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/dp.h"
#include "dataplane/eal.h"
#include "dataplane/egress.h"
#include "dataplane/keyring.h"
#include "dataplane/leg.h"
#include "dataplane/session.h"
#include "dataplane/worker.h"
#include "lib/base/rand.h"
#include "lib/rtc/rtp.h"
#include "tests/perf/raw.h"

enum {
	RECEIVERS = 1000,
	BLOCKS = 41,      // of RUNS of the one and RUNS of the other
	RUNS = 9,         // each sends one packet to all: too short to be interrupted often
	CARD_RING = 1024, // buffers on their way out at any time
	COLD_RING = 3 * 1024,
	COUNT_RECEIVERS = 256,
	COUNT_ROUNDS = 16,
};

static const struct bench_case {
	const char *name;
	enum seal_profile profile;
	uint16_t len; // payload bytes
} cases[] = {
	{"voice_gcm128", SEAL_AEAD_AES_128_GCM, 100}, {"video_gcm128", SEAL_AEAD_AES_128_GCM, 1200},
	{"voice_gcm256", SEAL_AEAD_AES_256_GCM, 100}, {"video_gcm256", SEAL_AEAD_AES_256_GCM, 1200},
	{"voice_cm80", SEAL_AES128_CM_SHA1_80, 100},  {"video_cm80", SEAL_AES128_CM_SHA1_80, 1200},
};

// --- the dataplane's way --------------------------------------------------------------------------------

struct bed {
	struct conf conf;
	struct dp *dp;
	struct worker *w;
	struct port *kernel; // what dp opened, put back for its close
	struct card card;
	struct keyring *keys;
	unsigned n;
	struct receiver *to;
	struct rte_mbuf *m; // the packet that all receive
};

static void add_receiver(struct bed *b, unsigned i, enum seal_profile profile)
{
	struct session *s = perf_alloc(sizeof(*s));
	struct leg *leg = perf_alloc(sizeof(*leg));
	uint8_t key[32], salt[16];

	rand_bytes(key, sizeof(key));
	rand_bytes(salt, sizeof(salt));
	s->tx_key = keyring_get(b->keys, (uint16_t)profile, key, salt);
	if (s->tx_key == NULL)
		die(EXIT_SOFTWARE, "key");
	s->sid = 0x01000000 + i;
	s->rtp_tag = (uint8_t)seal_rtp_tag_len(profile);
	s->send = SEND_FREE;
	s->rtcp_armed = true;
	s->ext[EXT_LEVEL] = 1;
	card_path(&s->path, i, b->m);
	leg->session = s;
	leg->ssrc = 0x20000000 + i;
	leg->pt = 111;
	leg->codec = CODEC_OPUS;
	b->to[i] = (struct receiver){leg, s};
}

static void add_receivers(struct bed *b, unsigned n, enum seal_profile profile)
{
	b->n = n;
	b->to = perf_alloc(n * sizeof(b->to[0]));
	b->keys = keyring_new(b->w->seal);
	for (unsigned i = 0; i < n; i++)
		add_receiver(b, i, profile);
}

static void drop_receivers(struct bed *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		keyring_put(b->keys, (struct seal_key *)(uintptr_t)b->to[i].session->tx_key);
		free(b->to[i].session);
		free(b->to[i].leg);
	}
	free(b->to);
	keyring_free(b->keys);
}

static void set_packet(struct bed *b, uint16_t len)
{
	struct pkt *pkt = pkt_of(b->m);

	rte_pktmbuf_reset(b->m);
	memset(pkt, 0, sizeof(*pkt));
	pkt->hdr_len = RTP_HDR_LEN + 8;
	pkt->codec = CODEC_OPUS;
	pkt->has_level = 1;
	pkt->index = 1000;
	memset(rte_pktmbuf_append(b->m, pkt->hdr_len + len), 0x5a, pkt->hdr_len + len);
}

static void fan(struct bed *b)
{
	pkt_of(b->m)->index++;
	pkt_of(b->m)->ts += 960;
	uint64_t sent = b->card.port.stats[0].tx_packets;
	egress_fan(b->w, b->to, b->n, b->m, pkt_of(b->m)->index);
	worker_send_queued(b->w);
	if (b->card.port.stats[0].tx_packets - sent != b->n)
		die(EXIT_SOFTWARE, "a packet was dropped");
}

static void bed_open(struct bed *b)
{
	struct conf_error conf_error;
	struct eal_plan plan;
	char error[512];

	if (conf_load(&b->conf, NULL, &conf_error) < 0)
		die(EXIT_CONFIG, "%s", conf_error.text);
	b->conf.rtc.port_tcp = 0;
	b->conf.rtc.port_udp = 0; // any free one: nothing is sent there
	b->conf.dataplane.main_core = perf_core();
	plan = eal_plan(&b->conf);
	plan.n_workers = 1;
	if (eal_start(&b->conf, &plan, error, sizeof(error)) < 0 ||
	    (b->dp = dp_open(&b->conf, &plan, error, sizeof(error))) == NULL)
		die(EXIT_UNAVAILABLE, "%s", error);
	b->w = b->dp->worker[0];
	b->kernel = b->dp->port[0];
	b->m = rte_pktmbuf_alloc(b->dp->rx_pool);
}

static void bed_card(struct bed *b, unsigned n_ring)
{
	if (b->dp->port[0] == &b->card.port)
		card_fini(&b->card);
	card_init(&b->card, n_ring);
	b->dp->port[0] = &b->card.port;
}

static void bed_close(struct bed *b)
{
	card_fini(&b->card);
	rte_pktmbuf_free(b->m);
	b->dp->port[0] = b->kernel;
	dp_close(b->dp);
	eal_stop();
	conf_fini(&b->conf);
}

// --- figures --------------------------------------------------------------------------------------------

struct figures {
	struct samples all, raw, added;
};

// One block: the first run of each is not counted, it fetches what the other has displaced.
static void run_block(struct bed *b, struct raw *raw, uint16_t len, struct figures *f)
{
	struct samples all = {}, alone = {};
	uint64_t began;

	for (unsigned i = 0; i <= RUNS; i++) {
		began = rte_rdtsc();
		raw_seal(raw, len);
		if (i > 0)
			samples_add(&alone, (double)(rte_rdtsc() - began) / b->n);
	}
	for (unsigned i = 0; i <= RUNS; i++) {
		began = rte_rdtsc();
		fan(b);
		if (i > 0)
			samples_add(&all, (double)(rte_rdtsc() - began) / b->n);
	}
	samples_add(&f->all, samples_at(&all, 0.5));
	samples_add(&f->raw, samples_at(&alone, 0.5));
	samples_add(&f->added, samples_at(&all, 0.5) - samples_at(&alone, 0.5));
}

static void measure(struct bed *b, const struct bench_case *c, unsigned n, const char *what,
		    const char *label)
{
	static struct figures f;
	struct raw *raw;
	double cycles;

	memset(&f, 0, sizeof(f));
	add_receivers(b, n, c->profile);
	set_packet(b, c->len);
	raw = raw_new(c->profile, n, b->dp->tx_pool, b->card.n_ring);
	for (unsigned i = 0; i < BLOCKS; i++)
		run_block(b, raw, c->len, &f);
	raw_free(raw);
	drop_receivers(b);
	printf("{\"name\": \"%s\", \"%s\": \"%s\", \"receivers\": %u, \"payload\": %u, ", what, label,
	       c->name, n, c->len);
	cycles = samples_print(&f.all, "cycles_per_packet");
	printf(", ");
	samples_print(&f.raw, "raw_cycles");
	printf(", ");
	samples_print(&f.added, "overhead_cycles");
	double pps = (double)rte_get_tsc_hz() / cycles;
	printf(", \"mpps_per_core\": %.2f, \"gbit_per_core\": %.1f}\n", pps / 1e6,
	       pps * 8 * (42 + RAW_HDR + c->len + (double)seal_rtp_tag_len(c->profile)) / 1e9);
	fflush(stdout);
}

static void all_figures(struct bed *b)
{
	static const unsigned sizes[] = {10, 50, 100, 200, 500, 2000, 5000};

	bed_card(b, CARD_RING);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		measure(b, &cases[i], RECEIVERS, "one worker, 1000 receivers", "case");
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
	printf("{\"name\": \"memory\", \"session_bytes\": %zu, \"leg_bytes\": %zu, \"key_bytes\": %zu, "
	       "\"buffer_bytes\": %u}\n",
	       sizeof(struct session), sizeof(struct leg), seal_key_size(b->w->seal),
	       b->dp->tx_pool->elt_size + b->dp->tx_pool->header_size);
}

// For the instruction counter: COUNT_ROUNDS * COUNT_RECEIVERS packets inside of egress_fan.
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
	add_receivers(b, COUNT_RECEIVERS, c->profile);
	set_packet(b, c->len);
	for (unsigned i = 0; i < COUNT_ROUNDS; i++)
		fan(b);
	drop_receivers(b);
	printf("%d\n", COUNT_ROUNDS * COUNT_RECEIVERS);
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
