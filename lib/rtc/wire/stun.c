// A message is walked once, with every attribute checked against the datagram; values are read in place. What
// stands behind MESSAGE-INTEGRITY is unauthenticated and therefore not looked at (RFC 8489 section 14.5),
// except FINGERPRINT.
#include "lib/rtc/wire/stun.h"

#include <assert.h>
#include <errno.h>

// --- CRC-32 -------------------------------------------------------------------------------------
// The table is linear: each entry is the sum of the entries of its bits.
#define CRC_BIT(i, b, k) ((i) >> (b)&1 ? (k) : 0u)
#define CRC1(i)                                                                                 \
	(CRC_BIT(i, 0, 0x77073096u) ^ CRC_BIT(i, 1, 0xee0e612cu) ^ CRC_BIT(i, 2, 0x076dc419u) ^ \
	 CRC_BIT(i, 3, 0x0edb8832u) ^ CRC_BIT(i, 4, 0x1db71064u) ^ CRC_BIT(i, 5, 0x3b6e20c8u) ^ \
	 CRC_BIT(i, 6, 0x76dc4190u) ^ CRC_BIT(i, 7, 0xedb88320u))
#define CRC4(i) CRC1(i), CRC1((i) + 1), CRC1((i) + 2), CRC1((i) + 3)
#define CRC16(i) CRC4(i), CRC4((i) + 4), CRC4((i) + 8), CRC4((i) + 12)
#define CRC64(i) CRC16(i), CRC16((i) + 16), CRC16((i) + 32), CRC16((i) + 48)
static const uint32_t crc_table[256] = {CRC64(0), CRC64(64), CRC64(128), CRC64(192)};

uint32_t stun_crc32(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ crc_table[(crc ^ p[i]) & 0xff];
	return ~crc;
}

#define FINGERPRINT_XOR 0x5354554eu

// --- parse --------------------------------------------------------------------------------------

static int parse_xor_addr(const uint8_t *v, size_t len, const uint8_t *hdr, struct stun_addr *a)
{
	size_t ip_len = len > 1 && v[1] == 2 ? 16 : 4;

	if (len != 4 + ip_len || (v[1] != 1 && v[1] != 2))
		return -EBADMSG;
	*a = (struct stun_addr){.family = v[1] == 1 ? 4 : 6};
	a->port = be16_get(v + 2) ^ (STUN_COOKIE >> 16);
	for (size_t i = 0; i < ip_len; i++) // the cookie and, for IPv6, the transaction id behind it
		a->ip[i] = v[4 + i] ^ hdr[4 + i];
	return 0;
}

static void note_unknown(struct stun_msg *m, uint16_t type)
{
	if (m->n_unknown < STUN_MAX_UNKNOWN)
		m->unknown[m->n_unknown++] = type;
}

// One attribute in front of MESSAGE-INTEGRITY. The first of a kind counts.
static int parse_attr(struct stun_msg *m, uint16_t type, const uint8_t *v, uint16_t len)
{
	switch (type) {
	case STUN_ATTR_USERNAME:
		if (len > STUN_MAX_USERNAME)
			return -EBADMSG;
		if (!m->has_username)
			m->username = (struct str){(const char *)v, len};
		m->has_username = true;
		return 0;
	case STUN_ATTR_MESSAGE_INTEGRITY:
		if (len != STUN_MAC_LEN)
			return -EBADMSG;
		m->mac_off = (uint16_t)(v - 4 - m->p);
		return 0;
	case STUN_ATTR_PRIORITY:
		if (len != 4)
			return -EBADMSG;
		if (!m->has_priority)
			m->priority = be32_get(v);
		m->has_priority = true;
		return 0;
	case STUN_ATTR_USE_CANDIDATE:
		if (len != 0)
			return -EBADMSG;
		m->use_candidate = true;
		return 0;
	case STUN_ATTR_ICE_CONTROLLED:
	case STUN_ATTR_ICE_CONTROLLING:
		if (len != 8)
			return -EBADMSG;
		if (m->controlled || m->controlling)
			return 0;
		m->controlled = type == STUN_ATTR_ICE_CONTROLLED;
		m->controlling = !m->controlled;
		m->tie_breaker = be64_get(v);
		return 0;
	case STUN_ATTR_NOMINATION: // an extension: of another shape it is not ours
		if (len == 4 && !m->has_nomination) {
			m->nomination = be32_get(v) & 0xffffff;
			m->has_nomination = true;
		}
		return 0;
	case STUN_ATTR_XOR_MAPPED_ADDRESS:
		return m->mapped.family ? 0 : parse_xor_addr(v, len, m->p, &m->mapped);
	case STUN_ATTR_ERROR_CODE:
		if (len < 4 || (v[2] & 7) < 3 || (v[2] & 7) > 6 || v[3] > 99)
			return -EBADMSG;
		if (m->error_code == 0)
			m->error_code = (uint16_t)((v[2] & 7) * 100 + v[3]);
		return 0;
	case STUN_ATTR_MAPPED_ADDRESS:
	case STUN_ATTR_UNKNOWN_ATTRIBUTES:
	case STUN_ATTR_REALM:
	case STUN_ATTR_NONCE:
	case STUN_ATTR_MESSAGE_INTEGRITY_SHA256:
		return 0;
	default:
		if (type < 0x8000)
			note_unknown(m, type);
		return 0;
	}
}

static int parse_attrs(struct stun_msg *m)
{
	unsigned at = STUN_HDR_LEN, n = 0;

	while (at < m->len) {
		uint16_t type, len;
		const uint8_t *v;

		if (m->len - at < 4 || ++n > STUN_MAX_ATTRS)
			return -EBADMSG;
		type = be16_get(m->p + at);
		len = be16_get(m->p + at + 2);
		v = m->p + at + 4;
		at += 4 + ((len + 3u) & ~3u);
		if (at > m->len)
			return -EBADMSG;
		if (type == STUN_ATTR_FINGERPRINT) {
			if (len != 4)
				return -EBADMSG;
			m->has_fingerprint = at == m->len; // must be last
			m->fingerprint = be32_get(v);
		} else if (m->mac_off == 0) {
			int rc = parse_attr(m, type, v, len);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int stun_parse(uint8_t *p, size_t len, struct stun_msg *m)
{
	uint16_t type;

	if (len < STUN_HDR_LEN || len > UINT16_MAX || len % 4 != 0 || p[0] & 0xc0 ||
	    be32_get(p + 4) != STUN_COOKIE || be16_get(p + 2) + (size_t)STUN_HDR_LEN != len)
		return -EBADMSG;
	type = be16_get(p);
	*m = (struct stun_msg){.p = p, .len = (uint16_t)len};
	m->cls = (uint8_t)((type >> 7 & 2) | (type >> 4 & 1));
	m->method = (uint16_t)((type & 0x000f) | (type & 0x00e0) >> 1 | (type & 0x3e00) >> 2);
	return parse_attrs(m);
}

bool stun_fingerprint_check(const struct stun_msg *m)
{
	return m->has_fingerprint && (stun_crc32(m->p, m->len - 8u) ^ FINGERPRINT_XOR) == m->fingerprint;
}

bool stun_username(const struct stun_msg *m, struct str *left, struct str *right)
{
	struct str rest = m->username;

	if (!m->has_username || memchr(rest.p, ':', rest.len) == NULL)
		return false;
	*left = str_cut(&rest, ':');
	*right = rest;
	return rest.len == 0 || memchr(rest.p, ':', rest.len) == NULL;
}

bool stun_mac_check(const struct stun_msg *m, const struct stun_mac *mac, const uint8_t *key, size_t key_len)
{
	uint8_t want[STUN_MAC_LEN], diff = 0;
	uint16_t len;

	if (m->mac_off == 0)
		return false;
	// The MAC was made when the message ended behind it (RFC 8489 section 14.5).
	len = be16_get(m->p + 2);
	be16_put(m->p + 2, (uint16_t)(m->mac_off + 4 + STUN_MAC_LEN - STUN_HDR_LEN));
	mac->hmac_sha1(mac->arg, key, key_len, m->p, m->mac_off, want);
	be16_put(m->p + 2, len);
	for (unsigned i = 0; i < STUN_MAC_LEN; i++)
		diff |= want[i] ^ m->p[m->mac_off + 4 + i];
	return diff == 0;
}

// --- build --------------------------------------------------------------------------------------

static void put_header(struct wbuf *w, enum stun_class cls, const uint8_t *txid)
{
	wbuf_u16(w, (uint16_t)(STUN_BINDING | (cls & 1) << 4 | (cls & 2) << 7));
	wbuf_u16(w, 0); // length: put_end
	wbuf_u32(w, STUN_COOKIE);
	wbuf_bytes(w, txid, STUN_TXID_LEN);
}

static void put_attr(struct wbuf *w, uint16_t type, const void *v, size_t len)
{
	static const uint8_t zero[3];

	wbuf_u16(w, type);
	wbuf_u16(w, (uint16_t)len);
	wbuf_bytes(w, v, len);
	wbuf_bytes(w, zero, -len & 3);
}

static void put_attr_u32(struct wbuf *w, uint16_t type, uint32_t v)
{
	uint8_t be[4];

	be32_put(be, v);
	put_attr(w, type, be, 4);
}

// MESSAGE-INTEGRITY and FINGERPRINT; returns the length of the message.
static int put_end(struct wbuf *w, const struct stun_key *key)
{
	uint8_t mac[STUN_MAC_LEN];
	size_t n = wbuf_len(w);

	assert(w->full || n % 4 == 0);
	if (w->full || wbuf_room(w) < 4 + STUN_MAC_LEN + 8)
		return -ENOSPC;
	be16_put(w->start + 2, (uint16_t)(n + 4 + STUN_MAC_LEN - STUN_HDR_LEN));
	key->mac->hmac_sha1(key->mac->arg, key->key, key->key_len, w->start, n, mac);
	put_attr(w, STUN_ATTR_MESSAGE_INTEGRITY, mac, sizeof(mac));
	n = wbuf_len(w);
	be16_put(w->start + 2, (uint16_t)(n + 8 - STUN_HDR_LEN));
	put_attr_u32(w, STUN_ATTR_FINGERPRINT, stun_crc32(w->start, n) ^ FINGERPRINT_XOR);
	return (int)wbuf_len(w);
}

int stun_write_success(uint8_t *out, size_t size, const uint8_t *txid, const struct stun_addr *mapped,
		       const struct stun_key *key)
{
	struct wbuf w = wbuf_of(out, size);
	size_t ip_len = mapped->family == 6 ? 16 : 4;
	uint8_t v[20] = {0, mapped->family == 6 ? 2 : 1};

	assert(mapped->family == 4 || mapped->family == 6);
	put_header(&w, STUN_SUCCESS, txid);
	if (w.full)
		return -ENOSPC;
	be16_put(v + 2, mapped->port ^ (STUN_COOKIE >> 16));
	for (size_t i = 0; i < ip_len; i++)
		v[4 + i] = mapped->ip[i] ^ out[4 + i];
	put_attr(&w, STUN_ATTR_XOR_MAPPED_ADDRESS, v, 4 + ip_len);
	return put_end(&w, key);
}

static void put_error(struct wbuf *w, const uint8_t *txid, unsigned code)
{
	assert(code >= 300 && code <= 699);
	put_header(w, STUN_ERROR, txid);
	put_attr_u32(w, STUN_ATTR_ERROR_CODE, code / 100 << 8 | code % 100); // no reason phrase: stay small
}

int stun_write_error(uint8_t *out, size_t size, const uint8_t *txid, unsigned code,
		     const struct stun_key *key)
{
	struct wbuf w = wbuf_of(out, size);

	put_error(&w, txid, code);
	return put_end(&w, key);
}

int stun_write_unknown(uint8_t *out, size_t size, const uint8_t *txid, const uint16_t *unknown,
		       unsigned n_unknown, const struct stun_key *key)
{
	struct wbuf w = wbuf_of(out, size);
	uint8_t types[2 * STUN_MAX_UNKNOWN];

	put_error(&w, txid, 420);
	if (n_unknown > STUN_MAX_UNKNOWN)
		n_unknown = STUN_MAX_UNKNOWN;
	for (unsigned i = 0; i < n_unknown; i++)
		be16_put(types + 2 * i, unknown[i]);
	if (n_unknown > 0)
		put_attr(&w, STUN_ATTR_UNKNOWN_ATTRIBUTES, types, 2 * n_unknown);
	return put_end(&w, key);
}

int stun_write_request(uint8_t *out, size_t size, const struct stun_request *r, const struct stun_key *key)
{
	struct wbuf w = wbuf_of(out, size);
	char name[STUN_MAX_USERNAME];
	struct wbuf n = wbuf_of(name, sizeof(name));
	uint8_t tie[8];

	wbuf_bytes(&n, r->to_ufrag.p, r->to_ufrag.len);
	wbuf_u8(&n, ':');
	wbuf_bytes(&n, r->from_ufrag.p, r->from_ufrag.len);
	if (n.full)
		return -ENOSPC;
	put_header(&w, STUN_REQUEST, r->txid);
	put_attr(&w, STUN_ATTR_USERNAME, name, wbuf_len(&n));
	put_attr_u32(&w, STUN_ATTR_PRIORITY, r->priority);
	be64_put(tie, r->tie_breaker);
	put_attr(&w, r->controlled ? STUN_ATTR_ICE_CONTROLLED : STUN_ATTR_ICE_CONTROLLING, tie, sizeof(tie));
	if (r->use_candidate)
		put_attr(&w, STUN_ATTR_USE_CANDIDATE, NULL, 0);
	if (r->has_nomination)
		put_attr_u32(&w, STUN_ATTR_NOMINATION, r->nomination & 0xffffff);
	return put_end(&w, key);
}
