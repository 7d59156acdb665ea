#include "lib/peer/dchan.h"

#include <stdlib.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "tests/unit/check.h"

#define MAX_QUEUE 2048

struct end {
	struct dchan *d;
	struct {
		uint8_t *data;
		size_t len;
	} out[MAX_QUEUE];
	size_t n_out, biggest;
	unsigned n_up, n_open, n_messages, n_closed, n_down;
	uint16_t stream;
	enum dchan_kind kind;
	size_t last_len;
	uint32_t sum;
	char label[32];
	bool free_on_message, echo;
};

static void on_send(void *arg, const uint8_t *p, size_t len)
{
	struct end *e = arg;

	if (len > e->biggest)
		e->biggest = len;
	if (e->n_out == MAX_QUEUE)
		return;
	e->out[e->n_out].data = malloc(len);
	memcpy(e->out[e->n_out].data, p, len);
	e->out[e->n_out++].len = len;
}
static void on_up(void *arg)
{
	((struct end *)arg)->n_up++;
}
static void on_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	struct end *e = arg;

	e->n_open++;
	e->stream = stream;
	CHECK(str_copy(label, e->label, sizeof(e->label)));
}
static void on_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *p, size_t len)
{
	struct end *e = arg;

	e->n_messages++;
	e->kind = kind;
	e->last_len = len;
	e->sum = 0;
	for (size_t i = 0; i < len; i++)
		e->sum = e->sum * 31 + p[i];
	if (e->echo)
		CHECK_EQ(dchan_send(e->d, stream, kind, p, len), 0);
	if (e->free_on_message) {
		dchan_free(e->d);
		e->d = NULL;
	}
}
static void on_closed(void *arg, uint16_t stream)
{
	((struct end *)arg)->n_closed++;
}
static void on_down(void *arg)
{
	((struct end *)arg)->n_down++;
}
static const struct dchan_ops ops = {on_send, on_up, on_open, on_message, on_closed, on_down};

struct pair {
	struct end end[2];
	ns_t now;
	unsigned loss_percent;
	bool shuffle;
};

static void end_clear(struct end *e)
{
	for (size_t i = 0; i < e->n_out; i++)
		free(e->out[i].data);
	e->n_out = 0;
}

static bool pair_move(struct pair *p, int from)
{
	struct end *a = &p->end[from], *b = &p->end[!from];
	size_t n = a->n_out;
	typeof(a->out[0]) *batch = malloc(sizeof(a->out));

	memcpy(batch, a->out, sizeof(a->out));
	a->n_out = 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = p->shuffle ? i + rand_u32() % (n - i) : i;
		typeof(*batch) pkt = batch[at];
		batch[at] = batch[i];
		if (b->d && rand_u32() % 100 >= p->loss_percent)
			dchan_input(b->d, pkt.data, pkt.len);
		free(pkt.data);
	}
	free(batch);
	return n > 0;
}

static void pair_run(struct pair *p, ns_t span)
{
	for (ns_t end = p->now + span; p->now < end; p->now += 10 * NS_PER_MS) {
		for (int i = 0; i < 20 && (pair_move(p, 1) | pair_move(p, 0)); i++)
			;
		dchan_clock(p->now);
	}
}

// At the pace of the real clock, by which usrsctp judges what is old enough to send again.
static void pair_run_slowly(struct pair *p, ns_t span)
{
	for (ns_t end = p->now + span; p->now < end;) {
		pair_run(p, 10 * NS_PER_MS);
		nanosleep(&(struct timespec){.tv_nsec = 10 * NS_PER_MS}, NULL);
	}
}

static void pair_init(struct pair *p)
{
	*p = (struct pair){.now = 1000 * NS_PER_S};
	CHECK_EQ(dchan_start(p->now), 0);
	for (int i = 0; i < 2; i++)
		p->end[i].d = dchan_new(&ops, &p->end[i]);
	CHECK(p->end[0].d && p->end[1].d);
}

static void pair_fini(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		dchan_free(p->end[i].d);
		end_clear(&p->end[i]);
	}
	dchan_stop();
	for (int i = 0; i < 2; i++)
		end_clear(&p->end[i]);
}

static struct pair *pair_open(struct pair *p)
{
	pair_init(p);
	pair_run(p, NS_PER_S);
	CHECK_EQ(p->end[0].n_up, 1);
	CHECK_EQ(p->end[1].n_up, 1);
	CHECK_EQ(dchan_open(p->end[1].d, 0, STR("calls-dc")), 0);
	pair_run(p, NS_PER_S / 10);
	CHECK_EQ(p->end[0].n_open, 1);
	CHECK_STR(p->end[0].label, "calls-dc");
	CHECK_EQ(p->end[1].n_open, 1);
	return p;
}

static void opens_and_talks(void)
{
	static struct pair p;

	pair_open(&p);
	CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_BINARY, "\x01", 1), 0);
	CHECK(!dchan_is_flushed(p.end[1].d));
	pair_run(&p, NS_PER_S / 2);
	CHECK(dchan_is_flushed(p.end[1].d));
	CHECK_EQ(p.end[0].n_messages, 1);
	CHECK_EQ(p.end[0].kind, DCHAN_BINARY);
	CHECK_EQ(dchan_send(p.end[0].d, 0, DCHAN_TEXT, "pong", 4), 0);
	CHECK_EQ(dchan_send(p.end[0].d, 0, DCHAN_TEXT, "", 0), 0);
	CHECK_EQ(dchan_send(p.end[0].d, 1, DCHAN_TEXT, "no", 2), -ENOTCONN);
	pair_run(&p, NS_PER_S / 2);
	CHECK_EQ(p.end[1].n_messages, 2);
	CHECK_EQ(p.end[1].kind, DCHAN_TEXT);
	CHECK_EQ(p.end[1].last_len, 0);
	pair_fini(&p);
}

static void big_messages_survive_loss(void)
{
	static struct pair p;
	static uint8_t big[DCHAN_MAX_MSG];
	uint32_t sum = 0;

	rand_seed(3);
	for (size_t i = 0; i < sizeof(big); i++) {
		big[i] = (uint8_t)rand_u32();
		sum = sum * 31 + big[i];
	}
	pair_open(&p);
	p.loss_percent = 10;
	p.shuffle = true;
	CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_BINARY, big, sizeof(big)), 0);
	CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_BINARY, big, sizeof(big) + 1), -EMSGSIZE);
	for (int i = 0; i < 300 && p.end[0].n_messages == 0; i++)
		pair_run_slowly(&p, NS_PER_S / 10);
	CHECK_EQ(p.end[0].n_messages, 1);
	CHECK_EQ(p.end[0].last_len, sizeof(big));
	CHECK_EQ(p.end[0].sum, sum);
	CHECK(p.end[1].biggest <= DCHAN_MAX_PACKET);
	pair_fini(&p);
	rand_seed(0);
}

static void refuses_oversized(void)
{
	static struct pair p;
	static uint8_t big[DCHAN_MAX_MSG];

	pair_open(&p);
	// Too much waits: the sender hears of it.
	p.loss_percent = 100;
	int rc = 0;
	for (int i = 0; i < 10 && rc == 0; i++)
		rc = dchan_send(p.end[1].d, 0, DCHAN_BINARY, big, sizeof(big));
	CHECK_EQ(rc, -ENOBUFS);
	CHECK_EQ(p.end[1].n_down, 0);
	pair_fini(&p);
}

static void path_outage(void)
{
	static struct pair p;

	pair_open(&p);
	p.loss_percent = 100;
	CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_BINARY, "late", 4), 0);
	pair_run_slowly(&p, NS_PER_S);
	CHECK_EQ(p.end[0].n_messages, 0);
	p.loss_percent = 0;
	for (int i = 0; i < 30 && p.end[0].n_messages == 0; i++)
		pair_run_slowly(&p, NS_PER_S / 10);
	CHECK_EQ(p.end[0].n_messages, 1);
	CHECK_EQ(p.end[0].n_down + p.end[1].n_down, 0);
	pair_fini(&p);
}

static void peer_goes(void)
{
	static struct pair p;

	pair_open(&p);
	dchan_free(p.end[1].d); // sends ABORT
	p.end[1].d = NULL;
	pair_run(&p, NS_PER_S);
	CHECK_EQ(p.end[0].n_down, 1);
	CHECK_EQ(dchan_send(p.end[0].d, 0, DCHAN_TEXT, "x", 1), -ENOTCONN);
	pair_fini(&p);
}

static void freed_in_callback(void)
{
	static struct pair p;

	pair_open(&p);
	p.end[0].free_on_message = true;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_TEXT, "x", 1), 0);
	pair_run(&p, NS_PER_S);
	CHECK_EQ(p.end[0].n_messages, 1);
	CHECK(p.end[0].d == NULL);
	CHECK_EQ(p.end[1].n_down, 1);
	pair_fini(&p);
}

static void answers_in_callback(void)
{
	static struct pair p;

	pair_open(&p);
	p.end[0].echo = true;
	for (int i = 0; i < 100; i++)
		CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_BINARY, "ping", 4), 0);
	pair_run(&p, NS_PER_S);
	CHECK_EQ(p.end[1].n_messages, 100);
	pair_fini(&p);
}

// An SCTP packet that carries an INIT with the given parameters, checksum included.
static uint32_t crc32c(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void skips_zero_checksum_parameter(void)
{
	static struct pair p;
	// ports 5000, tag 0, INIT: tag 7, window 64 KiB, 64 streams both ways, TSN 9, then 0x8001
	uint8_t init[12 + 20 + 8] = {0x13, 0x88, 0x13, 0x88, 0,    0, 0, 0, 0, 0, 0, 0,  1, 0,
				     0,    28,   0,    0,    0,    7, 0, 1, 0, 0, 0, 64, 0, 64,
				     0,    0,    0,    9,    0x80, 1, 0, 8, 0, 0, 0, 1};
	uint32_t crc = crc32c(init, sizeof(init));
	bool has_init_ack = false;

	memcpy(init + 8, &crc, 4);
	pair_init(&p);
	end_clear(&p.end[0]);
	dchan_input(p.end[0].d, init, sizeof(init));
	for (size_t i = 0; i < p.end[0].n_out; i++)
		has_init_ack |= p.end[0].out[i].data[12] == 2 && p.end[0].out[i].data[7] == 7;
	CHECK(has_init_ack);
	pair_fini(&p);
}

static void garbage_is_ignored(void)
{
	static struct pair p;
	uint8_t junk[1200];

	pair_open(&p);
	rand_seed(5);
	for (int i = 0; i < 3000; i++) {
		size_t len = rand_u32() % sizeof(junk);
		uint32_t crc;
		rand_bytes(junk, sizeof(junk));
		junk[0] = junk[2] = 0x13;
		junk[1] = junk[3] = 0x88;
		if (len >= 16) { // a valid checksum and a known chunk type reach the parsers behind it
			junk[12] %= 16;
			memset(junk + 8, 0, 4);
			crc = crc32c(junk, len);
			memcpy(junk + 8, &crc, 4);
		}
		dchan_input(p.end[0].d, junk, len);
	}
	rand_seed(0);
	CHECK_EQ(dchan_send(p.end[1].d, 0, DCHAN_TEXT, "x", 1), 0);
	pair_run(&p, 2 * NS_PER_S);
	CHECK_EQ(p.end[0].n_messages, 1);
	pair_fini(&p);
}

CU_TestInfo dchan_tests[] = {
	{"a channel opens by DCEP and carries text, binary and empty messages", opens_and_talks},
	{"D17: the largest message arrives whole over a bad link, a larger one is refused",
	 big_messages_survive_loss},
	{"D17: what waits to be sent is bounded", refuses_oversized},
	{"an outage delays messages and breaks nothing", path_outage},
	{"a peer that aborts is reported once", peer_goes},
	{"an association may be freed inside its callbacks", freed_in_callback},
	{"a callback may answer", answers_in_callback},
	{"an INIT with the zero-checksum parameter is answered", skips_zero_checksum_parameter},
	{"garbage does not disturb an association", garbage_is_ignored},
	CU_TEST_INFO_NULL,
};
