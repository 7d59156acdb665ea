// Choice of backend, and checks of lengths that both backends then rely on. The transforms themselves are in
// seal_ipsecmb.c and seal_ref.c.
#include "lib/seal/seal.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"

#include <string.h>

// --- engine ------------------------------------------------------------------------------------
static const struct seal_ops *const backends[] = {&seal_ops_ipsecmb, &seal_ops_libsrtp2};

struct seal_engine *seal_engine_new(const char *backend)
{
	if (!backend) {
		struct seal_engine *e = seal_ops_ipsecmb.open(NULL);
		// Debian's ipsec-mb has no path for CPUs without AES instructions.
		return e || errno != ENOTSUP ? e : seal_ops_libsrtp2.open(NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		size_t len = strlen(backends[i]->name);
		if (strncmp(backend, backends[i]->name, len) != 0)
			continue;
		if (backend[len] == '\0')
			return backends[i]->open(NULL);
		if (backend[len] == '/')
			return backends[i]->open(backend + len + 1);
	}
	return err_null(EINVAL);
}

void seal_engine_free(struct seal_engine *e)
{
	if (e)
		e->ops->close(e);
}

const char *seal_engine_name(const struct seal_engine *e)
{
	return e->name;
}

// --- keys --------------------------------------------------------------------------------------
size_t seal_key_size(const struct seal_engine *e)
{
	return (size_t)e->key_lines * SEAL_LINE;
}

static void key_blank(const struct seal_engine *e, struct seal_key *key, enum seal_profile profile)
{
	// cannot: keys lie in a pool whose objects are whole lines
	MUST((uintptr_t)key % SEAL_LINE == 0);
	memset(key, 0, seal_key_size(e));
	key->profile = (uint8_t)profile;
	key->backend = (uint8_t)e->backend;
	key->n_lines = (uint8_t)e->key_lines;
}

int seal_key_init(struct seal_engine *e, struct seal_key *key, enum seal_profile profile,
		  const uint8_t *master_key, const uint8_t *master_salt)
{
	uint8_t salt[14] = {};

	if (seal_key_len(profile) == 0)
		return -EINVAL;
	key_blank(e, key, profile);
	// RFC 7714 section 11: the 96-bit salt is padded on the right for the key derivation.
	memcpy(salt, master_salt, seal_salt_len(profile));
	int rc = e->ops->key_expand(e, key, master_key, salt);
	explicit_bzero(salt, sizeof(salt));
	if (rc < 0)
		explicit_bzero(key, seal_key_size(e));
	return rc;
}

void seal_key_raw(struct seal_engine *e, struct seal_key *key, enum seal_profile profile,
		  const struct seal_session_keys *s)
{
	assert(e->ops->key_install != NULL);
	key_blank(e, key, profile);
	e->ops->key_install(e, key, s);
}

void seal_key_fini(struct seal_key *key)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		if (key->backend == SEAL_BY_IPSECMB + i && backends[i]->key_release)
			backends[i]->key_release(key);
	// An unused key (all zero) has no lines, and nothing to wipe.
	explicit_bzero(key, (size_t)key->n_lines * SEAL_LINE);
}

enum seal_profile seal_key_profile(const struct seal_key *key)
{
	return key->profile;
}

// --- packets -----------------------------------------------------------------------------------
static unsigned count_good(const struct seal_rtp *p, unsigned n)
{
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++)
		good += p[i].err == 0;
	return good;
}

unsigned seal_rtp_protect(struct seal_engine *e, struct seal_rtp *p, unsigned n)
{
	// cannot: callers gather at most so many
	MUST(n <= SEAL_MAX_BURST);
	e->ops->rtp_protect(e, p, n);
	return count_good(p, n);
}

unsigned seal_rtp_unprotect(struct seal_engine *e, struct seal_rtp *p, unsigned n)
{
	// cannot: callers gather at most so many
	MUST(n <= SEAL_MAX_BURST);
	e->ops->rtp_unprotect(e, p, n);
	return count_good(p, n);
}

int seal_rtcp_protect(struct seal_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
		      size_t size, uint32_t index)
{
	size_t growth = seal_rtcp_growth(key->profile);

	assert(key->backend == e->backend);
	if (len < SEAL_RTCP_CLEAR || len > SEAL_MAX_RTCP || size < len + growth || index >= SEAL_E_BIT)
		return -EINVAL;
	int rc = e->ops->rtcp_protect(e, key, pkt, len, index);
	return rc < 0 ? rc : (int)(len + growth);
}

// Where the E | index word is: behind the tag with GCM (RFC 7714 section 9.2), before it with CM.
static const uint8_t *index_word(enum seal_profile profile, const uint8_t *pkt, size_t len)
{
	if (seal_rtcp_growth(profile) == 0 || len < SEAL_RTCP_CLEAR + seal_rtcp_growth(profile))
		return NULL;
	return pkt + len - SEAL_INDEX_WORD - (seal_is_gcm(profile) ? 0 : SEAL_CM_TAG);
}

int seal_rtcp_unprotect(struct seal_engine *e, const struct seal_key *key, uint8_t *pkt, size_t len,
			uint32_t *index)
{
	const uint8_t *word_at = index_word(key->profile, pkt, len);

	assert(key->backend == e->backend);
	if (!word_at || len > SEAL_MAX_RTCP + seal_rtcp_growth(key->profile))
		return -EBADMSG;
	uint32_t word = be32_get(word_at);
	int rc = e->ops->rtcp_unprotect(e, key, pkt, len, word);
	if (rc < 0)
		return rc;
	*index = word & ~SEAL_E_BIT;
	return (int)(len - seal_rtcp_growth(key->profile));
}

int seal_rtcp_peek_index(enum seal_profile profile, const uint8_t *pkt, size_t len, uint32_t *index)
{
	const uint8_t *word_at = index_word(profile, pkt, len);

	if (!word_at)
		return -EBADMSG;
	*index = be32_get(word_at) & ~SEAL_E_BIT;
	return 0;
}

void seal_hmac_sha1(struct seal_engine *e, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		    uint8_t out[20])
{
	// cannot: our password has IPC_PWD_LEN bytes, a longer one than ICELITE_REMOTE_PWD of a peer is not
	// kept
	MUST(key_len <= 64);
	e->ops->hmac_sha1(e, key, key_len, msg, len, out);
}
