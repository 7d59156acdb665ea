// Both backends against each other, packet by packet, through a bad network: a sender seals every packet with
// ipsec-mb and with libsrtp2 (bytes must be equal); then packets are lost, reordered, repeated, and single
// bits flipped; a receiver that estimates indices as the dataplane does opens each with both (verdict and
// plaintext must be equal, and right).
//
// SEAL_DIFF_PACKETS (20000) is the number of packets per profile; tests/flow/seal-differential.story runs
// more than a million. SEAL_DIFF_SEED chooses another run.
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/recv/srtpidx.h"
#include "lib/seal/seal.h"
#include "tests/unit/check.h"

#include <stdlib.h>

#define N_FLOWS 8 // half of them under each of two sessions' keys
#define N_SESSIONS 2
#define MAX_PAYLOAD 1400 // bytes
#define MAX_HDR (12 + 15 * 4 + 4 + 8 * 4)
#define MAX_PKT (MAX_HDR + MAX_PAYLOAD + SEAL_MAX_TAG)
#define IN_FLIGHT 96 // packets the network holds back for reordering

struct sent {
	uint8_t plain[MAX_PKT], sealed[MAX_PKT];
	uint16_t hdr_len, len; // len: payload bytes
	unsigned flow;
	uint64_t index;
	bool is_flipped;
};

struct flow {
	uint32_t ssrc;
	uint64_t next;      // sender's index
	struct srtpidx idx; // receiver
};

struct tally {
	uint64_t n_sealed, n_opened, n_flipped, n_replays, n_lost, n_late, n_rtcp, n_misjudged;
	uint64_t n_bad; // mismatches: the test fails
};

static struct world {
	uint64_t rng;
	enum seal_profile profile;
	uint16_t tag_len;
	struct seal_engine *imb, *ref;
	struct seal_key *imb_key[N_SESSIONS], *ref_key[N_SESSIONS];
	struct flow flows[N_FLOWS];
	struct sent net[IN_FLIGHT];
	unsigned n_net;
	uint32_t rtcp_index;
	struct tally tally;
} w;

// --- helpers -----------------------------------------------------------------------------------
// splitmix64
static uint64_t rnd(void)
{
	uint64_t z = w.rng += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static unsigned below(unsigned n)
{
	return (unsigned)((rnd() >> 32) * n >> 32);
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

static void bad(const char *what, const struct sent *s)
{
	if (w.tally.n_bad++ < 5)
		check_note(__FILE__, __LINE__,
			   "%s: %s, flow %u, index 0x%" PRIx64 ", header %u, payload %u, %s",
			   seal_profile_name(w.profile), what, s->flow, s->index, s->hdr_len, s->len,
			   s->is_flipped ? "a bit flipped" : "intact");
}

static void world_open(enum seal_profile profile, const char *engine, uint64_t seed)
{
	memset(&w, 0, sizeof(w));
	w.rng = seed;
	w.profile = profile;
	w.tag_len = (uint16_t)seal_rtp_tag_len(profile);
	w.imb = seal_engine_new(engine);
	w.ref = seal_engine_new("libsrtp2");
	for (unsigned i = 0; w.imb && w.ref && i < N_SESSIONS; i++) {
		uint64_t master[4] = {rnd(), rnd(), rnd(), rnd()}, salt[2] = {rnd(), rnd()};
		w.imb_key[i] = aligned_alloc(64, seal_key_size(w.imb));
		w.ref_key[i] = aligned_alloc(64, seal_key_size(w.ref));
		CHECK_EQ(seal_key_init(w.imb, w.imb_key[i], profile, (void *)master, (void *)salt), 0);
		CHECK_EQ(seal_key_init(w.ref, w.ref_key[i], profile, (void *)master, (void *)salt), 0);
	}
	for (unsigned i = 0; i < N_FLOWS; i++) {
		w.flows[i].ssrc = (uint32_t)rnd();
		w.flows[i].next = 1 + below(0x7fff); // as a leg starts (docs/packet-path.md)
	}
}

static void world_close(void)
{
	for (unsigned i = 0; i < N_SESSIONS; i++) {
		if (w.imb_key[i])
			seal_key_fini(w.imb_key[i]);
		if (w.ref_key[i])
			seal_key_fini(w.ref_key[i]);
		free(w.imb_key[i]);
		free(w.ref_key[i]);
	}
	seal_engine_free(w.imb);
	seal_engine_free(w.ref);
}

// --- sender ------------------------------------------------------------------------------------
static void make_packet(struct sent *s)
{
	unsigned n_csrc = one_in(4) ? below(16) : 0, n_ext = one_in(2) ? below(9) : 0;
	bool has_ext = n_ext > 0 || one_in(8);

	s->flow = below(N_FLOWS);
	struct flow *f = &w.flows[s->flow];
	f->next += one_in(50) ? 1 + below(3000) : 1;
	s->index = f->next;
	s->is_flipped = false;
	s->hdr_len = (uint16_t)(12 + 4 * n_csrc + (has_ext ? 4 + 4 * n_ext : 0));
	s->len = (uint16_t)(w.tally.n_sealed % (MAX_PAYLOAD + 1)); // all lengths in turn
	for (size_t at = 0; at < (size_t)s->hdr_len + s->len; at += 8) {
		uint64_t word = rnd();
		memcpy(s->plain + at, &word, 8); // up to 7 bytes more than asked, there is room for a tag
	}
	s->plain[0] = (uint8_t)(0x80 | (has_ext ? 0x10 : 0) | n_csrc);
	be16_put(s->plain + 2, (uint16_t)s->index);
	be32_put(s->plain + 8, f->ssrc);
	if (has_ext)
		be16_put(s->plain + 12 + 4 * n_csrc + 2, (uint16_t)n_ext);
}

static struct seal_rtp job_protect(const struct sent *s, const struct seal_key *key, uint8_t *pkt,
				   bool in_place)
{
	memcpy(pkt, s->plain, in_place ? (size_t)s->hdr_len + s->len : s->hdr_len);
	return (struct seal_rtp){.key = key,
				 .hdr = pkt,
				 .src = in_place ? pkt + s->hdr_len : s->plain + s->hdr_len,
				 .dst = pkt + s->hdr_len,
				 .hdr_len = s->hdr_len,
				 .len = s->len,
				 .ssrc = w.flows[s->flow].ssrc,
				 .index = s->index,
				 .err = -1};
}

// Seal the n packets at s with both backends.
static void send_burst(struct sent *s, unsigned n)
{
	static uint8_t other[SEAL_MAX_BURST][MAX_PKT];
	struct seal_rtp imb[SEAL_MAX_BURST], ref[SEAL_MAX_BURST];

	for (unsigned i = 0; i < n; i++) {
		make_packet(&s[i]);
		w.tally.n_sealed++;
		unsigned session = s[i].flow % N_SESSIONS;
		imb[i] = job_protect(&s[i], w.imb_key[session], s[i].sealed, one_in(2));
		ref[i] = job_protect(&s[i], w.ref_key[session], other[i], one_in(2));
	}
	unsigned n_imb = seal_rtp_protect(w.imb, imb, n), n_ref = seal_rtp_protect(w.ref, ref, n);
	for (unsigned i = 0; i < n; i++) {
		size_t len = (size_t)s[i].hdr_len + s[i].len + w.tag_len;
		if (imb[i].err || ref[i].err || n_imb != n || n_ref != n)
			bad("not sealed", &s[i]);
		else if (memcmp(s[i].sealed, other[i], len) != 0)
			bad("sealed differently", &s[i]);
	}
}

// --- network -----------------------------------------------------------------------------------
static void flip_bit(struct sent *s)
{
	unsigned total = (unsigned)s->hdr_len + s->len + w.tag_len;
	unsigned from = 0, to = total;

	// Header, payload and tag equally often, whatever their sizes.
	switch (below(3)) {
	case 0:
		to = s->hdr_len;
		break;
	case 1:
		from = s->hdr_len;
		to = s->len ? total - w.tag_len : total;
		break;
	default:
		from = total - w.tag_len;
	}
	s->sealed[from + below(to - from)] ^= (uint8_t)(1 << below(8));
	s->is_flipped = true;
}

// Take one packet out of the network into *s, perhaps leaving a copy there for later. False: it was lost.
static bool net_take(struct sent *s)
{
	unsigned at = one_in(3) ? below(w.n_net) : 0; // mostly the oldest

	*s = w.net[at];
	if (!one_in(33)) {
		w.n_net--;
		memmove(&w.net[at], &w.net[at + 1], (w.n_net - at) * sizeof(w.net[0]));
	}
	if (one_in(33)) {
		w.tally.n_lost++;
		return false;
	}
	if (one_in(33))
		flip_bit(s);
	return true;
}

// --- receiver ----------------------------------------------------------------------------------
struct arrival {
	struct sent s;
	uint8_t imb_out[MAX_PKT], ref_out[MAX_PKT], ref_in[MAX_PKT];
	uint64_t index;    // as estimated
	struct flow *flow; // NULL: unknown SSRC
	bool is_replay;
};

static struct flow *flow_of(uint32_t ssrc)
{
	for (unsigned i = 0; i < N_FLOWS; i++)
		if (w.flows[i].ssrc == ssrc)
			return &w.flows[i];
	return NULL;
}

// Parse and estimate as the dataplane does; false when the packet would be dropped before the cipher.
static bool arrive(struct arrival *a, struct rtp_view *view)
{
	static const struct srtpidx none;
	size_t total = (size_t)a->s.hdr_len + a->s.len + w.tag_len;

	if (rtp_parse(a->s.sealed, total, w.tag_len, view) < 0)
		return false;
	a->flow = flow_of(view->ssrc);
	int rc = srtpidx_estimate(a->flow ? &a->flow->idx : &none, view->seq, &a->index);
	a->is_replay = rc == -EALREADY;
	if (a->is_replay) {
		w.tally.n_replays++;
		return true; // by the index said, both must still agree
	}
	w.tally.n_late += rc < 0;
	return rc == 0;
}

static struct seal_rtp job_unprotect(struct arrival *a, const struct rtp_view *view,
				     const struct seal_key *key, uint8_t *pkt, uint8_t *out)
{
	return (struct seal_rtp){.key = key,
				 .hdr = pkt,
				 .src = pkt + view->hdr_len,
				 .dst = out ? out : pkt + view->hdr_len,
				 .hdr_len = view->hdr_len,
				 .len = (uint16_t)(view->payload_len + w.tag_len),
				 .ssrc = view->ssrc,
				 .index = a->index,
				 .err = -1};
}

static void judge(struct arrival *a, const struct seal_rtp *imb, const struct seal_rtp *ref)
{
	bool want = !a->s.is_flipped && a->index == a->s.index;
	uint64_t now;

	if ((imb->err == 0) != (ref->err == 0))
		bad("verdicts differ", &a->s);
	else if ((imb->err == 0) != want)
		bad(want ? "a good packet was refused" : "a bad packet was accepted", &a->s);
	else if (want && (memcmp(imb->dst, a->s.plain + a->s.hdr_len, a->s.len) != 0 ||
			  memcmp(ref->dst, a->s.plain + a->s.hdr_len, a->s.len) != 0))
		bad("opened to something else", &a->s);
	w.tally.n_opened += want;
	w.tally.n_flipped += a->s.is_flipped;
	w.tally.n_misjudged += !a->s.is_flipped && a->index != a->s.index;
	if (!want || a->is_replay)
		return;
	// The same packet may be twice in one burst: the window decides at acceptance.
	if (srtpidx_estimate(&a->flow->idx, (uint16_t)a->index, &now) == 0)
		srtpidx_accept(&a->flow->idx, now);
	else
		w.tally.n_replays++;
}

static void receive_burst(unsigned max)
{
	static struct arrival arrivals[SEAL_MAX_BURST];
	struct seal_rtp imb[SEAL_MAX_BURST], ref[SEAL_MAX_BURST];
	struct rtp_view view;
	unsigned n = 0;

	while (n < max && w.n_net > IN_FLIGHT / 4) {
		struct arrival *a = &arrivals[n];
		if (!net_take(&a->s) || !arrive(a, &view))
			continue;
		unsigned session = (a->flow ? (unsigned)(a->flow - w.flows) : a->s.flow) % N_SESSIONS;
		memcpy(a->ref_in, a->s.sealed, sizeof(a->ref_in));
		imb[n] = job_unprotect(a, &view, w.imb_key[session], a->s.sealed,
				       one_in(2) ? a->imb_out : NULL);
		ref[n] =
			job_unprotect(a, &view, w.ref_key[session], a->ref_in, one_in(2) ? a->ref_out : NULL);
		n++;
	}
	seal_rtp_unprotect(w.imb, imb, n);
	seal_rtp_unprotect(w.ref, ref, n);
	for (unsigned i = 0; i < n; i++)
		judge(&arrivals[i], &imb[i], &ref[i]);
}

// --- RTCP --------------------------------------------------------------------------------------
static void rtcp_once(void)
{
	uint8_t plain[600], imb[640], ref[640];
	size_t len = 8 + 4 * below(140);
	unsigned session = below(N_SESSIONS);
	uint32_t imb_index = 0, ref_index = 0;
	struct sent note = {.len = (uint16_t)len};

	w.rtcp_index = one_in(20) ? (uint32_t)rnd() & 0x7fffffff : (w.rtcp_index + 1) & 0x7fffffff;
	note.index = w.rtcp_index;
	for (size_t i = 0; i < len; i++)
		plain[i] = (uint8_t)rnd();
	plain[0] = 0x80;
	plain[1] = (uint8_t)(200 + below(7));
	memcpy(imb, plain, len);
	memcpy(ref, plain, len);
	int total = seal_rtcp_protect(w.imb, w.imb_key[session], imb, len, sizeof(imb), w.rtcp_index);
	if (seal_rtcp_protect(w.ref, w.ref_key[session], ref, len, sizeof(ref), w.rtcp_index) != total ||
	    total != (int)(len + seal_rtcp_growth(w.profile)) || memcmp(imb, ref, (size_t)total) != 0) {
		bad("RTCP sealed differently", &note);
		return;
	}
	if (one_in(8)) {
		unsigned bit = below((unsigned)total * 8);
		imb[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ref[bit / 8] ^= (uint8_t)(1 << bit % 8);
		note.is_flipped = true;
	}
	int imb_rc = seal_rtcp_unprotect(w.imb, w.imb_key[session], imb, (size_t)total, &imb_index);
	int ref_rc = seal_rtcp_unprotect(w.ref, w.ref_key[session], ref, (size_t)total, &ref_index);
	if (imb_rc != ref_rc || imb_rc != (note.is_flipped ? -EBADMSG : (int)len))
		bad("RTCP verdict", &note);
	else if (imb_rc >= 0 && (memcmp(imb, plain, len) != 0 || memcmp(ref, plain, len) != 0 ||
				 imb_index != w.rtcp_index || ref_index != w.rtcp_index))
		bad("RTCP opened to something else", &note);
	w.tally.n_rtcp++;
}

// --- the test ----------------------------------------------------------------------------------
static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t n_wraps(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < N_FLOWS; i++)
		n += w.flows[i].idx.top >> 16;
	return n;
}

static void differential(enum seal_profile profile, const char *engine, uint64_t n_packets)
{
	world_open(profile, engine, number_from_env("SEAL_DIFF_SEED", 1) * 1000 + profile);
	if (!w.imb) {
		printf("# %s: not on this CPU\n", engine);
		world_close();
		return;
	}
	while (w.tally.n_sealed < n_packets && w.tally.n_bad == 0) {
		unsigned n = 1 + below(IN_FLIGHT - w.n_net < SEAL_MAX_BURST ? IN_FLIGHT - w.n_net
									    : SEAL_MAX_BURST);
		send_burst(&w.net[w.n_net], n);
		w.n_net += n;
		if (one_in(4))
			rtcp_once();
		while (w.n_net > IN_FLIGHT * 3 / 4 || (w.n_net > IN_FLIGHT / 4 && one_in(2)))
			receive_burst(1 + below(SEAL_MAX_BURST));
	}
	struct tally *t = &w.tally;
	printf("# %s, %s: %" PRIu64 " sealed, %" PRIu64 " opened, %" PRIu64 " bits flipped, %" PRIu64
	       " replays, %" PRIu64 " lost, %" PRIu64 " too late, %" PRIu64 " ROC wraps, %" PRIu64
	       " RTCP, %" PRIu64 " mismatches\n",
	       seal_profile_name(profile), seal_engine_name(w.imb), t->n_sealed, t->n_opened, t->n_flipped,
	       t->n_replays, t->n_lost, t->n_late, n_wraps(), t->n_rtcp, t->n_bad);
	CHECK_EQ(t->n_bad, 0);
	// The network was as bad as it is meant to be.
	CHECK(t->n_opened > n_packets * 8 / 10);
	CHECK(t->n_flipped > n_packets / 60 && t->n_replays > n_packets / 60 && t->n_lost > n_packets / 60);
	CHECK(n_wraps() >= n_packets / 10000);
	CHECK(t->n_rtcp > n_packets / 400);
	CHECK(t->n_misjudged < n_packets / 1000);
	world_close();
}

static uint64_t full_length(void)
{
	return number_from_env("SEAL_DIFF_PACKETS", 20000);
}

static void test_cm(void)
{
	differential(SEAL_AES128_CM_SHA1_80, "ipsec-mb", full_length());
}

static void test_gcm128(void)
{
	differential(SEAL_AEAD_AES_128_GCM, "ipsec-mb", full_length());
}

static void test_gcm256(void)
{
	differential(SEAL_AEAD_AES_256_GCM, "ipsec-mb", full_length());
}

// What other CPUs would run.
static void test_implementations(void)
{
	static const char *const engines[] = {"ipsec-mb/sse", "ipsec-mb/avx", "ipsec-mb/avx2",
					      "ipsec-mb/avx512"};

	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		differential(SEAL_AES128_CM_SHA1_80, engines[i], full_length() / 5);
		differential(SEAL_AEAD_AES_128_GCM, engines[i], full_length() / 5);
		differential(SEAL_AEAD_AES_256_GCM, engines[i], full_length() / 5);
	}
}

CU_TestInfo seal_diff_tests[] = {
	{"AES128_CM_SHA1_80: ipsec-mb and libsrtp2 agree on every packet of a bad network", test_cm},
	{"AEAD_AES_128_GCM: ipsec-mb and libsrtp2 agree on every packet of a bad network", test_gcm128},
	{"AEAD_AES_256_GCM: ipsec-mb and libsrtp2 agree on every packet of a bad network", test_gcm256},
	{"the implementations of ipsec-mb for older CPUs agree with libsrtp2 too", test_implementations},
	CU_TEST_INFO_NULL,
};
