#include "tests/support/lib/ice_peer.h"

#include "lib/base/hash.h"
#include "lib/base/rand.h"
#include "tests/unit/check.h"

struct ice_peer ice;

static void toy_mac(void *arg, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		    uint8_t out[20])
{
	uint64_t k[2] = {hash_sip13((const uint64_t[]){1, 2}, key, key_len), key_len};

	for (unsigned i = 0; i < 3; i++) {
		uint64_t h = hash_sip13(k, msg, len);
		k[1]++;
		memcpy(out + 8 * i, &h, i < 2 ? 8 : 4);
	}
}

static uint64_t toy_random(void *arg)
{
	return rand_u64();
}

const struct icelite_env ice_env = {.mac = {toy_mac, NULL}, .random = toy_random};
const char ice_ufrag1[] = "AAAABBBBCCCCDDDD", ice_ufrag2[] = "EEEEFFFFGGGGHHHH",
	   ice_ufrag3[] = "IIIIJJJJKKKKLLLL";
const char ice_pwd1[] = "0123456789abcdef0123456789abcdef", ice_pwd2[] = "fedcba9876543210fedcba9876543210";

static uint32_t next_txid;

void ice_start(void)
{
	ice.now = 1000 * S;
	next_txid = 1;
	icelite_init(&ice.agent, ice.now);
	CHECK_EQ(icelite_set_creds(&ice.agent, ice_ufrag1, ice_pwd1, STR("remo"), STR("remotepassword"),
				   &ice.out),
		 0);
}

struct icelite_tuple ice_udp(uint8_t host, uint16_t port)
{
	return (struct icelite_tuple){
		.family = 4, .proto = UDP, .port = port, .ip = {192, 0, 2, host}, .local = 1};
}

size_t ice_check_build(const struct ice_check *c, uint8_t *p, size_t size)
{
	uint8_t txid[12] = {0};
	const char *pwd = c->pwd ? c->pwd : ice_pwd1;
	struct stun_key key = {&ice_env.mac, (const uint8_t *)pwd, ICELITE_PWD_LEN};
	struct stun_request q = {.txid = txid,
				 .to_ufrag = str_of(c->ufrag ? c->ufrag : ice_ufrag1),
				 .from_ufrag = str_of(c->remote ? c->remote : "remo"),
				 .priority = c->priority,
				 .tie_breaker = 5,
				 .use_candidate = c->flag,
				 .has_nomination = c->nomination > 0,
				 .nomination = c->nomination,
				 .controlled = c->controlled};
	int n;

	be32_put(txid + 8, c->txid ? c->txid : next_txid++);
	n = stun_write_request(p, size, &q, &key);
	CHECK(n > 0);
	if (c->unknown) { // put in front, sign again
		memmove(p + 24, p + 20, (size_t)n - 20);
		be16_put(p + 20, c->unknown);
		be16_put(p + 22, 0);
		size_t mac_at = (size_t)n + 4 - 32;
		be16_put(p + 2, (uint16_t)(mac_at + 24 - 20));
		toy_mac(NULL, key.key, key.key_len, p, mac_at, p + mac_at + 4);
		be16_put(p + 2, (uint16_t)(n + 4 - 20));
		be32_put(p + n, stun_crc32(p, (size_t)n + 4 - 8) ^ 0x5354554e);
		n += 4;
	}
	if (c->spoil_mac) {
		p[n - 12] ^= 1;
		be32_put(p + n - 4, stun_crc32(p, (size_t)n - 8) ^ 0x5354554e);
	}
	if (c->spoil_fp)
		p[n - 1] ^= 1;
	return (size_t)n;
}

enum icelite_verdict ice_check(struct ice_check c)
{
	uint8_t p[512];
	struct stun_msg m;

	ice.last_request_len = ice_check_build(&c, p, sizeof(p));
	CHECK_EQ(stun_parse(p, ice.last_request_len, &m), 0);
	enum icelite_verdict v = icelite_on_stun(&ice.agent, &ice_env, &m, &c.from, ice.now, &ice.out);
	int pair = icelite_find(&ice.agent, &c.from);
	if (pair >= 0)
		icelite_on_rx(&ice.agent, (unsigned)pair, (unsigned)ice.last_request_len);
	return v;
}

uint16_t ice_path_port(void)
{
	return icelite_path(&ice.agent) ? icelite_path(&ice.agent)->tuple.port : 0;
}

static void note_probe(void)
{
	if (ice.out.events & ICELITE_EV_SEND)
		memcpy(ice.probe_txid, ice.out.reply + 8, sizeof(ice.probe_txid));
}

bool ice_check_back(struct icelite_tuple from)
{
	int pair = icelite_find(&ice.agent, &from);

	CHECK(pair >= 0);
	icelite_check_back(&ice.agent, &ice_env, (unsigned)pair, ice.now, &ice.out);
	note_probe();
	return ice.out.events & ICELITE_EV_SEND && memcmp(&ice.out.to, &from, sizeof(from)) == 0;
}

void ice_tick(void)
{
	icelite_tick(&ice.agent, &ice_env, ice.now, &ice.out);
	note_probe();
}

unsigned ice_media(uint16_t port, unsigned n, bool is_newer)
{
	struct icelite_tuple t = ice_udp(1, port);
	unsigned n_changes = 0;

	for (unsigned i = 0; i < n; i++) {
		int pair = icelite_find(&ice.agent, &t);
		CHECK(pair >= 0);
		icelite_on_media(&ice.agent, (unsigned)pair, is_newer, ice.now, &ice.out);
		n_changes += (ice.out.events & ICELITE_EV_PATH) != 0;
		ice.now += 20 * MS;
	}
	return n_changes;
}

enum icelite_verdict ice_answer_probe(struct icelite_tuple from, const char *pwd)
{
	struct stun_key key = {&ice_env.mac, (const uint8_t *)pwd, strlen(pwd)};
	struct stun_addr mapped = {.family = 4, .port = 8443, .ip = {198, 51, 100, 1}};
	uint8_t p[128];
	struct stun_msg m;
	int n;

	n = stun_write_success(p, sizeof(p), ice.probe_txid, &mapped, &key);
	CHECK_EQ(stun_parse(p, (size_t)n, &m), 0);
	return icelite_on_stun(&ice.agent, &ice_env, &m, &from, ice.now, &ice.out);
}

struct icelite_tuple ice_tcp(uint16_t port, uint32_t conn)
{
	struct icelite_tuple t = ice_udp(1, port);

	t.proto = TCP;
	t.conn = conn;
	return t;
}
