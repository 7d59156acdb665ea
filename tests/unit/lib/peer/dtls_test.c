#include "lib/peer/dtls.h"

#include <stdlib.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "tests/unit/check.h"

#define MAX_QUEUE 256

// One end of a link between two associations; what it sends waits in out until the test moves it.
struct end {
	struct dtls *d;
	struct {
		uint8_t *data;
		size_t len;
	} out[MAX_QUEUE];
	size_t n_out, n_sent, biggest;
	unsigned n_up, n_down, n_data;
	enum dtls_end why;
	char data[64];
	bool free_on_up, free_on_data, free_on_send;
};

static void drop_end(struct end *e)
{
	dtls_free(e->d);
	e->d = NULL;
}

static void on_send(void *arg, const uint8_t *p, size_t len)
{
	struct end *e = arg;

	e->n_sent++;
	if (len > e->biggest)
		e->biggest = len;
	if (e->n_out == MAX_QUEUE)
		return;
	e->out[e->n_out].data = malloc(len);
	memcpy(e->out[e->n_out].data, p, len);
	e->out[e->n_out++].len = len;
	if (e->free_on_send)
		drop_end(e);
}

static void on_up(void *arg)
{
	struct end *e = arg;

	e->n_up++;
	if (e->free_on_up)
		drop_end(e);
}

static void on_data(void *arg, const uint8_t *p, size_t len)
{
	struct end *e = arg;

	e->n_data++;
	if (len < sizeof(e->data)) {
		memcpy(e->data, p, len);
		e->data[len] = '\0';
	}
	if (e->free_on_data)
		drop_end(e);
}

static void on_down(void *arg, enum dtls_end why)
{
	struct end *e = arg;

	e->n_down++;
	e->why = why;
}

static const struct dtls_ops ops = {on_send, on_up, on_data, on_down};

struct pair {
	struct dtls_ctx *ctx[2];
	struct end end[2]; // 0: server, 1: client
	unsigned loss_percent;
	bool shuffle, duplicate;
};

static struct dtls_fingerprint print_of(const struct dtls_ctx *c)
{
	struct dtls_fingerprint fp;

	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), str_of(dtls_ctx_fingerprint(c))), 0);
	return fp;
}

static void pair_init(struct pair *p)
{
	*p = (struct pair){};
	for (int i = 0; i < 2; i++)
		p->ctx[i] = dtls_ctx_new();
}

static void pair_start(struct pair *p, const struct dtls_fingerprint *of_client)
{
	struct dtls_fingerprint server = print_of(p->ctx[0]), client = print_of(p->ctx[1]);

	p->end[0].d = dtls_new(p->ctx[0], DTLS_SERVER, of_client ? of_client : &client, &ops, &p->end[0]);
	p->end[1].d = dtls_new(p->ctx[1], DTLS_CLIENT, &server, &ops, &p->end[1]);
	dtls_start(p->end[0].d, clock_now());
	dtls_start(p->end[1].d, clock_now());
}

static void end_clear(struct end *e)
{
	for (size_t i = 0; i < e->n_out; i++)
		free(e->out[i].data);
	e->n_out = 0;
}

static void pair_fini(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		dtls_free(p->end[i].d);
		end_clear(&p->end[i]);
		dtls_ctx_free(p->ctx[i]);
	}
}

// Hand what from has sent to the other end; returns whether there was anything.
static bool pair_move(struct pair *p, int from)
{
	struct end *a = &p->end[from], *b = &p->end[!from];
	struct end batch = *a;

	a->n_out = 0;
	for (size_t i = 0; i < batch.n_out; i++) {
		size_t at = p->shuffle ? i + rand_u32() % (batch.n_out - i) : i;
		unsigned copies = p->duplicate ? 2 : 1;
		uint8_t *data = batch.out[at].data;
		size_t len = batch.out[at].len;
		batch.out[at] = batch.out[i];
		for (; copies > 0; copies--)
			if (b->d && rand_u32() % 100 >= p->loss_percent)
				dtls_input(b->d, data, len, clock_now());
		free(data);
	}
	return batch.n_out > 0;
}

// Run until both are up, one is down, or 5 s of real time have passed (OpenSSL's timers are real).
static void pair_run(struct pair *p)
{
	ns_t until = clock_now() + 5 * NS_PER_S;

	while (clock_now() < until && p->end[0].n_down + p->end[1].n_down == 0 &&
	       !(p->end[0].n_up && p->end[1].n_up)) {
		bool moved = pair_move(p, 1);
		moved |= pair_move(p, 0);
		if (moved)
			continue;
		ns_t due = NS_NEVER, now = clock_now();
		for (int i = 0; i < 2; i++)
			if (p->end[i].d && dtls_due(p->end[i].d, now) < due)
				due = dtls_due(p->end[i].d, now);
		if (due > now && due != NS_NEVER)
			nanosleep(&(struct timespec){.tv_nsec = (due - now) % NS_PER_S}, NULL);
		for (int i = 0; i < 2; i++)
			if (p->end[i].d)
				dtls_tick(p->end[i].d, clock_now());
	}
	while (pair_move(p, 0) || pair_move(p, 1))
		;
}

static void agrees_on_keys(void)
{
	struct pair p;
	struct keys s, c;

	pair_init(&p);
	pair_start(&p, NULL);
	pair_run(&p);
	CHECK_EQ(p.end[0].n_up, 1);
	CHECK_EQ(p.end[1].n_up, 1);
	CHECK_EQ(dtls_export(p.end[0].d, &s), 0);
	CHECK_EQ(dtls_export(p.end[1].d, &c), 0);
	CHECK_EQ(s.profile, KEYS_GCM_128);
	CHECK_EQ(s.profile, c.profile);
	CHECK_MEM(s.rx_key, c.tx_key, 32);
	CHECK_MEM(s.tx_key, c.rx_key, 32);
	CHECK_MEM(s.rx_salt, c.tx_salt, 16);
	CHECK_MEM(s.tx_salt, c.rx_salt, 16);
	CHECK(memcmp(s.rx_key, s.tx_key, 16) != 0);
	CHECK(p.end[0].biggest <= DTLS_MTU && p.end[1].biggest <= DTLS_MTU);
	pair_fini(&p);
}

static void server_order_wins(void)
{
	static const struct {
		uint16_t offered[3];
		size_t n;
		uint16_t want;
	} cases[] = {
		{{KEYS_CM_SHA1_80, KEYS_GCM_256, KEYS_GCM_128}, 3, KEYS_GCM_128},
		{{KEYS_GCM_256, KEYS_GCM_128, KEYS_CM_SHA1_80}, 3, KEYS_GCM_128},
		{{KEYS_CM_SHA1_80, KEYS_GCM_256}, 2, KEYS_GCM_256},
		{{KEYS_CM_SHA1_80}, 1, KEYS_CM_SHA1_80},
		{{KEYS_GCM_256}, 1, KEYS_GCM_256},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair p;
		struct keys s, c;
		pair_init(&p);
		CHECK_EQ(dtls_ctx_set_profiles(p.ctx[1], cases[i].offered, cases[i].n), 0);
		pair_start(&p, NULL);
		pair_run(&p);
		CHECK_EQ(dtls_export(p.end[0].d, &s), 0);
		CHECK_EQ(dtls_export(p.end[1].d, &c), 0);
		CHECK_EQ(s.profile, cases[i].want);
		CHECK_EQ(c.profile, cases[i].want);
		pair_fini(&p);
	}
}

static void refuses_wrong_certificate(void)
{
	struct pair p;
	struct keys k;

	pair_init(&p);
	struct dtls_fingerprint wrong = print_of(p.ctx[1]);
	wrong.value[31] ^= 1;
	pair_start(&p, &wrong);
	pair_run(&p);
	CHECK_EQ(p.end[0].n_up, 0);
	CHECK_EQ(p.end[0].n_down, 1);
	CHECK_EQ(p.end[0].why, DTLS_END_CERTIFICATE);
	CHECK_EQ(dtls_export(p.end[0].d, &k), -ENOTCONN);
	CHECK_EQ(p.end[1].n_up, 0);
	CHECK_EQ(p.end[1].why, DTLS_END_ALERT);
	pair_fini(&p);
}

static void survives_bad_link(void)
{
	static const struct {
		unsigned loss;
		bool shuffle, duplicate;
	} links[] = {{0, true, false},   {0, false, true}, {0, true, true},
		     {20, false, false}, {20, true, true}, {40, true, true}};

	rand_seed(7);
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		struct pair p;
		pair_init(&p);
		dtls_ctx_set_retransmit(p.ctx[0], 16000);
		dtls_ctx_set_retransmit(p.ctx[1], 16000);
		p.loss_percent = links[i].loss;
		p.shuffle = links[i].shuffle;
		p.duplicate = links[i].duplicate;
		pair_start(&p, NULL);
		pair_run(&p);
		CHECK_EQ(p.end[0].n_up, 1);
		CHECK_EQ(p.end[1].n_up, 1);
		CHECK_EQ(p.end[0].n_down + p.end[1].n_down, 0);
		pair_fini(&p);
	}
	rand_seed(0);
}

// Cut a one-record ClientHello into records of at most `piece` body bytes (RFC 6347 section 4.2.3).
static size_t cut_hello(const uint8_t *in, size_t len, size_t piece, uint8_t out[][DTLS_MTU], size_t *out_len)
{
	const uint8_t *body = in + 25;
	size_t body_len = len - 25, n = 0;

	for (size_t at = 0; at < body_len; at += piece, n++) {
		size_t take = body_len - at < piece ? body_len - at : piece;
		uint8_t *o = out[n];
		memcpy(o, in, 25);
		o[9] = 0;
		o[10] = (uint8_t)n; // record sequence number
		o[11] = (uint8_t)((take + 12) >> 8);
		o[12] = (uint8_t)(take + 12);
		o[19] = 0;
		o[20] = (uint8_t)(at >> 8);
		o[21] = (uint8_t)at;
		o[22] = 0;
		o[23] = (uint8_t)(take >> 8);
		o[24] = (uint8_t)take;
		memcpy(o + 25, body + at, take);
		out_len[n] = take + 25;
	}
	return n;
}

static void assembles_client_hello(void)
{
	struct pair p;
	uint8_t piece[32][DTLS_MTU];
	size_t len[32], n;

	pair_init(&p);
	pair_start(&p, NULL);
	CHECK_EQ(p.end[1].n_out, 1);
	n = cut_hello(p.end[1].out[0].data, p.end[1].out[0].len, 40, piece, len);
	CHECK(n >= 3);
	end_clear(&p.end[1]);
	for (size_t i = n; i-- > 0;) { // last piece first, each twice
		dtls_input(p.end[0].d, piece[i], len[i], clock_now());
		dtls_input(p.end[0].d, piece[i], len[i], clock_now());
		if (i > 0)
			CHECK_EQ(p.end[0].n_out, 0);
	}
	CHECK(p.end[0].n_out > 0);
	pair_run(&p);
	CHECK_EQ(p.end[0].n_up, 1);
	CHECK_EQ(p.end[1].n_up, 1);
	pair_fini(&p);
}

static void carries_data_and_closes(void)
{
	struct pair p;
	uint8_t big[DTLS_MAX_DATA + 1] = {};

	pair_init(&p);
	pair_start(&p, NULL);
	CHECK_EQ(dtls_send(p.end[0].d, big, 1), -ENOTCONN);
	pair_run(&p);
	CHECK_EQ(dtls_send(p.end[0].d, (const uint8_t *)"hello", 5), 0);
	CHECK_EQ(dtls_send(p.end[1].d, (const uint8_t *)"you", 3), 0);
	CHECK_EQ(dtls_send(p.end[1].d, big, sizeof(big)), -EMSGSIZE);
	CHECK_EQ(dtls_send(p.end[1].d, big, 0), -EMSGSIZE);
	while (pair_move(&p, 0) || pair_move(&p, 1))
		;
	CHECK_STR(p.end[1].data, "hello");
	CHECK_STR(p.end[0].data, "you");
	CHECK_EQ(dtls_send(p.end[0].d, big, DTLS_MAX_DATA), 0);
	CHECK(p.end[0].biggest <= DTLS_MTU);
	dtls_close(p.end[1].d);
	CHECK_EQ(dtls_send(p.end[1].d, big, 1), -ENOTCONN);
	while (pair_move(&p, 0) || pair_move(&p, 1))
		;
	CHECK_EQ(p.end[0].n_down, 1);
	CHECK_EQ(p.end[0].why, DTLS_END_CLOSED);
	CHECK_EQ(p.end[1].n_down, 0);
	pair_fini(&p);
}

// RFC 6347 section 4.1.1: a datagram may hold several records; here four, a damaged one among them, and the last closes.
static void reads_each_record_of_a_datagram(void)
{
	struct pair p;
	struct end *client = &p.end[1];
	uint8_t all[DTLS_MTU];
	size_t len = 0;

	pair_init(&p);
	pair_start(&p, NULL);
	pair_run(&p);
	end_clear(client);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(dtls_send(client->d, (const uint8_t *)"one", i + 1), 0);
	dtls_close(client->d);
	CHECK_OR_RETURN(client->n_out == 4);
	client->out[1].data[client->out[1].len - 1] ^= 1;
	for (size_t i = 0; i < 4; i++) {
		CHECK_OR_RETURN(len + client->out[i].len <= sizeof(all));
		memcpy(all + len, client->out[i].data, client->out[i].len);
		len += client->out[i].len;
	}
	dtls_input(p.end[0].d, all, len, clock_now());
	CHECK_EQ(p.end[0].n_data, 2);
	CHECK_STR(p.end[0].data, "one");
	CHECK_EQ(p.end[0].n_down, 1);
	CHECK_EQ(p.end[0].why, DTLS_END_CLOSED);
	pair_fini(&p);
}

static void keeps_session_on_garbage(void)
{
	struct pair p;
	uint8_t junk[DTLS_MAX_DATAGRAM + 10];
	uint8_t hello[DTLS_MTU];
	size_t hello_len;

	pair_init(&p);
	pair_start(&p, NULL);
	hello_len = p.end[1].out[0].len;
	memcpy(hello, p.end[1].out[0].data, hello_len);
	pair_run(&p);
	dtls_input(p.end[0].d, hello, hello_len, clock_now()); // a restart is refused, the session goes on
	for (size_t len = 0; len <= sizeof(junk); len += 37) {
		rand_bytes(junk, sizeof(junk));
		if (len > 13) { // plausible headers, too
			junk[0] = (uint8_t)(20 + len % 4);
			junk[1] = 0xfe;
			junk[2] = 0xfd;
		}
		dtls_input(p.end[0].d, junk, len, clock_now());
	}
	CHECK_EQ(dtls_send(p.end[1].d, (const uint8_t *)"still", 5), 0);
	pair_move(&p, 1);
	CHECK_STR(p.end[0].data, "still");
	CHECK_EQ(p.end[0].n_down, 0);
	pair_fini(&p);
}

static void gives_up(void)
{
	struct pair p;
	ns_t now = clock_now();

	pair_init(&p);
	pair_start(&p, NULL);
	CHECK(dtls_due(p.end[1].d, now) < now + NS_PER_S);
	dtls_tick(p.end[1].d, now + DTLS_HANDSHAKE_NS + NS_PER_S);
	CHECK_EQ(p.end[1].n_down, 1);
	CHECK_EQ(p.end[1].why, DTLS_END_TIMEOUT);
	CHECK(dtls_due(p.end[1].d, now) == NS_NEVER);
	pair_fini(&p);
}

static void may_be_freed_in_callbacks(void)
{
	for (int which = 0; which < 3; which++) {
		struct pair p;
		pair_init(&p);
		p.end[0].free_on_up = which == 0;
		p.end[0].free_on_data = which == 1;
		pair_start(&p, NULL);
		pair_run(&p);
		if (which == 1) {
			CHECK_EQ(dtls_send(p.end[1].d, (const uint8_t *)"x", 1), 0);
			pair_move(&p, 1);
		} else if (which == 2) { // its last record
			p.end[0].free_on_send = true;
			dtls_close(p.end[0].d);
		}
		CHECK(p.end[0].d == NULL);
		pair_fini(&p);
	}
}

static void parses_fingerprints(void)
{
	struct dtls_fingerprint fp;
	char hex[200] = "";

	for (int i = 0; i < 64; i++)
		snprintf(hex + 3 * i, 4, "%02x:", i);
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("SHA-256"), (struct str){hex, 95}), 0);
	CHECK_EQ(fp.len, 32);
	CHECK_EQ(fp.value[31], 31);
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-512"), (struct str){hex, 191}), 0);
	CHECK_EQ(fp.value[63], 63);
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-1"), (struct str){hex, 59}), -ENOTSUP);
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), (struct str){hex, 94}), -EBADMSG);
	hex[1] = 'x';
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), (struct str){hex, 95}), -EBADMSG);
	hex[1] = '0';
	hex[2] = '-';
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), (struct str){hex, 95}), -EBADMSG);
	CHECK_EQ(dtls_fingerprint_parse(&fp, STR("sha-256"), STR_NONE), -EBADMSG);
}

CU_TestInfo dtls_tests[] = {
	{"both ends agree on SRTP keys and packets fit the MTU", agrees_on_keys},
	{"the server's order of SRTP profiles wins", server_order_wins},
	{"a certificate that SDP did not announce ends the handshake without keys",
	 refuses_wrong_certificate},
	{"loss, reordering and duplicates delay the handshake only", survives_bad_link},
	{"a ClientHello in reordered and repeated pieces is assembled", assembles_client_hello},
	{"data flows both ways until close_notify", carries_data_and_closes},
	{"each record of a datagram is read", reads_each_record_of_a_datagram},
	{"garbage and a second hello leave a live session alone", keeps_session_on_garbage},
	{"a handshake that nobody answers ends after 30 s", gives_up},
	{"an association may be freed inside its callbacks", may_be_freed_in_callbacks},
	{"fingerprints are parsed strictly", parses_fingerprints},
	CU_TEST_INFO_NULL,
};
