// TSC cycles per packet sent at 1000 receivers with a null port, all in: mbuf, header template, rewrite,
// seal, queue to the port, mbuf back. Beside it the raw AES-GCM of ipsec-mb over 1000 keys in the same run,
// so that the difference is what we add. One JSON row each on stdout.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "dataplane/dp.h"
#include "dataplane/eal.h"
#include "dataplane/egress.h"
#include "dataplane/leg.h"
#include "dataplane/session.h"
#include "dataplane/worker.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/rtp.h"

// A sample is one packet to all receivers: too short to be interrupted often.
enum { RECEIVERS = 1000, REPEATS = 401, ROUNDS = 1 };

static const enum seal_profile profiles[] = {SEAL_AEAD_AES_128_GCM, SEAL_AEAD_AES_256_GCM,
					     SEAL_AES128_CM_SHA1_80};
static const uint16_t lengths[] = {100, 1200};

// --- a port that swallows -------------------------------------------------------------------------------

static unsigned null_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	return 0;
}
static void null_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
		    unsigned n)
{
	p->stats[queue].tx_packets += n;
	rte_pktmbuf_free_bulk(pkts, n);
}
static void null_close(struct port *p)
{
}
static const struct port_ops null_ops = {.name = "null", .rx = null_rx, .tx = null_tx, .close = null_close};
static struct port null_port = {.ops = &null_ops};

// --- figures --------------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// "min" and "max" are the 5th and 95th percentile.
static double row(const char *what, enum seal_profile profile, unsigned len, double *cycles)
{
	qsort(cycles, REPEATS, sizeof(*cycles), by_value);
	printf("{\"name\": \"fanout %s %s %u B, %d receivers\", \"cycles_per_packet\": %.0f, \"min\": %.0f, "
	       "\"max\": "
	       "%.0f}\n",
	       what, seal_profile_name(profile), len, RECEIVERS, cycles[REPEATS / 2], cycles[REPEATS / 20],
	       cycles[REPEATS - 1 - REPEATS / 20]);
	fflush(stdout);
	return cycles[REPEATS / 2];
}

static void *alloc64(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) / 64 * 64);

	if (p == NULL)
		die(EXIT_OS, "out of memory");
	return memset(p, 0, (size + 63) / 64 * 64);
}

// --- the dataplane's way --------------------------------------------------------------------------------

static struct receiver receiver[RECEIVERS];

static void make_receivers(struct worker *w, enum seal_profile profile)
{
	uint8_t key[32], salt[16];

	for (unsigned i = 0; i < RECEIVERS; i++) {
		struct session *s = alloc64(sizeof(*s));
		struct leg *leg = alloc64(sizeof(*leg));
		struct seal_key *k = alloc64(seal_key_size(w->seal));

		rand_bytes(key, sizeof(key));
		rand_bytes(salt, sizeof(salt));
		if (seal_key_init(w->seal, k, profile, key, salt) < 0)
			die(EXIT_SOFTWARE, "key");
		s->sid = 0x01000000 + i;
		s->tx_key = k;
		s->rtp_tag = (uint8_t)seal_rtp_tag_len(profile);
		s->send = SEND_FREE;
		s->rtcp_armed = true;
		s->ext[EXT_LEVEL] = 1;
		leg->session = s;
		leg->ssrc = rand_u32();
		leg->pt = 111;
		leg->codec = CODEC_OPUS;
		receiver[i] = (struct receiver){leg, s};
	}
}

static void free_receivers(void)
{
	for (unsigned i = 0; i < RECEIVERS; i++) {
		free((void *)(uintptr_t)receiver[i].session->tx_key);
		free(receiver[i].session);
		free(receiver[i].leg);
	}
}

static struct rte_mbuf *make_packet(struct worker *w, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->dp->rx_pool);
	struct pkt *pkt = pkt_of(m);

	memset(pkt, 0, sizeof(*pkt));
	pkt->hdr_len = RTP_HDR_LEN + 8;
	pkt->codec = CODEC_OPUS;
	pkt->has_level = 1;
	pkt->index = 1000;
	memset(rte_pktmbuf_append(m, pkt->hdr_len + len), 0x5a, pkt->hdr_len + len);
	return m;
}

static double measure(struct worker *w, enum seal_profile profile, uint16_t len)
{
	struct rte_mbuf *m = make_packet(w, len);
	double cycles[REPEATS];

	make_receivers(w, profile);
	for (int r = -1; r < REPEATS; r++) { // the first one warms up
		uint64_t sent = null_port.stats[0].tx_packets, began = rte_rdtsc();
		for (unsigned i = 0; i < ROUNDS; i++) {
			pkt_of(m)->index++;
			pkt_of(m)->ts += 960;
			egress_fan(w, receiver, RECEIVERS, m);
		}
		if (r >= 0)
			cycles[r] = (double)(rte_rdtsc() - began) /
				    (double)(null_port.stats[0].tx_packets - sent);
	}
	rte_pktmbuf_free(m);
	free_receivers();
	return row("all in", profile, len, cycles);
}

// --- the cipher alone -------------------------------------------------------------------------------------

// Keys aligned to lines and the nonce left alone: the best the library can do in this place.
#define RAW_KEY 1024 // bytes from key to key

static double measure_raw(enum seal_profile profile, uint16_t len)
{
	IMB_MGR *mgr = alloc_mb_mgr(0);
	uint8_t *keys = alloc64(RECEIVERS * RAW_KEY);
	uint8_t in[1500] = {}, iv[12] = {}, aad[20] = {}, key[32];
	uint8_t *out = alloc64(RECEIVERS * 2048);
	struct gcm_context_data ctx;
	double cycles[REPEATS];
	bool is_256 = profile == SEAL_AEAD_AES_256_GCM;

	init_mb_mgr_auto(mgr, NULL);
	for (unsigned i = 0; i < RECEIVERS; i++) {
		rand_bytes(key, sizeof(key));
		if (is_256)
			IMB_AES256_GCM_PRE(mgr, key, (void *)(keys + i * RAW_KEY));
		else
			IMB_AES128_GCM_PRE(mgr, key, (void *)(keys + i * RAW_KEY));
	}
	for (int r = -1; r < REPEATS; r++) {
		uint64_t began = rte_rdtsc();
		for (unsigned n = 0; n < ROUNDS; n++)
			for (unsigned i = 0; i < RECEIVERS; i++) {
				uint8_t *to = out + i * 2048;
				const struct gcm_key_data *k = (const void *)(keys + i * RAW_KEY);
				if (is_256)
					IMB_AES256_GCM_ENC(mgr, k, &ctx, to, in, len, iv, aad, 20, to + len,
							   16);
				else
					IMB_AES128_GCM_ENC(mgr, k, &ctx, to, in, len, iv, aad, 20, to + len,
							   16);
			}
		if (r >= 0)
			cycles[r] = (double)(rte_rdtsc() - began) / (ROUNDS * RECEIVERS);
	}
	free(keys);
	free(out);
	free_mb_mgr(mgr);
	return row("raw cipher", profile, len, cycles);
}

int main(void)
{
	struct conf conf;
	struct conf_error conf_error;
	char error[512];
	struct eal_plan plan;
	struct dp *dp;

	if (conf_load(&conf, NULL, &conf_error) < 0)
		die(EXIT_CONFIG, "%s", conf_error.text);
	conf.rtc.port_tcp = 0;
	conf.rtc.port_udp = 0; // any free one: nothing is sent there
	conf.dataplane.max_sessions = 2 * RECEIVERS;
	plan = eal_plan(&conf);
	if (eal_start(&conf, &plan, error, sizeof(error)) < 0 ||
	    (dp = dp_open(&conf, &plan, error, sizeof(error))) == NULL)
		die(EXIT_UNAVAILABLE, "%s", error);
	dp->port[0]->ops->close(dp->port[0]);
	dp->port[0] = &null_port;
	for (unsigned i = 0; i < ARRAY_LEN(profiles); i++)
		for (unsigned k = 0; k < ARRAY_LEN(lengths); k++) {
			double all = measure(dp->worker[0], profiles[i], lengths[k]);
			if (profiles[i] == SEAL_AES128_CM_SHA1_80)
				continue; // its raw figure is in seal.c
			double raw = measure_raw(profiles[i], lengths[k]);
			printf("{\"name\": \"fanout added to the cipher, %s %u B\", \"cycles_per_packet\": "
			       "%.0f}\n",
			       seal_profile_name(profiles[i]), lengths[k], all - raw);
		}
	dp_close(dp);
	eal_stop();
	conf_fini(&conf);
	return 0;
}
