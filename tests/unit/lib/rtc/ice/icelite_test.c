// A client is played by struct peer: it builds checks, the agent answers. The MAC is a cheap keyed sum here; the
// real one is tested with the vectors of stun_test.c.
#include "lib/rtc/ice/icelite.h"

#include "tests/unit/check.h"

#include <errno.h>

#include "lib/base/hash.h"
#include "lib/base/rand.h"

#define MS NS_PER_MS
#define S NS_PER_S
#define UDP 17
#define TCP 6

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

static const struct icelite_env env = {.mac = {toy_mac, NULL}, .random = toy_random};
static const char ufrag1[] = "AAAABBBBCCCCDDDD", ufrag2[] = "EEEEFFFFGGGGHHHH", ufrag3[] = "IIIIJJJJKKKKLLLL";
static const char pwd1[] = "0123456789abcdef0123456789abcdef", pwd2[] = "fedcba9876543210fedcba9876543210";

static struct icelite a;
static struct icelite_out out;
static ns_t now;
static uint32_t next_txid;

static void start(void)
{
	now = 1000 * S;
	next_txid = 1;
	icelite_init(&a, now);
	CHECK_EQ(icelite_set_creds(&a, ufrag1, pwd1, STR("remo"), STR("remotepassword"), &out), 0);
}

static struct icelite_tuple udp(uint8_t host, uint16_t port)
{
	return (struct icelite_tuple){
		.family = 4, .proto = UDP, .port = port, .ip = {192, 0, 2, host}, .local = 1};
}

// One check; zeroed fields are the usual ones.
struct check {
	struct icelite_tuple from;
	const char *ufrag, *pwd, *remote;
	uint32_t priority, txid, nomination;
	bool flag, controlled;
	uint16_t unknown; // extra attribute of this type
	bool spoil_mac, spoil_fp;
};

static size_t build(const struct check *c, uint8_t *p, size_t size)
{
	uint8_t txid[12] = {0};
	const char *pwd = c->pwd ? c->pwd : pwd1;
	struct stun_key key = {&env.mac, (const uint8_t *)pwd, ICELITE_PWD_LEN};
	struct stun_request q = {.txid = txid,
				 .to_ufrag = str_of(c->ufrag ? c->ufrag : ufrag1),
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

static size_t last_request_len;

static enum icelite_verdict send_check(struct check c)
{
	uint8_t p[512];
	struct stun_msg m;

	last_request_len = build(&c, p, sizeof(p));
	CHECK_EQ(stun_parse(p, last_request_len, &m), 0);
	enum icelite_verdict v = icelite_on_stun(&a, &env, &m, &c.from, now, &out);
	int pair = icelite_find(&a, &c.from);
	if (pair >= 0)
		icelite_on_rx(&a, (unsigned)pair, (unsigned)last_request_len);
	return v;
}

static uint16_t path_port(void)
{
	return icelite_path(&a) ? icelite_path(&a)->tuple.port : 0;
}

static void tick(void)
{
	icelite_tick(&a, &env, now, &out);
}

static void valid_check(void)
{
	struct stun_msg m;

	start();
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .priority = 9}), ICELITE_REPLY);
	CHECK_EQ(out.events, ICELITE_EV_PATH | ICELITE_EV_PAIR_NEW);
	CHECK_EQ(out.reply_len, 64);
	CHECK_EQ(stun_parse(out.reply, out.reply_len, &m), 0);
	CHECK(m.cls == STUN_SUCCESS && m.mapped.family == 4 && m.mapped.port == 5000 && m.mapped.ip[3] == 1);
	CHECK(stun_fingerprint_check(&m) && stun_mac_check(&m, &env.mac, (const uint8_t *)pwd1, 32));
	CHECK(out.reply_len <= last_request_len);
	CHECK(icelite_path(&a) && !icelite_path(&a)->is_nominated); // provisional
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .flag = true}), ICELITE_REPLY);
	CHECK_EQ(out.events, ICELITE_EV_PATH);
	CHECK(icelite_path(&a)->is_nominated);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .flag = true}), ICELITE_REPLY);
	CHECK_EQ(out.events, 0);
}

static void ipv6_check(void)
{
	struct icelite_tuple t = {
		.family = 6, .proto = UDP, .port = 6000, .ip = {0x20, 1, 0xd, 0xb8}, .local = 2};
	struct stun_msg m;

	start();
	CHECK_EQ(send_check((struct check){.from = t}), ICELITE_REPLY);
	CHECK_EQ(out.reply_len, 76);
	CHECK_EQ(stun_parse(out.reply, out.reply_len, &m), 0);
	CHECK(m.mapped.family == 6 && m.mapped.port == 6000);
	CHECK_MEM(m.mapped.ip, t.ip, 16);
}

// Silence, and nothing changed.
static void refused(void)
{
	static const struct {
		struct check c;
		enum icelite_verdict want;
	} t[] = {
		{{.spoil_mac = true}, ICELITE_DROP_INTEGRITY},
		{{.pwd = pwd2}, ICELITE_DROP_INTEGRITY},
		{{.spoil_fp = true}, ICELITE_DROP_FINGERPRINT},
		{{.ufrag = ufrag2}, ICELITE_DROP_USERNAME},
		{{.ufrag = "AAAABBBBCCCCDDD"}, ICELITE_DROP_USERNAME},
		{{.ufrag = "AAAABBBBCCCCDDDDE"}, ICELITE_DROP_USERNAME},
		{{.remote = "other"}, ICELITE_DROP_USERNAME},
		{{.remote = "rem"}, ICELITE_DROP_USERNAME},
		{{.remote = "remo:"}, ICELITE_DROP_USERNAME},
	};

	start();
	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct check c = t[i].c;
		c.from = udp(1, 5000);
		CHECK_EQ(send_check(c), t[i].want);
		CHECK(out.events == 0 && out.reply_len == 0);
		CHECK(icelite_find(&a, &c.from) < 0 && !a.had_path);
	}
}

static void missing_parts(void)
{
	struct icelite_tuple from = udp(1, 5000);
	uint8_t p[512];
	struct stun_msg m;
	size_t n;

	start();
	n = build(&(struct check){.flag = true}, p, sizeof(p));
	be16_put(p + 2, (uint16_t)(n - 8 - 20)); // without FINGERPRINT
	CHECK_EQ(stun_parse(p, n - 8, &m), 0);
	CHECK_EQ(icelite_on_stun(&a, &env, &m, &from, now, &out), ICELITE_DROP_FINGERPRINT);
	memmove(p + n - 32, p + n - 8, 8); // without MESSAGE-INTEGRITY
	be16_put(p + 2, (uint16_t)(n - 24 - 20));
	be32_put(p + n - 28, stun_crc32(p, n - 32) ^ 0x5354554e);
	CHECK_EQ(stun_parse(p, n - 24, &m), 0);
	CHECK_EQ(icelite_on_stun(&a, &env, &m, &from, now, &out), ICELITE_DROP_INTEGRITY);
	CHECK(icelite_path(&a) == NULL);
}

static void unknown_attribute(void)
{
	struct stun_msg m;

	start();
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .unknown = 0x7abc}), ICELITE_REPLY);
	CHECK_EQ(stun_parse(out.reply, out.reply_len, &m), 0);
	CHECK(m.cls == STUN_ERROR && m.error_code == 420);
	CHECK(stun_mac_check(&m, &env.mac, (const uint8_t *)pwd1, 32) && stun_fingerprint_check(&m));
	CHECK_MEM(out.reply + 28, ((uint8_t[]){0, 0x0a, 0, 2, 0x7a, 0xbc}), 6);
	CHECK(icelite_path(&a) == NULL && out.events == 0);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .unknown = 0xc057}),
		 ICELITE_REPLY); // optional
	CHECK(icelite_path(&a) != NULL);
}

static void role_conflict(void)
{
	struct stun_msg m;

	start();
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .controlled = true, .flag = true}),
		 ICELITE_REPLY);
	CHECK_EQ(stun_parse(out.reply, out.reply_len, &m), 0);
	CHECK(m.cls == STUN_ERROR && m.error_code == 487);
	CHECK(stun_mac_check(&m, &env.mac, (const uint8_t *)pwd1, 32) && stun_fingerprint_check(&m));
	CHECK(icelite_path(&a) == NULL);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .flag = true}), ICELITE_REPLY);
	CHECK_EQ(path_port(), 5000);
}

static void other_messages(void)
{
	struct icelite_tuple from = udp(1, 5000);
	uint8_t p[512];
	struct stun_msg m;
	size_t n;

	start();
	send_check((struct check){.from = from, .flag = true});
	uint32_t checked = a.pair[0].last_check;
	now += 5 * S;
	static const uint16_t types[] = {0x0011, 0x0101, 0x0111, 0x0003, 0x0200};
	for (unsigned i = 0; i < 5; i++) {
		n = build(&(struct check){.flag = true}, p, sizeof(p));
		be16_put(p, types[i]);
		be32_put(p + n - 4, stun_crc32(p, n - 8) ^ 0x5354554e);
		CHECK_EQ(stun_parse(p, n, &m), 0);
		CHECK_EQ(icelite_on_stun(&a, &env, &m, &from, now, &out), ICELITE_DROP_METHOD);
		CHECK_EQ(out.events, 0);
	}
	CHECK_EQ(a.pair[0].last_check, checked); // no consent from these
}

static void replays(void)
{
	start();
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .txid = 77, .flag = true}), ICELITE_REPLY);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5000), .txid = 77, .flag = true}), ICELITE_REPLY);
	CHECK_EQ(send_check((struct check){.from = udp(9, 6666), .txid = 77, .flag = true}),
		 ICELITE_DROP_REPLAY);
	CHECK_EQ(out.events, 0);
	CHECK_EQ(path_port(), 5000);
	for (unsigned i = 0; i < 63; i++) {
		now += 100 * MS;
		send_check((struct check){.from = udp(1, 5000), .flag = true});
	}
	CHECK_EQ(send_check((struct check){.from = udp(9, 6666), .txid = 77}),
		 ICELITE_DROP_REPLAY); // still known
}

static void aggressive(void)
{
	unsigned n_changes = 0;

	start();
	for (unsigned i = 0; i < 200; i++) { // 10 s; port 5002 has the highest priority
		uint16_t port = (uint16_t)(5001 + i % 3);
		send_check((struct check){
			.from = udp(1, port), .flag = true, .priority = port == 5002 ? 900 : 100});
		n_changes += (out.events & ICELITE_EV_PATH) != 0;
		now += 50 * MS;
	}
	CHECK_EQ(path_port(), 5002);
	CHECK_EQ(n_changes, 2); // the first at once, the best once
}

static void silent_path(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 900});
	send_check((struct check){.from = udp(1, 5002), .flag = true, .priority = 100});
	CHECK_EQ(path_port(), 5001);
	for (unsigned i = 0; i < 60 && path_port() == 5001; i++) {
		now += 100 * MS;
		if (i % 9 == 8) // flagged checks go on only on the other pair
			send_check((struct check){.from = udp(1, 5002), .flag = true, .priority = 100});
	}
	CHECK_EQ(path_port(), 5002);
	CHECK(now - 1000 * S <= 2500 * MS + 900 * MS);
}

static void nomination_values(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .nomination = 1});
	CHECK_EQ(path_port(), 5001);
	send_check((struct check){.from = udp(1, 5002), .nomination = 2});
	CHECK_EQ(path_port(), 5002);
	send_check((struct check){.from = udp(1, 5001), .nomination = 2});
	send_check((struct check){.from = udp(1, 5001), .nomination = 1});
	CHECK_EQ(path_port(), 5002);
	// Chrome's way: the flag leaves 5002, which is still checked, and appears on 5003 of lower priority.
	send_check((struct check){.from = udp(1, 5002), .priority = 900});
	send_check((struct check){.from = udp(1, 5003), .priority = 5, .flag = true});
	CHECK_EQ(path_port(), 5003);
}

static void pion_keepalives(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	for (unsigned i = 0; i < 30; i++) { // without flag every 2 s, for a minute
		now += 2 * S;
		send_check((struct check){.from = udp(1, 5001)});
		tick();
		CHECK_EQ(out.events, 0);
	}
	CHECK_EQ(path_port(), 5001);
	CHECK(icelite_path(&a)->is_nominated);
}

static void ninth_pair(void)
{
	start();
	for (uint16_t i = 0; i < 8; i++) {
		send_check((struct check){.from = udp(1, (uint16_t)(5000 + i)), .flag = i == 0});
		now += 100 * MS;
	}
	CHECK_EQ(send_check((struct check){.from = udp(1, 6000)}), ICELITE_DROP_PAIRS); // none idle for 2 s
	now += 2 * S;
	for (uint16_t i = 2; i < 8; i++)
		send_check((struct check){.from = udp(1, (uint16_t)(5000 + i))});
	CHECK_EQ(send_check((struct check){.from = udp(1, 6000)}), ICELITE_REPLY);
	CHECK(out.events & ICELITE_EV_PAIR_GONE);
	CHECK_EQ(out.n_gone, 1);
	CHECK_EQ(out.gone[0].port, 5001); // the oldest, but not the selected one
	CHECK_EQ(path_port(), 5000);
	CHECK(icelite_find(&a, &out.gone[0]) < 0);
}

static void many_new_pairs(void)
{
	unsigned n_ok = 0;

	start();
	for (uint16_t i = 0; i < 20; i++) {
		n_ok += send_check((struct check){.from = udp(1, (uint16_t)(5000 + i))}) == ICELITE_REPLY;
		now += 2500 * MS;
	}
	CHECK_EQ(n_ok, 16);
	now += 60 * S;
	CHECK_EQ(send_check((struct check){.from = udp(1, 7000)}), ICELITE_REPLY);
}

// n media records from a port, 20 ms apart; counts path changes.
static unsigned media(uint16_t port, unsigned n, bool is_newer)
{
	struct icelite_tuple t = udp(1, port);
	unsigned n_changes = 0;

	for (unsigned i = 0; i < n; i++) {
		int pair = icelite_find(&a, &t);
		CHECK(pair >= 0);
		icelite_on_media(&a, (unsigned)pair, is_newer, now, &out);
		n_changes += (out.events & ICELITE_EV_PATH) != 0;
		now += 20 * MS;
	}
	return n_changes;
}

static void rebinding(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	media(5001, 50, true);
	// NAT gives a new port: a check without the flag makes it a pair, media moves the path.
	send_check((struct check){.from = udp(1, 5002)});
	CHECK_EQ(path_port(), 5001);
	CHECK_EQ(media(5002, 24, true), 0); // 480 ms
	CHECK_EQ(media(5002, 4, true), 1);
	CHECK_EQ(path_port(), 5002);
	CHECK(icelite_path(&a)->is_nominated && icelite_path(&a)->is_proven); // same address, no probing
	CHECK(icelite_may_send(&a, 100000));
}

static void media_does_not_move_alone(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	send_check((struct check){.from = udp(1, 5002)});
	for (unsigned i = 0; i < 100; i++) { // the selected path is in use
		CHECK_EQ(media(5001, 1, true), 0);
		CHECK_EQ(media(5002, 3, true), 0);
	}
	CHECK_EQ(media(5002, 100, false), 0); // copies of old packets move nothing
	CHECK_EQ(path_port(), 5001);
}

// Without a pair there is no media: the rule is the caller's.
static void stranger(void)
{
	struct icelite_tuple t = udp(1, 5001), other = t;

	start();
	send_check((struct check){.from = t, .flag = true});
	CHECK_EQ(icelite_find(&a, &t), 0);
	other.ip[3]++;
	CHECK(icelite_find(&a, &other) < 0);
	other = t, other.port++;
	CHECK(icelite_find(&a, &other) < 0);
	other = t, other.local++; // replies must leave from where the check arrived
	CHECK(icelite_find(&a, &other) < 0);
}

// Give the agent the response to its probe, signed with the peer's password.
static enum icelite_verdict answer_probe(struct icelite_tuple from, const char *pwd)
{
	struct stun_key key = {&env.mac, (const uint8_t *)pwd, strlen(pwd)};
	struct stun_addr mapped = {.family = 4, .port = 8443, .ip = {198, 51, 100, 1}};
	uint8_t p[128], txid[12];
	struct stun_msg m;
	int n;

	memcpy(txid, a.probe_txid, 12);
	n = stun_write_success(p, sizeof(p), txid, &mapped, &key);
	CHECK_EQ(stun_parse(p, (size_t)n, &m), 0);
	return icelite_on_stun(&a, &env, &m, &from, now, &out);
}

static void unproven_address(void)
{
	struct icelite_tuple victim = udp(200, 7000);
	unsigned rx, tx = 0, n_probes = 0;
	struct stun_msg m;
	struct str l, r;

	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	CHECK(icelite_may_send(&a, 1000000)); // DTLS proved this one
	now += 3 * S;
	send_check((struct check){.from = victim, .flag = true});
	CHECK_EQ(path_port(), 7000);
	rx = (unsigned)last_request_len;
	tick();
	CHECK(out.events & ICELITE_EV_SEND);
	CHECK(memcmp(&out.to, &victim, sizeof(victim)) == 0);
	CHECK_EQ(stun_parse(out.reply, out.reply_len, &m), 0);
	CHECK(m.cls == STUN_REQUEST && m.controlled && m.has_priority && !m.use_candidate);
	CHECK(stun_username(&m, &l, &r) && str_eq(l, STR("remo")) && str_eq(r, STR("AAAABBBBCCCCDDDD")));
	CHECK(stun_fingerprint_check(&m) &&
	      stun_mac_check(&m, &env.mac, (const uint8_t *)"remotepassword", 14));
	tx = out.reply_len;
	for (unsigned i = 0; i < 200; i++) { // media wants to flow, probes are repeated and end
		now += 100 * MS;
		tick();
		if (out.events & ICELITE_EV_SEND) {
			tx += out.reply_len;
			n_probes++;
		}
		tx += icelite_may_send(&a, 60) ? 60 : 0;
	}
	CHECK(tx <= 3 * rx);
	CHECK(n_probes <= 8);
}

// Voice that takes all that an unproven address may have must not keep the probe away that would prove it.
static void voice_leaves_room_for_the_probe(void)
{
	unsigned n_probes = 0;

	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	now += 3 * S;
	send_check((struct check){.from = udp(2, 7000), .flag = true});
	for (unsigned i = 0; i < 100; i++) { // two seconds of voice, looked at each half second
		while (icelite_may_send(&a, 60))
			;
		now += 20 * MS;
		if (i % 25 == 24) {
			tick();
			n_probes += (out.events & ICELITE_EV_SEND) != 0;
		}
	}
	CHECK(n_probes >= 1);
	CHECK_EQ(answer_probe(udp(2, 7000), "remotepassword"), ICELITE_OK);
	CHECK(icelite_may_send(&a, 2000));
}

static void proof_by_probe(void)
{
	struct icelite_tuple t = udp(2, 7000);

	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	now += 3 * S;
	send_check((struct check){.from = t, .flag = true});
	CHECK(!icelite_may_send(&a, 2000));
	tick();
	CHECK(out.events & ICELITE_EV_SEND);
	CHECK_EQ(answer_probe(t, "wrong"), ICELITE_DROP_INTEGRITY);
	CHECK_EQ(answer_probe(udp(3, 7000), "remotepassword"), ICELITE_DROP_METHOD); // from elsewhere
	CHECK(!icelite_may_send(&a, 2000));
	CHECK_EQ(answer_probe(t, "remotepassword"), ICELITE_OK);
	CHECK(icelite_may_send(&a, 2000));
	CHECK_EQ(answer_probe(t, "remotepassword"), ICELITE_DROP_METHOD); // only once
	now += 10 * S;
	tick();
	CHECK(!(out.events & ICELITE_EV_SEND));
}

// Found by fuzzing: without a password the answer would have been checked with an empty key.
static void probe_then_restart(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	now += 3 * S;
	send_check((struct check){.from = udp(2, 7000), .flag = true});
	tick();
	CHECK(out.events & ICELITE_EV_SEND);
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, STR_NONE, STR_NONE, &out), 0);
	CHECK_EQ(answer_probe(udp(2, 7000), ""), ICELITE_DROP_METHOD);
	CHECK_EQ(answer_probe(udp(2, 7000), "remotepassword"), ICELITE_DROP_METHOD);
	CHECK(!icelite_may_send(&a, 2000));
	// with the new password known, the address is asked again
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, STR("new1"), STR("newpwd"), &out), 0);
	now += 3 * S;
	tick();
	CHECK(out.events & ICELITE_EV_SEND);
	CHECK_EQ(answer_probe(udp(2, 7000), "newpwd"), ICELITE_OK);
	CHECK(icelite_may_send(&a, 2000));
}

static void proof_by_report(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	now += 3 * S;
	send_check((struct check){.from = udp(2, 7000), .flag = true});
	CHECK(!icelite_may_send(&a, 2000));
	icelite_on_acked(&a, now - 100 * MS); // a report that was sent the old way
	icelite_on_acked(&a, now);
	CHECK(!icelite_may_send(&a, 2000));
	icelite_on_acked(&a, now + 20 * MS);
	CHECK(icelite_may_send(&a, 2000));
	// and back to the first address, which was proven before
	now += 3 * S;
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	CHECK_EQ(path_port(), 5001);
	CHECK(icelite_may_send(&a, 2000));
}

static void before_dtls(void)
{
	unsigned tx = 0;

	start();
	CHECK(!icelite_may_send(&a, 1)); // no path
	send_check((struct check){.from = udp(1, 5001)});
	for (unsigned i = 0; i < 100; i++)
		tx += icelite_may_send(&a, 100) ? 100 : 0;
	CHECK(tx > 3900 && tx <= 4096); // room for the server flight, no more
	icelite_on_rx(&a, 0, 2000);
	CHECK(icelite_may_send(&a, 1500)); // three times what came
	CHECK(!icelite_may_send(&a, 2500));
}

static void consent(void)
{
	ns_t last;

	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	last = now;
	while (icelite_may_send(&a, 100) && now - last < 60 * S) { // media alone is no consent
		now += 100 * MS;
		icelite_on_media(&a, 0, true, now, &out);
		tick();
	}
	CHECK_EQ((now - last) / MS, 30000);
	CHECK_EQ(a.liveness, ICELITE_LOST);
	CHECK(out.events & ICELITE_EV_LIVENESS);
	CHECK((out.events & ICELITE_EV_PAIR_GONE) && out.gone[0].port == 5001);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5001), .flag = true}),
		 ICELITE_REPLY); // and comes back
	CHECK(out.events & ICELITE_EV_LIVENESS);
	CHECK_EQ(a.liveness, ICELITE_LIVE);
	CHECK(icelite_may_send(&a, 100));
}

static void suspect(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	now += 2900 * MS;
	tick();
	CHECK_EQ(out.events, 0);
	now += 100 * MS;
	tick();
	CHECK(out.events == ICELITE_EV_LIVENESS && a.liveness == ICELITE_SUSPECT);
	tick();
	CHECK_EQ(out.events, 0);
	CHECK(icelite_may_send(&a, 100)); // only a warning
	icelite_on_media(&a, 0, false, now, &out);
	CHECK(out.events == ICELITE_EV_LIVENESS && a.liveness == ICELITE_LIVE);
}

static void no_path(void)
{
	start();
	now += 29 * S;
	tick();
	CHECK_EQ(out.events, 0);
	now += 1 * S;
	tick();
	CHECK(out.events == ICELITE_EV_LIVENESS && a.liveness == ICELITE_NO_PATH);
	tick();
	CHECK_EQ(out.events, 0);
	send_check((struct check){.from = udp(1, 5001)});
	CHECK_EQ(a.liveness, ICELITE_LIVE);
}

static void idle_selected(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 9});
	for (unsigned i = 0; i < 9;
	     i++) { // the other pair was nominated once and is checked without flag since
		send_check((struct check){.from = udp(1, 5002), .flag = i == 0, .priority = 1});
		CHECK_EQ(path_port(), 5001);
		now += 900 * MS;
		tick();
		if (path_port() == 5002)
			break;
	}
	CHECK_EQ(path_port(), 5002);
	CHECK_EQ((now - 1000 * S) / MS, 8100);
}

static void idle_pairs_go(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	send_check((struct check){.from = udp(1, 5002)});
	for (unsigned i = 0; i < 31; i++) {
		now += 1 * S;
		if (i < 30)
			send_check((struct check){.from = udp(1, 5001), .flag = true});
		tick();
		if (out.n_gone)
			break;
	}
	CHECK_EQ((now - 1000 * S) / S, 30);
	CHECK(out.n_gone == 1 && out.gone[0].port == 5002);
	CHECK_EQ(path_port(), 5001);
}

static void restart(void)
{
	struct check old = {.from = udp(1, 5001), .flag = true};
	struct check fresh = {
		.from = udp(1, 5002), .flag = true, .ufrag = ufrag2, .pwd = pwd2, .remote = "new1"};

	start();
	send_check(old);
	icelite_on_keys(&a, a.selected);
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, STR_NONE, STR_NONE, &out), 0);
	CHECK_EQ(out.events, 0);
	now += 40 * S / 20;
	CHECK_EQ(send_check(old), ICELITE_REPLY); // the answer is still on its way
	CHECK_EQ(path_port(), 5001);
	CHECK(icelite_may_send(&a, 1000));
	CHECK_EQ(send_check(fresh), ICELITE_REPLY); // remote ufrag not known yet: any
	CHECK_EQ(path_port(), 5002);                // the new generation takes over at once
	CHECK(icelite_may_send(&a, 100000));        // same address, keys live on
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, STR("new1"), STR("newpwd"), &out), 0);
	fresh.remote = "bad1";
	CHECK_EQ(send_check(fresh), ICELITE_DROP_USERNAME);
	fresh.remote = "new1";
	for (unsigned i = 0; i < 14; i++) {
		now += 2 * S;
		CHECK_EQ(send_check(old), ICELITE_REPLY);
		CHECK_EQ(send_check(fresh), ICELITE_REPLY);
		tick();
		CHECK_EQ(path_port(), 5002); // flagged checks of the old generation move nothing
	}
	now += 2 * S; // 30 s after the first check under the new ones
	tick();
	CHECK(out.events & ICELITE_EV_CREDS_GONE);
	CHECK_MEM(out.gone_ufrag, ufrag1, ICELITE_UFRAG_LEN);
	CHECK_EQ(send_check(old), ICELITE_DROP_USERNAME);
	CHECK_EQ(send_check(fresh), ICELITE_REPLY);
}

static void restart_renomination(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .nomination = 7});
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, STR("new1"), STR("newpwd"), &out), 0);
	send_check((struct check){.from = udp(1, 5001), .nomination = 8});
	send_check((struct check){
		.from = udp(1, 5002), .nomination = 1, .ufrag = ufrag2, .pwd = pwd2, .remote = "new1"});
	CHECK_EQ(path_port(), 5002); // values start again with the generation
}

static void second_restart(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, STR_NONE, STR_NONE, &out), 0);
	CHECK_EQ(icelite_set_creds(&a, ufrag3, pwd2, STR_NONE, STR_NONE, &out), 0);
	CHECK(out.events & ICELITE_EV_CREDS_GONE);
	CHECK_MEM(out.gone_ufrag, ufrag1, ICELITE_UFRAG_LEN);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5001)}), ICELITE_DROP_USERNAME);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5001), .ufrag = ufrag2, .pwd = pwd2}),
		 ICELITE_REPLY);
	CHECK_EQ(send_check((struct check){.from = udp(1, 5001), .ufrag = ufrag3, .pwd = pwd2}),
		 ICELITE_REPLY);
}

static void long_remote_values(void)
{
	char longer[300];

	memset(longer, 'x', sizeof(longer));
	start();
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, (struct str){longer, 33}, STR("p"), &out), -EINVAL);
	CHECK_EQ(icelite_set_creds(&a, ufrag2, pwd2, (struct str){longer, 32}, (struct str){longer, 256},
				   &out),
		 0);
	send_check((struct check){.from = udp(1, 1),
				  .ufrag = ufrag2,
				  .pwd = pwd2,
				  .remote = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
				  .flag = true});
	icelite_on_keys(&a, a.selected);
	now += 3 * S;
	send_check((struct check){.from = udp(2, 2),
				  .ufrag = ufrag2,
				  .pwd = pwd2,
				  .remote = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
				  .flag = true});
	CHECK_EQ(path_port(), 2);
	tick();
	CHECK(!(out.events & ICELITE_EV_SEND)); // no probes with such a password
}

static void udp_before_tcp(void)
{
	struct icelite_tuple t = udp(1, 4000);

	t.proto = TCP;
	t.conn = 7;
	start();
	send_check((struct check){.from = t, .flag = true, .priority = 900});
	CHECK_EQ(path_port(), 4000);
	send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 5});
	CHECK_EQ(path_port(), 5001);
	for (unsigned i = 0; i < 10; i++) {
		now += 500 * MS;
		send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 5});
		send_check((struct check){.from = t, .flag = true, .priority = 900});
		CHECK_EQ(path_port(), 5001);
	}
}

static struct icelite_tuple tcp(uint16_t port, uint32_t conn)
{
	struct icelite_tuple t = udp(1, port);

	t.proto = TCP;
	t.conn = conn;
	return t;
}

// The network begins to swallow UDP: Chrome keeps its TCP spare warm, moves its flag there, and back when UDP works.
static void spare_path(void)
{
	struct icelite_tuple spare = tcp(4000, 7);

	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 900});
	send_check((struct check){.from = tcp(4000, 7), .priority = 5});
	CHECK_EQ(path_port(), 5001);
	for (unsigned i = 0; i < 30; i++) { // 60 s: nothing moves, nothing is forgotten
		now += 2 * S;
		send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 900});
		send_check((struct check){.from = tcp(4000, 7), .priority = 5});
		tick();
		CHECK_EQ(path_port(), 5001);
		CHECK(icelite_find(&a, &spare) >= 0);
	}
	now += 2500 * MS; // UDP is silent
	send_check((struct check){.from = tcp(4000, 7), .flag = true, .priority = 5});
	CHECK_EQ(path_port(), 4000);
	CHECK(icelite_path(&a)->is_nominated && icelite_path(&a)->is_proven);
	CHECK_EQ(a.liveness, ICELITE_LIVE);
	now += 10 * S; // UDP works again, the flag is still on TCP
	send_check((struct check){.from = tcp(4000, 7), .flag = true, .priority = 5});
	send_check((struct check){.from = udp(1, 5001), .priority = 900});
	CHECK_EQ(path_port(), 4000);
	send_check((struct check){.from = udp(1, 5001), .flag = true, .priority = 900});
	CHECK_EQ(path_port(), 5001);
}

// The handshake of TCP went there and back: nothing is asked of such an address.
static void tcp_is_proven(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	icelite_on_keys(&a, a.selected);
	now += 3 * S;
	struct icelite_tuple elsewhere = tcp(4000, 7);
	elsewhere.ip[3] = 77;
	send_check((struct check){.from = elsewhere, .flag = true});
	CHECK_EQ(path_port(), 4000);
	CHECK(icelite_may_send(&a, 1000000));
	tick();
	CHECK((out.events & ICELITE_EV_SEND) == 0);
}

static void gone(struct icelite_tuple t)
{
	int pair = icelite_find(&a, &t);

	CHECK_OR_RETURN(pair >= 0);
	icelite_on_gone(&a, (unsigned)pair, now, &out);
	CHECK(out.events & ICELITE_EV_PAIR_GONE);
	CHECK_EQ(out.n_gone, 1);
	CHECK_MEM(&out.gone[0], &t, sizeof(t));
	CHECK(icelite_find(&a, &t) < 0);
}

static void closed_connection(void)
{
	start();
	send_check((struct check){.from = tcp(4000, 7), .flag = true, .priority = 5});
	send_check((struct check){.from = tcp(4001, 8), .priority = 9});
	send_check((struct check){.from = udp(2, 5002), .priority = 1});
	gone(tcp(4001, 8)); // a spare: the path stays
	CHECK_EQ(out.events & ICELITE_EV_PATH, 0);
	CHECK_EQ(path_port(), 4000);
	send_check((struct check){.from = tcp(4002, 9), .priority = 9});
	gone(tcp(4000, 7)); // the path: UDP before TCP
	CHECK(out.events & ICELITE_EV_PATH);
	CHECK_EQ(path_port(), 5002);
	CHECK_EQ(a.liveness, ICELITE_LIVE);
	now += 9 * S;
	send_check((struct check){.from = tcp(4002, 9), .flag = true, .priority = 9});
	CHECK_EQ(path_port(), 4002);
	gone(tcp(4002, 9)); // UDP was silent for too long to be one
	CHECK(icelite_path(&a) == NULL);
	CHECK_EQ(a.liveness, ICELITE_SUSPECT);
	CHECK(out.events & ICELITE_EV_LIVENESS);
	CHECK(!icelite_may_send(&a, 1));
	send_check((struct check){.from = tcp(4003, 10), .flag = true});
	CHECK_EQ(path_port(), 4003);
	CHECK_EQ(a.liveness, ICELITE_LIVE);
}

// Both nominated, both silent then fresh again: the timer too takes UDP, whatever the priorities.
static void timer_prefers_udp(void)
{
	start();
	send_check((struct check){.from = udp(1, 5001), .nomination = 9});
	send_check((struct check){.from = tcp(4000, 7), .nomination = 1, .priority = 900});
	send_check((struct check){.from = udp(1, 5002), .nomination = 1, .priority = 1});
	CHECK_EQ(path_port(), 5001);
	now += 7 * S;
	send_check((struct check){.from = tcp(4000, 7), .priority = 900});
	send_check((struct check){.from = udp(1, 5002), .priority = 1});
	now += 1 * S;
	tick();
	CHECK_EQ(path_port(), 5002);
}

static void flood_of_bad_checks(void)
{
	unsigned n_answered = 0, n_hashed = 0, n = 0;

	start();
	send_check((struct check){.from = udp(1, 5001), .flag = true});
	for (unsigned i = 0; i < 40000; i++) { // 1000/s for 40 s, from everywhere
		enum icelite_verdict v = send_check(
			(struct check){.from = udp((uint8_t)(10 + i % 200), (uint16_t)i), .spoil_mac = true});
		n_hashed += v == ICELITE_DROP_INTEGRITY;
		CHECK_OR_RETURN(v == ICELITE_DROP_INTEGRITY || v == ICELITE_DROP_RATE);
		if (i % 2500 == 0) {
			n_answered += send_check((struct check){.from = udp(1, 5001), .flag = true}) ==
				      ICELITE_REPLY;
			n++;
		}
		if (i % 100 == 0)
			tick();
		now += 1 * MS;
	}
	CHECK_EQ(n_answered, n);
	CHECK_EQ(a.liveness, ICELITE_LIVE);
	CHECK(n_hashed <= 100 + 50 * 40 + 1); // the rest costs no hash
}

static void own_flood(void)
{
	unsigned n_ok = 0;

	start();
	for (unsigned i = 0; i < 10000; i++) { // 1000/s for 10 s
		n_ok += send_check((struct check){.from = udp(1, 5001), .flag = true}) == ICELITE_REPLY;
		now += 1 * MS;
	}
	CHECK(n_ok >= 590 && n_ok <= 610); // burst 100 and 50/s
}

static void few_changes(void)
{
	unsigned n = 0;

	start();
	for (uint32_t i = 1; i <= 100; i++) { // a peer that nominates another port every 100 ms
		send_check((struct check){.from = udp(1, (uint16_t)(5000 + i % 2)), .nomination = i});
		n += (out.events & ICELITE_EV_PATH) != 0;
		now += 100 * MS;
	}
	CHECK(n <= 6);
	now += 10 * S; // later its wish is heard again
	send_check((struct check){.from = udp(1, 5000), .nomination = 200});
	CHECK_EQ(path_port(), 5000);
	send_check((struct check){.from = udp(1, 5001), .nomination = 201});
	CHECK_EQ(path_port(), 5001);
}

static void small(void)
{
	CHECK(sizeof(struct icelite) <= 1152);
}

CU_TestInfo icelite_tests[] = {
	{"a valid check is answered, selected provisionally, then by nomination", valid_check},
	{"an IPv6 check is answered", ipv6_check},
	{"wrong integrity, fingerprint or names: silence, no state", refused},
	{"missing fingerprint or integrity: silence", missing_parts},
	{"an unknown mandatory attribute gets a signed 420", unknown_attribute},
	{"ICE-CONTROLLED gets a signed 487, the retry works", role_conflict},
	{"indications, foreign responses and other methods are dropped and refresh nothing", other_messages},
	{"a repeated check is answered, from another address it is dropped", replays},
	{"three pairs flagged in turn settle on the highest priority without flapping", aggressive},
	{"a silent path is left within 2.5 s and one check", silent_path},
	{"renomination values, and a flag that moves to a lower priority", nomination_values},
	{"keepalives without the flag keep the path (Pion)", pion_keepalives},
	{"a ninth pair evicts the oldest idle one, never the selected", ninth_pair},
	{"at most 16 new pairs a minute", many_new_pairs},
	{"after a NAT rebinding authenticated media moves the path", rebinding},
	{"media moves nothing while the path is in use, nor do copies", media_does_not_move_alone},
	{"other addresses, ports and local addresses are strangers", stranger},
	{"a spoofed address gets three times what it sent, probes end", unproven_address},
	{"voice leaves room for the probe of a new address", voice_leaves_room_for_the_probe},
	{"the peer's answer to a probe proves an address", proof_by_probe},
	{"a probe under way is forgotten when the password it needs is gone", probe_then_restart},
	{"a report about what was sent there proves an address", proof_by_report},
	{"before DTLS at most 4 KiB or three times", before_dtls},
	{"without checks sending stops after 30 s, a check revives", consent},
	{"nothing for 3 s makes the session suspect, media alone clears it", suspect},
	{"no check within 30 s of the start is told once", no_path},
	{"a path idle for 8 s gives way to a nominated one", idle_selected},
	{"idle pairs go after 30 s", idle_pairs_go},
	{"ICE restart: old and new are answered, the new one takes over, the old one ends", restart},
	{"nomination values start again with an ICE restart", restart_renomination},
	{"a second restart ends the first credentials at once", second_restart},
	{"remote names too long are refused, passwords too long only disable probes", long_remote_values},
	{"UDP is preferred over TCP", udp_before_tcp},
	{"a client that loses UDP moves to its TCP spare and back", spare_path},
	{"a TCP connection proves its address", tcp_is_proven},
	{"when the path goes silent the timer, too, prefers UDP", timer_prefers_udp},
	{"a closed connection takes its pair, and a spare the path, at once", closed_connection},
	{"a flood of bad checks from elsewhere cannot starve consent", flood_of_bad_checks},
	{"a known pair is limited to 50 checks a second", own_flood},
	{"the path changes at most 4 times in 10 s", few_changes},
	{"an agent is small", small},
	CU_TEST_INFO_NULL,
};
