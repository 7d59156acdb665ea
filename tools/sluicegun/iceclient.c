#include "tools/sluicegun/iceclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/base/rand.h"

#define FIRST_WAIT_NS (50 * NS_PER_MS)
#define MAX_WAIT_NS (1600 * NS_PER_MS)
#define PRIORITY 0x6effffff // peer reflexive, the only kind the server sees us as

static const char ice_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

void iceclient_init(struct iceclient *c)
{
	*c = (struct iceclient){.send = c->send, .arg = c->arg, .mac = c->mac, .tie_breaker = rand_u64()};
	rand_text(c->ufrag, ICE_UFRAG_LEN, ice_chars);
	rand_text(c->pwd, ICE_PWD_LEN, ice_chars);
}

int iceclient_remote(struct iceclient *c, struct str ufrag, struct str pwd)
{
	if (ufrag.len == 0 || pwd.len == 0 || !str_copy(ufrag, c->remote_ufrag, sizeof(c->remote_ufrag)) ||
	    !str_copy(pwd, c->remote_pwd, sizeof(c->remote_pwd)))
		return -EINVAL;
	return 0;
}

static int address(struct str text, uint16_t port, union ice_addr *a)
{
	char z[64];

	*a = (union ice_addr){};
	if (!str_copy(text, z, sizeof(z)))
		return -ENOTSUP;
	if (inet_pton(AF_INET, z, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, z, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		return 0;
	}
	return -ENOTSUP;
}

int iceclient_candidate(struct iceclient *c, struct str line)
{
	struct str word[6];
	uint64_t port;
	union ice_addr a;

	if (str_starts(line, STR("a=")))
		line = str_skip(line, 2);
	if (!str_starts(line, STR("candidate:")))
		return -ENOTSUP;
	for (unsigned i = 0; i < 6; i++)
		word[i] = str_cut(&line, ' ');
	if (!str_eq(word[1], STR("1")) || !str_ieq(word[2], STR("udp")) || !str_u64(word[5], 65535, &port) ||
	    address(word[4], (uint16_t)port, &a) < 0)
		return -ENOTSUP;
	if (c->n_paths > 0 && c->path[0].to.sa.sa_family != a.sa.sa_family)
		return -ENOTSUP;
	for (unsigned i = 0; i < c->n_paths; i++)
		if (memcmp(&c->path[i].to, &a, sizeof(a)) == 0)
			return 0;
	if (c->n_paths == ICE_CANDIDATES)
		return -ENOSPC;
	c->path[c->n_paths++] = (struct ice_path){.to = a, .wait = FIRST_WAIT_NS};
	return 0;
}

static void check(struct iceclient *c, struct ice_path *p, bool nominate)
{
	struct stun_key key = {c->mac, (const uint8_t *)c->remote_pwd, strlen(c->remote_pwd)};
	struct stun_request r = {.txid = p->txid,
				 .to_ufrag = str_of(c->remote_ufrag),
				 .from_ufrag = str_of(c->ufrag),
				 .priority = PRIORITY,
				 .tie_breaker = c->tie_breaker,
				 .use_candidate = nominate};
	uint8_t msg[STUN_MAX_PROBE];
	int len;

	rand_bytes(p->txid, sizeof(p->txid));
	len = stun_write_request(msg, sizeof(msg), &r, &key);
	if (len > 0)
		c->send(c->arg, &p->to, msg, (size_t)len);
}

void iceclient_tick(struct iceclient *c, ns_t now)
{
	if (c->remote_ufrag[0] == '\0')
		return;
	for (unsigned i = 0; i < c->n_paths; i++) {
		struct ice_path *p = &c->path[i];
		bool is_nominee = c->is_nominating && i == c->nominee;

		if (now < p->due || (c->is_nominating && !is_nominee))
			continue;
		check(c, p, is_nominee);
		p->due = now + (c->is_selected ? ICE_CONSENT_NS : p->wait);
		if (!c->is_selected && p->wait < MAX_WAIT_NS)
			p->wait *= 2;
	}
	if (c->is_selected && now - c->last_answer > ICE_LOST_NS)
		c->is_lost = true;
}

static void answer(struct iceclient *c, const struct stun_msg *m, const union ice_addr *from)
{
	struct stun_key key = {c->mac, (const uint8_t *)c->pwd, ICE_PWD_LEN};
	struct stun_addr mapped = {};
	uint8_t msg[STUN_MAX_REPLY];
	int len;

	if (!stun_mac_check(m, c->mac, (const uint8_t *)c->pwd, ICE_PWD_LEN))
		return;
	if (from->sa.sa_family == AF_INET) {
		mapped = (struct stun_addr){.family = 4, .port = ntohs(from->v4.sin_port)};
		memcpy(mapped.ip, &from->v4.sin_addr, 4);
	} else {
		mapped = (struct stun_addr){.family = 6, .port = ntohs(from->v6.sin6_port)};
		memcpy(mapped.ip, &from->v6.sin6_addr, 16);
	}
	len = stun_write_success(msg, sizeof(msg), stun_txid(m), &mapped, &key);
	if (len > 0)
		c->send(c->arg, from, msg, (size_t)len);
}

// An answer to a check of ours: the first one starts the nomination, the next one completes it.
static bool on_success(struct iceclient *c, unsigned i, ns_t now)
{
	struct ice_path *p = &c->path[i];

	c->last_answer = now;
	c->is_lost = false;
	p->has_answered = true;
	if (!c->is_nominating) {
		c->is_nominating = true;
		c->nominee = (uint8_t)i;
		p->wait = FIRST_WAIT_NS;
		p->due = now;
		iceclient_tick(c, now);
		return false;
	}
	if (c->is_selected || i != c->nominee)
		return false;
	c->is_selected = true;
	p->due = now + ICE_CONSENT_NS;
	return true;
}

bool iceclient_input(struct iceclient *c, uint8_t *msg, size_t len, const union ice_addr *from, ns_t now)
{
	struct stun_msg m;

	if (stun_parse(msg, len, &m) < 0 || m.method != STUN_BINDING)
		return false;
	if (m.cls == STUN_REQUEST) {
		answer(c, &m, from);
		return false;
	}
	if (m.cls != STUN_SUCCESS)
		return false;
	for (unsigned i = 0; i < c->n_paths; i++)
		if (memcmp(c->path[i].txid, stun_txid(&m), STUN_TXID_LEN) == 0)
			return stun_mac_check(&m, c->mac, (const uint8_t *)c->remote_pwd,
					      strlen(c->remote_pwd)) &&
			       on_success(c, i, now);
	return false;
}
