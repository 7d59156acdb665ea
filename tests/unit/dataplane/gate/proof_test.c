// An address gets volume only once it has proved that it receives: what a client that aims
// at somebody else's address can and cannot do.
#include "lib/rtc/wire/rtcp.h"
#include "tests/support/dataplane/rig_peer.h"

#define VICTIM_PORT 7000

static bool is_victim(const struct flow_key *to)
{
	return to->remote_port == VICTIM_PORT;
}

static unsigned n_bytes_to_victim(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent; i++)
		n += is_victim(&rig.sent[i].to) ? rig.sent[i].len : 0;
	return n;
}

// What was put in last seems to come from 127.0.0.9, another machine.
static void spoof(const struct rig_peer *p)
{
	struct flow_key *key = &pkt_of(rig.in[p->queue][rig.n_in[p->queue] - 1])->key;

	key->remote[3] = 9;
	key->remote_port = VICTIM_PORT;
}

// b, who hears a, makes the victim its selected pair.
static bool aim(struct rig_peer *a, struct rig_peer *b)
{
	if (!rig_open(1))
		return false;
	rig_join(a, 0, SEAL_AEAD_AES_128_GCM);
	rig_join(b, 1, SEAL_AEAD_AES_128_GCM);
	CHECK_EQ(rig_leg(b, 0, a, 77), 0);
	for (unsigned i = 0; i < 150; i++) { // 3 s: the old pair is no longer fresh
		rig_say(a);
		rig_run(20 * NS_PER_MS);
	}
	rig.n_sent = 0;
	rig_check(b);
	spoof(b);
	rig_run(20 * NS_PER_MS);
	return true;
}

static void leave(struct rig_peer *a, struct rig_peer *b)
{
	rig_leave(a);
	rig_leave(b);
	rig_close();
}

static void report(struct rig_peer *b, uint32_t lsr, uint32_t index)
{
	struct rtcp_block block = {.ssrc = 77, .lsr = lsr};
	uint8_t bytes[128];
	struct wbuf w = wbuf_of(bytes, sizeof(bytes));

	rtcp_write_rr(&w, 1, &block, 1);
	int len = seal_rtcp_protect(rig.seal, b->tx, bytes, wbuf_len(&w), sizeof(bytes), index);
	CHECK_OR_RETURN(len > 0);
	rig_receive(b, bytes, (size_t)len);
	spoof(b);
	rig_run(0);
}

static void talk(struct rig_peer *a, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		rig_say(a);
		rig_run(20 * NS_PER_MS);
	}
}

static uint32_t newest_lsr(void)
{
	return rig.dp->session[1]->legs->sr_mid[0];
}

// A time at which a report could have been made, and none was.
static uint32_t guess(uint32_t i)
{
	return (uint32_t)(clock_ntp(rig.dp->wall_offset + rig.now) >> 16) - 3000 - i;
}

static void forged_reports(void)
{
	struct rig_peer a, b;
	unsigned so_far;

	CHECK_OR_RETURN(aim(&a, &b));
	talk(&a, 100);
	so_far = n_bytes_to_victim();
	CHECK(so_far > 0 && so_far < 1000);
	for (uint32_t i = 0; i < 10; i++)
		report(&b, guess(i), 1 + i);
	rig.n_sent = 0;
	talk(&a, 100);
	CHECK(n_bytes_to_victim() < 3000); // three times what the reports brought
	leave(&a, &b);
}

static void true_report(void)
{
	struct rig_peer a, b;

	CHECK_OR_RETURN(aim(&a, &b));
	talk(&a, 100); // reports are made after the change
	report(&b, newest_lsr(), 1);
	rig.n_sent = 0;
	talk(&a, 100);
	CHECK_EQ(rig_n_heard(&(struct rig_peer){.port = VICTIM_PORT}, 77), 100);
	leave(&a, &b);
}

static void many_guesses(void)
{
	struct rig_peer a, b;

	CHECK_OR_RETURN(aim(&a, &b));
	talk(&a, 100);
	for (uint32_t i = 0; i < 17; i++)
		report(&b, guess(i), 1 + i);
	report(&b, newest_lsr(), 100);
	CHECK(rig.dp->session[1]->send == SEND_ASK);
	leave(&a, &b);
}

static void dtls(struct rig_peer *p, bool is_spoofed)
{
	uint8_t record[100] = {22, 0xfe, 0xfd};

	rig_receive(p, record, sizeof(record));
	if (is_spoofed)
		spoof(p);
	rig_run(0);
}

static void answer_dtls(const struct rig_peer *p)
{
	uint8_t record[100] = {22, 0xfe, 0xfd};

	punt_inject(rig.dp->worker[0], rig.dp->session[p->sid & 0xffffff],
		    worker_packet(rig.dp->worker[0], record, sizeof(record)));
	rig_run(0);
}

static bool keyed_after_dtls(bool end_spoofed)
{
	struct rig_peer a;
	bool is_free;

	if (!rig_open(1))
		return true;
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_check(&a);
	rig_run(0);
	dtls(&a, false);
	answer_dtls(&a);
	for (unsigned i = 0; i < 3; i++)
		rig_run(NS_PER_S);
	rig_check(&a); // the victim's address is selected just before the end of the handshake
	spoof(&a);
	rig_run(0);
	dtls(&a, end_spoofed);
	rig_keys(&a);
	rig_run(0);
	CHECK_EQ(rig.dp->session[0]->path.key.remote_port, VICTIM_PORT);
	is_free = rig.dp->session[0]->send == SEND_FREE;
	rig_leave(&a);
	rig_close();
	return is_free;
}

static void handshake_elsewhere(void)
{
	CHECK(!keyed_after_dtls(false));
	CHECK(!keyed_after_dtls(true));
}

static void handshake_here(void)
{
	struct rig_peer a;

	CHECK_OR_RETURN(rig_open(1));
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_check(&a);
	rig_run(0);
	dtls(&a, false);
	answer_dtls(&a);
	dtls(&a, false);
	rig_keys(&a);
	rig_run(0);
	CHECK(rig.dp->session[0]->send == SEND_FREE);
	rig_leave(&a);
	rig_close();
}

static unsigned n_records_to(uint16_t port)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig.n_sent; i++)
		n += rig.sent[i].to.remote_port == port && rig.sent[i].data[0] == 22;
	return n;
}

// The answer to our last check.
static void answer_check(const struct rig_peer *p, const char *pwd)
{
	const uint8_t *check = rig.sent[rig.n_sent - 1].data;
	struct stun_mac mac = {rig_hmac, rig.seal};
	struct stun_key key = {&mac, (const uint8_t *)pwd, strlen(pwd)};
	struct stun_addr mapped = {.family = 4, .port = 8443};
	uint8_t msg[STUN_MAX_REPLY];

	CHECK_OR_RETURN(be16_get(check) == 0x0001);
	rig_receive(p, msg, (size_t)stun_write_success(msg, sizeof(msg), check + 8, &mapped, &key));
	rig_run(0);
}

// The first address can only send: the handshake is answered on the second one once that has answered us.
static void one_way_path(void)
{
	struct rig_peer a;
	struct ipc_session_ice ice = {.remote_ufrag_len = 3, .remote_ufrag = "rig", .remote_pwd = "rigs own"};
	uint16_t one_way;

	CHECK_OR_RETURN(rig_open(1));
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	ice.sid = a.sid;
	memcpy(ice.ufrag, a.ufrag, sizeof(ice.ufrag));
	memcpy(ice.pwd, a.pwd, sizeof(ice.pwd));
	CHECK_EQ(rig_cmd(&ice, CMD_SESSION_ICE), 0);
	one_way = a.port;
	rig_check(&a);
	rig_run(0);
	a.port = 6000;
	rig_check(&a);
	rig_run(0);
	CHECK_EQ(rig.dp->session[0]->path.key.remote_port, one_way);
	dtls(&a, false);
	answer_dtls(&a); // not yet: who sends from there may have copied the check
	CHECK_EQ(n_records_to(6000), 0);
	CHECK_EQ(n_records_to(one_way), 1);
	rig.n_sent--; // the record: what was sent last is the check again
	answer_check(&a, "rigs own");
	dtls(&a, false);
	answer_dtls(&a);
	CHECK_EQ(n_records_to(6000), 1);
	rig_keys(&a);
	rig_run(0);
	CHECK_EQ(rig.dp->session[0]->path.key.remote_port, 6000);
	CHECK(rig.dp->session[0]->send == SEND_FREE);
	rig_leave(&a);
	rig_close();
}

CU_TestInfo proof_tests[] = {
	{"a handshake is answered where the peer answered, and media follow", one_way_path},
	{"report blocks that name no report of ours prove nothing", forged_reports},
	{"a report block that names one sent this way proves the address", true_report},
	{"guessing the time of a report is cut off", many_guesses},
	{"a handshake on one pair does not prove another", handshake_elsewhere},
	{"a handshake proves the pair it ran on", handshake_here},
	CU_TEST_INFO_NULL,
};
