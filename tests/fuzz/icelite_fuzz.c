// A program of small operations drives one agent: checks good and broken from a few addresses, probe answers, media,
// time, credentials. After each operation the agent's invariants hold, and what it sends to an unproven address stays
// within its allowance.
#include "lib/base/err.h"
#include "lib/rtc/ice/icelite.h"
#include "lib/rtc/ice/icelite_priv.h"

static void sum_mac(void *arg, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		    uint8_t out[20])
{
	memset(out, 0x5a, 20);
	for (size_t i = 0; i < len; i++)
		out[i % 20] = (uint8_t)(out[i % 20] * 31 + msg[i] + key[i % key_len]);
}

static uint64_t count_up(void *arg)
{
	static uint64_t n;

	return ++n * 0x9e3779b97f4a7c15;
}

static const struct icelite_env env = {.mac = {sum_mac, NULL}, .random = count_up};
static const char *const ufrags[] = {"AAAABBBBCCCCDDDD", "EEEEFFFFGGGGHHHH", "IIIIJJJJKKKKLLLL"};
static const char pwd[] = "0123456789abcdef0123456789abcdef";

static struct icelite a;
static struct icelite_out out;
static ns_t now;

// Input, one byte at a time; zeros behind its end.
static struct rbuf in;

static struct icelite_tuple tuple(uint8_t n)
{
	return (struct icelite_tuple){.family = n & 0x40 ? 6 : 4,
				      .proto = n & 0x80 ? 6 : 17,
				      .port = (uint16_t)(5000 + (n & 15)),
				      .ip = {192, 0, 2, n >> 4 & 3},
				      .local = 1};
}

static void invariants(void)
{
	MUST(a.selected >= -1 && a.selected < ICELITE_PAIRS);
	MUST(a.selected < 0 || a.pair[a.selected].is_used);
	MUST(a.liveness <= ICELITE_NO_PATH);
	for (int i = 0; i < ICELITE_PAIRS; i++) {
		const struct icelite_pair *p = &a.pair[i];
		if (!p->is_used)
			continue;
		MUST(icelite_find(&a, &p->tuple) == i); // no tuple twice
		if (!p->is_proven) {
			uint64_t most = 3 * (uint64_t)p->n_rx_bytes;
			MUST(p->n_tx_bytes <= (most < 4096 ? 4096 : most));
		}
	}
	if (out.events & ICELITE_EV_PAIR_NEW)
		MUST(out.pair_new < ICELITE_PAIRS && a.pair[out.pair_new].is_used);
	for (unsigned i = 0; i < out.n_gone; i++)
		MUST(icelite_find(&a, &out.gone[i]) < 0);
}

static void deliver(uint8_t *p, size_t len, struct icelite_tuple from)
{
	struct stun_msg m;
	uint32_t before_check[ICELITE_PAIRS];
	int8_t selected = a.selected;
	enum icelite_verdict v;

	if (stun_parse(p, len, &m) < 0)
		return;
	for (int i = 0; i < ICELITE_PAIRS; i++)
		before_check[i] = a.pair[i].last_check;
	v = icelite_on_stun(&a, &env, &m, &from, now, &out);
	MUST(v < ICELITE_N_VERDICTS);
	if (v == ICELITE_REPLY) {
		struct stun_msg reply;
		MUST(out.reply_len > 0 && (out.reply_len <= len || m.n_unknown > 0));
		MUST(stun_parse(out.reply, out.reply_len, &reply) == 0);
		MUST(memcmp(stun_txid(&reply), stun_txid(&m), STUN_TXID_LEN) == 0);
		return;
	}
	MUST(out.reply_len == 0 && a.selected == selected);
	for (int i = 0; i < ICELITE_PAIRS; i++)
		MUST(a.pair[i].last_check == before_check[i]); // what is dropped refreshes nothing
}

static void op_check(void)
{
	uint8_t txid[12] = {0}, p[512], how = rbuf_u8(&in), from = rbuf_u8(&in), patch;
	struct stun_key key = {&env.mac, (const uint8_t *)pwd, how & 0x40 ? 31 : 32};
	struct stun_request q = {.txid = txid,
				 .to_ufrag = str_of(ufrags[(how & 3) % 3]),
				 .from_ufrag = STR("remo"),
				 .priority = rbuf_u8(&in),
				 .use_candidate = how & 4,
				 .has_nomination = how & 8,
				 .nomination = rbuf_u8(&in),
				 .controlled = how & 16};
	struct icelite_tuple t = tuple(from);
	int n, pair;

	be32_put(txid, how & 32 ? 7 : (uint32_t)count_up(NULL));
	n = stun_write_request(p, sizeof(p), &q, &key);
	MUST(n > 0);
	if (how & 0x80) {
		patch = rbuf_u8(&in);
		p[patch % (unsigned)n] ^= rbuf_u8(&in);
		if (rbuf_u8(&in) & 1)
			be32_put(p + n - 4, stun_crc32(p, (size_t)n - 8) ^ 0x5354554e);
	}
	pair = icelite_find(&a, &t);
	if (pair >= 0)
		icelite_on_rx(&a, (unsigned)pair, (unsigned)n);
	deliver(p, (size_t)n, t);
	pair = icelite_find(&a, &t);
	if (pair >= 0 && how & 1) {
		invariants();
		icelite_check_back(&a, &env, (unsigned)pair, now, &out);
	}
}

static void op_raw(void)
{
	uint8_t p[256], from = rbuf_u8(&in);
	size_t len = rbuf_u8(&in) & 0xfcu;
	const uint8_t *q = rbuf_take(&in, len);

	if (q == NULL)
		return;
	memcpy(p, q, len);
	deliver(p, len, tuple(from));
}

static void op_answer(void)
{
	uint8_t txid[12], p[128], from = rbuf_u8(&in);
	struct stun_key key = {&env.mac, (const uint8_t *)(from & 8 ? "wrong password" : "remotepassword"),
			       14};
	struct stun_addr mapped = {.family = 4};
	int n;

	icelite_probe_txid(&a, from >> 4 & 7, txid);
	n = stun_write_success(p, sizeof(p), txid, &mapped, &key);
	deliver(p, (size_t)n, tuple(from));
}

static void op_media(void)
{
	uint8_t how = rbuf_u8(&in);
	unsigned pair = how & 7;

	if (!a.pair[pair].is_used)
		return;
	icelite_on_rx(&a, pair, how);
	icelite_on_media(&a, pair, how & 8, now, &out);
	(void)icelite_may_send_to(&a, pair, 10u * how);
}

static void step(void)
{
	uint8_t op = rbuf_u8(&in);

	out.events = out.n_gone = 0;
	switch (op % 10) {
	case 0:
	case 1:
		op_check();
		break;
	case 2:
		op_raw();
		break;
	case 3:
		op_answer();
		break;
	case 4:
		op_media();
		break;
	case 5:
		now += (ns_t)rbuf_u8(&in) * 50 * NS_PER_MS;
		icelite_tick(&a, &env, now, &out);
		break;
	case 6:
		now += (ns_t)rbuf_u8(&in) * NS_PER_S;
		icelite_tick(&a, &env, now, &out);
		break;
	case 7:
		op = rbuf_u8(&in);
		MUST(icelite_set_creds(&a, ufrags[op % 3], pwd, op & 4 ? STR("remo") : STR_NONE,
				       op & 8 ? STR("remotepassword") : STR_NONE, &out) == 0);
		break;
	case 8:
		op = rbuf_u8(&in);
		MUST(icelite_dtls_pair(&a, op & 7) < ICELITE_PAIRS);
		icelite_on_handshake(&a, op & 7, now, &out);
		invariants();
		icelite_on_keys(&a, a.selected);
		break;
	case 9:
		op = rbuf_u8(&in);
		if (op == 255)
			icelite_on_acked(&a, now);
		else
			(void)icelite_may_send(&a, op * 20u);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	now = 1000 * NS_PER_S;
	in = rbuf_of(data, size);
	icelite_init(&a, now);
	MUST(icelite_set_creds(&a, ufrags[0], pwd, STR("remo"), STR("remotepassword"), &out) == 0);
	while (rbuf_left(&in) > 0) {
		step();
		invariants();
	}
	return 0;
}
