// TSC cycles per SRTP packet at 1000 keys, into a pool of buffers larger than the L2 cache: the raw cipher of
// ipsec-mb both ways, then seal_rtp_protect with everything around it (header written, job filled, keys prefetched), then
// seal_rtp_unprotect of packets that were just sealed, and libsrtp2 for comparison. One JSON row each on stdout.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal.h"

#include <intel-ipsec-mb.h>
#include <x86intrin.h>

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEYS = 1000,
	BURST = 32,
	BUFFERS = 16384, // of BUFFER bytes: 32 MiB
	BUFFER = 2048,
	HDR = 12,
	SAMPLES = 401,
	PACKETS = 1024,    // of a sample: all keys once, and too short to be interrupted often
	PACKETS_SLOW = 64, // the same for libsrtp2
};

static const enum seal_profile profiles[] = {SEAL_AEAD_AES_128_GCM, SEAL_AEAD_AES_256_GCM,
					     SEAL_AES128_CM_SHA1_80};
static const uint16_t lengths[] = {100, 1200};

static uint8_t *pool;           // BUFFERS * BUFFER
static uint8_t payload[BUFFER]; // the one plaintext that is sent to all

static unsigned next_buffer; // samples go on where the one before ended

static uint8_t *buffer(unsigned i)
{
	i += next_buffer;
	return pool + (size_t)(i % BUFFERS) * BUFFER;
}

static void *alloc64(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!p)
		die(EXIT_OS, "out of memory");
	memset(p, 0, size);
	return p;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// Run work SAMPLES times over n packets each, after one run that is not counted; prepare, where there is one, before each
// of them, uncounted. "min" and "max" are the 5th and 95th percentile.
static void measure(const char *what, enum seal_profile profile, uint16_t len, unsigned n,
		    void (*prepare)(void *, unsigned n), void (*work)(void *, unsigned n), void *arg)
{
	static double cycles[SAMPLES];

	for (int r = -1; r < SAMPLES; r++) {
		if (prepare)
			prepare(arg, n);
		uint64_t begin = __rdtsc();
		work(arg, n);
		next_buffer += n;
		if (r >= 0)
			cycles[r] = (double)(__rdtsc() - begin) / n;
	}
	qsort(cycles, SAMPLES, sizeof(cycles[0]), by_value);
	printf("{\"name\": \"seal %s %s %u B\", \"cycles_per_packet\": %.0f, \"min\": %.0f, \"max\": %.0f}\n",
	       what, seal_profile_name(profile), len, cycles[SAMPLES / 2], cycles[SAMPLES / 20],
	       cycles[SAMPLES - 1 - SAMPLES / 20]);
	fflush(stdout);
}

// --- ipsec-mb alone ----------------------------------------------------------------------------
struct raw_cm_key {
	alignas(64) uint8_t round_keys[15 * 16];
	uint8_t inner[20], outer[20];
};

struct raw {
	IMB_MGR *mgr;
	enum seal_profile profile;
	uint16_t len;
	struct gcm_context_data ctx;
	uint8_t *gcm_keys; // KEYS * 1024
	struct raw_cm_key *cm_keys;
	IMB_JOB jobs[BURST];
	uint8_t tag[BURST][20], iv[BURST][16], hdr[HDR];
	uint8_t (*in)[BUFFER]; // what is opened, of each key
};

static void raw_gcm(void *arg, unsigned n)
{
	struct raw *r = arg;
	aes_gcm_enc_dec_t enc = r->profile == SEAL_AEAD_AES_256_GCM ? r->mgr->gcm256_enc : r->mgr->gcm128_enc;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *dst = buffer(i) + HDR;
		enc((const void *)(r->gcm_keys + (size_t)(i % KEYS) * 1024), &r->ctx, dst, payload, r->len,
		    r->iv[0], r->hdr, HDR, dst + r->len, 16);
	}
}

static void raw_gcm_open(void *arg, unsigned n)
{
	struct raw *r = arg;
	aes_gcm_enc_dec_t dec = r->profile == SEAL_AEAD_AES_256_GCM ? r->mgr->gcm256_dec : r->mgr->gcm128_dec;

	for (unsigned i = 0; i < n; i++)
		dec((const void *)(r->gcm_keys + (size_t)(i % KEYS) * 1024), &r->ctx, buffer(i),
		    r->in[i % KEYS] + HDR, r->len, r->iv[0], r->in[i % KEYS], HDR, r->tag[0], 16);
}

static void raw_cm_fill(struct raw *r, unsigned i, unsigned slot)
{
	const struct raw_cm_key *key = &r->cm_keys[i % KEYS];
	IMB_JOB *j = &r->jobs[slot];

	j->enc_keys = key->round_keys;
	j->key_len_in_bytes = 16;
	j->iv = r->iv[slot];
	j->iv_len_in_bytes = 16;
	j->src = payload;
	j->dst = buffer(i) + HDR;
	j->msg_len_to_cipher_in_bytes = r->len;
	j->u.HMAC._hashed_auth_key_xor_ipad = key->inner;
	j->u.HMAC._hashed_auth_key_xor_opad = key->outer;
	j->msg_len_to_hash_in_bytes = HDR + r->len + 4u;
	j->auth_tag_output = r->tag[slot];
	j->auth_tag_output_len_in_bytes = 20;
	j->hash_alg = IMB_AUTH_HMAC_SHA_1;
	j->cipher_mode = IMB_CIPHER_CNTR;
}

static void raw_cm(void *arg, unsigned n)
{
	struct raw *r = arg;

	for (unsigned i = 0; i < n; i += BURST) {
		for (unsigned k = 0; k < BURST; k++)
			raw_cm_fill(r, i + k, k);
		IMB_SUBMIT_CIPHER_BURST_NOCHECK(r->mgr, r->jobs, BURST, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
						IMB_KEY_128_BYTES);
		for (unsigned k = 0; k < BURST; k++)
			r->jobs[k].src = r->jobs[k].dst - HDR;
		IMB_SUBMIT_HASH_BURST_NOCHECK(r->mgr, r->jobs, BURST, IMB_AUTH_HMAC_SHA_1);
	}
}

static void raw_cm_open(void *arg, unsigned n)
{
	struct raw *r = arg;

	for (unsigned i = 0; i < n; i += BURST) {
		for (unsigned k = 0; k < BURST; k++) {
			raw_cm_fill(r, i + k, k);
			r->jobs[k].src = r->in[(i + k) % KEYS];
		}
		IMB_SUBMIT_HASH_BURST_NOCHECK(r->mgr, r->jobs, BURST, IMB_AUTH_HMAC_SHA_1);
		for (unsigned k = 0; k < BURST; k++)
			r->jobs[k].src = r->in[(i + k) % KEYS] + HDR;
		IMB_SUBMIT_CIPHER_BURST_NOCHECK(r->mgr, r->jobs, BURST, IMB_CIPHER_CNTR, IMB_DIR_DECRYPT,
						IMB_KEY_128_BYTES);
	}
}

static void raw_keys(struct raw *r)
{
	for (unsigned i = 0; i < KEYS; i++) {
		uint8_t key[32] = {(uint8_t)i, (uint8_t)(i >> 8)}, block[64], dec[15 * 16];
		struct gcm_key_data *gcm = (void *)(r->gcm_keys + (size_t)i * 1024);
		if (r->profile == SEAL_AEAD_AES_256_GCM)
			IMB_AES256_GCM_PRE(r->mgr, key, gcm);
		else
			IMB_AES128_GCM_PRE(r->mgr, key, gcm);
		IMB_AES_KEYEXP_128(r->mgr, key, r->cm_keys[i].round_keys, dec);
		memset(block, (int)i, sizeof(block));
		IMB_SHA1_ONE_BLOCK(r->mgr, block, r->cm_keys[i].inner);
		IMB_SHA1_ONE_BLOCK(r->mgr, block, r->cm_keys[i].outer);
	}
}

static void bench_raw(void)
{
	struct raw *r = alloc64(sizeof(*r));
	IMB_ARCH arch;

	r->mgr = alloc_mb_mgr(0);
	if (!r->mgr)
		die(EXIT_UNAVAILABLE, "ipsec-mb does not run on this CPU");
	init_mb_mgr_auto(r->mgr, &arch);
	r->gcm_keys = alloc64((size_t)KEYS * 1024);
	r->cm_keys = alloc64(KEYS * sizeof(r->cm_keys[0]));
	r->in = alloc64((size_t)KEYS * BUFFER);
	for (size_t p = 0; p < ARRAY_LEN(profiles); p++) {
		r->profile = profiles[p];
		raw_keys(r);
		for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
			r->len = lengths[l];
			bool is_cm = r->profile == SEAL_AES128_CM_SHA1_80;
			measure("raw cipher", r->profile, r->len, PACKETS, NULL, is_cm ? raw_cm : raw_gcm, r);
			measure("raw open", r->profile, r->len, PACKETS, NULL,
				is_cm ? raw_cm_open : raw_gcm_open, r);
		}
	}
	free(r->gcm_keys);
	free(r->in);
	free(r->cm_keys);
	free_mb_mgr(r->mgr);
	free(r);
}

// --- lib/seal ----------------------------------------------------------------------------------
struct all_in {
	struct seal_engine *engine;
	enum seal_profile profile;
	uint16_t len;
	uint8_t *keys; // KEYS * seal_key_size
	uint64_t index;
	struct seal_rtp jobs[BURST];
	uint8_t (*sealed)[BUFFER]; // one sealed packet of each key, for unprotect
};

static struct seal_key *key_at(const struct all_in *a, unsigned i)
{
	return (void *)(a->keys + (size_t)(i % KEYS) * seal_key_size(a->engine));
}

// What is done for each receiver of a packet, but for the network headers.
static void fill_protect(struct all_in *a, unsigned i, struct seal_rtp *job)
{
	static const uint8_t template[HDR] = {0x80, 111};
	uint8_t *hdr = buffer(i);

	memcpy(hdr, template, HDR);
	be16_put(hdr + 2, (uint16_t)a->index);
	be32_put(hdr + 4, (uint32_t)a->index * 960);
	be32_put(hdr + 8, i);
	*job = (struct seal_rtp){key_at(a, i), hdr, payload, hdr + HDR, HDR, a->len, i, a->index, 0};
}

static void protect(void *arg, unsigned n)
{
	struct all_in *a = arg;

	for (unsigned i = 0; i < n; i += BURST) {
		unsigned burst = n - i < BURST ? n - i : BURST;
		a->index += i == 0; // about one step for all receivers
		for (unsigned k = 0; k < burst; k++)
			fill_protect(a, i + k, &a->jobs[k]);
		if (seal_rtp_protect(a->engine, a->jobs, burst) != burst)
			die(EXIT_SOFTWARE, "a packet was not sealed");
	}
}

// Packets that came in, opened to another buffer so that they can be opened again.
static void unprotect(void *arg, unsigned n)
{
	struct all_in *a = arg;
	uint16_t sealed_len = (uint16_t)(a->len + seal_rtp_tag_len(a->profile));

	for (unsigned i = 0; i < n; i += BURST) {
		unsigned burst = n - i < BURST ? n - i : BURST;
		for (unsigned k = 0; k < burst; k++) {
			uint8_t *pkt = a->sealed[(i + k) % KEYS];
			a->jobs[k] = (struct seal_rtp){key_at(a, i + k), pkt,      pkt + HDR,
						       buffer(i + k),    HDR,      sealed_len,
						       (i + k) % KEYS,   a->index, 0};
		}
		if (seal_rtp_unprotect(a->engine, a->jobs, burst) != burst)
			die(EXIT_SOFTWARE, "a packet was not opened");
	}
}

// The next packet of each key: libsrtp2 makes a stream anew for one that it has seen, which would be measured.
static void seal_one_of_each(void *arg, unsigned n)
{
	struct all_in *a = arg;

	a->index++;
	for (unsigned i = 0; i < KEYS && i < n; i++) {
		uint8_t *pkt = a->sealed[i];
		memset(pkt, 0, HDR);
		pkt[0] = 0x80;
		be16_put(pkt + 2, (uint16_t)a->index);
		be32_put(pkt + 8, i);
		struct seal_rtp job = {key_at(a, i), pkt, payload, pkt + HDR, HDR, a->len, i, a->index, 0};
		if (seal_rtp_protect(a->engine, &job, 1) != 1)
			die(EXIT_SOFTWARE, "a packet was not sealed");
	}
}

static void bench_backend(const char *backend, unsigned n_packets)
{
	struct all_in *a = alloc64(sizeof(*a));
	char what[64];

	a->engine = seal_engine_new(backend);
	if (!a->engine)
		die(EXIT_UNAVAILABLE, "%s does not run on this CPU", backend);
	a->keys = alloc64(KEYS * seal_key_size(a->engine));
	a->sealed = alloc64((size_t)KEYS * BUFFER);
	fprintf(stderr, "%s: %zu bytes a key\n", seal_engine_name(a->engine), seal_key_size(a->engine));
	for (size_t p = 0; p < ARRAY_LEN(profiles); p++) {
		a->profile = profiles[p];
		for (unsigned i = 0; i < KEYS; i++) {
			uint8_t master[32] = {(uint8_t)i, (uint8_t)(i >> 8)}, salt[14] = {1};
			if (seal_key_init(a->engine, key_at(a, i), a->profile, master, salt) < 0)
				die(EXIT_SOFTWARE, "no key");
		}
		for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
			a->len = lengths[l];
			a->index = 1;
			snprintf(what, sizeof(what), "protect, %s,", backend);
			measure(what, a->profile, a->len, n_packets, NULL, protect, a);
			snprintf(what, sizeof(what), "unprotect, %s,", backend);
			measure(what, a->profile, a->len, n_packets, seal_one_of_each, unprotect, a);
		}
		for (unsigned i = 0; i < KEYS; i++)
			seal_key_fini(key_at(a, i));
	}
	seal_engine_free(a->engine);
	free(a->keys);
	free(a->sealed);
	free(a);
}

int main(void)
{
	pool = alloc64((size_t)BUFFERS * BUFFER);
	memset(payload, 0x5a, sizeof(payload));
	bench_raw();
	bench_backend("ipsec-mb", PACKETS);
	bench_backend("libsrtp2", PACKETS_SLOW);
	free(pool);
	return 0;
}
