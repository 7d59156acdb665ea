// DTLS over OpenSSL. A BIO of our own hands OpenSSL the one datagram being fed and gives each write, which
// is one datagram of at most DTLS_MTU bytes, to ops.send. Record buffers (34 KiB a peer) exist only while
// a call is inside OpenSSL, and the handshake buffer (16 KiB) has pages only until the handshake is over.
//
// Callbacks may free the association: `depth` counts calls that are still on the stack, the outermost one
// releases a doomed association.
#include "lib/peer/dtls.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/base/err.h"
#include "lib/peer/sslmem.h"

#define CIPHERS                                                                                      \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:" \
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
#define GROUPS "X25519:P-256:P-384"
#define RETRANSMIT_FIRST_US 200000u
#define RETRANSMIT_MAX_US 3000000u
#define CERT_DAYS 30

struct dtls_ctx {
	SSL_CTX *ssl;
	EVP_PKEY *key;
	X509 *cert;
	BIO_METHOD *bio;
	uint32_t first_us;
	char fingerprint[DTLS_FINGERPRINT_LEN + 1];
};

enum dtls_state { DTLS_NEW, DTLS_HANDSHAKE, DTLS_UP, DTLS_DOWN };

struct dtls {
	SSL *ssl;
	struct dtls_ctx *ctx;
	struct dtls_ops ops;
	void *arg;
	const uint8_t *in; // borrowed, the datagram being fed
	size_t in_len;
	ns_t deadline; // of the handshake
	struct dtls_fingerprint peer;
	enum dtls_state state;
	enum dtls_role role;
	unsigned depth;
	bool doomed, cert_refused, started;
	struct sslmem handshake_buffer;
};

static const struct {
	uint16_t id;
	const char *name;
} profile_names[] = {
	{KEYS_GCM_128, "SRTP_AEAD_AES_128_GCM"},
	{KEYS_GCM_256, "SRTP_AEAD_AES_256_GCM"},
	{KEYS_CM_SHA1_80, "SRTP_AES128_CM_SHA1_80"},
};

// --- the BIO -----------------------------------------------------------------------------------
static int bio_write(BIO *b, const char *data, int len)
{
	struct dtls *d = BIO_get_data(b);

	if (len > 0 && !d->doomed)
		d->ops.send(d->arg, (const uint8_t *)data, (size_t)len);
	return len;
}

static int bio_read(BIO *b, char *out, int size)
{
	struct dtls *d = BIO_get_data(b);
	size_t n = d->in_len;

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (n > (size_t)size)
		n = (size_t)size;
	memcpy(out, d->in, n);
	d->in_len = 0;
	return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_DGRAM_QUERY_MTU:
	case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
		return DTLS_MTU;
	default:
		return 0;
	}
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO_METHOD *bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagram calls");

	if (m == NULL)
		return NULL;
	if (!BIO_meth_set_write(m, bio_write) || !BIO_meth_set_read(m, bio_read) ||
	    !BIO_meth_set_ctrl(m, bio_ctrl) || !BIO_meth_set_create(m, bio_create)) {
		BIO_meth_free(m);
		return NULL;
	}
	return m;
}

// --- certificates ------------------------------------------------------------------------------
int dtls_fingerprint_parse(struct dtls_fingerprint *fp, struct str hash, struct str hex)
{
	size_t n;

	*fp = (struct dtls_fingerprint){};
	if (str_ieq(hash, STR("sha-256")))
		n = 32;
	else if (str_ieq(hash, STR("sha-384")))
		n = 48;
	else if (str_ieq(hash, STR("sha-512")))
		n = 64;
	else
		return -ENOTSUP;
	if (hex.len != 3 * n - 1)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		int hi = str_hex_digit(hex.p[3 * i]), lo = str_hex_digit(hex.p[3 * i + 1]);
		if (hi < 0 || lo < 0 || (i + 1 < n && hex.p[3 * i + 2] != ':'))
			return -EBADMSG;
		fp->value[i] = (uint8_t)(hi << 4 | lo);
	}
	fp->len = (uint8_t)n;
	return 0;
}

static bool cert_matches(X509 *cert, const struct dtls_fingerprint *fp)
{
	const EVP_MD *md = fp->len == 32 ? EVP_sha256() : fp->len == 48 ? EVP_sha384() : EVP_sha512();
	uint8_t got[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	return fp->len != 0 && X509_digest(cert, md, got, &len) && len == fp->len &&
	       memcmp(got, fp->value, len) == 0;
}

// Replaces chain building: WebRTC certificates are self-signed, the fingerprint in SDP vouches for them.
static int on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct dtls *d = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get0_cert(store);

	if (cert != NULL && cert_matches(cert, &d->peer))
		return 1;
	d->cert_refused = true;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static X509 *make_cert(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name;
	uint64_t serial;

	if (cert == NULL)
		return NULL;
	if (RAND_bytes((uint8_t *)&serial, sizeof(serial)) != 1)
		goto err_cert;
	name = X509_get_subject_name(cert);
	if (!X509_set_version(cert, X509_VERSION_3) ||
	    !ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -CERT_DAYS * 86400L) ||
	    !X509_gmtime_adj(X509_getm_notAfter(cert), CERT_DAYS * 86400L) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"sluice", -1, -1, 0) ||
	    !X509_set_issuer_name(cert, name) || !X509_set_pubkey(cert, key) ||
	    !X509_sign(cert, key, EVP_sha256()))
		goto err_cert;
	return cert;

err_cert:
	X509_free(cert);
	return NULL;
}

static int write_fingerprint(struct dtls_ctx *c)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!X509_digest(c->cert, EVP_sha256(), digest, &len) || len != 32)
		return -EIO;
	for (unsigned i = 0; i < len; i++)
		snprintf(c->fingerprint + 3 * i, sizeof(c->fingerprint) - 3 * i,
			 i + 1 < len ? "%02X:" : "%02X", digest[i]);
	return 0;
}

// --- context -----------------------------------------------------------------------------------
int dtls_ctx_set_profiles(struct dtls_ctx *c, const uint16_t *profiles, size_t n)
{
	char list[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name = NULL;
		for (size_t j = 0; j < ARRAY_LEN(profile_names); j++)
			if (profile_names[j].id == profiles[i])
				name = profile_names[j].name;
		if (name == NULL || len + strlen(name) + 2 > sizeof(list))
			return -EINVAL;
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ":" : "", name);
	}
	// Returns 0 on success, unlike its neighbours. A server picks the first of *its* list that the client
	// offers, which the unit test holds it to.
	return n > 0 && SSL_CTX_set_tlsext_use_srtp(c->ssl, list) == 0 ? 0 : -EINVAL;
}

void dtls_ctx_set_retransmit(struct dtls_ctx *c, uint32_t first_us)
{
	c->first_us = first_us;
}

static int ctx_configure(struct dtls_ctx *c)
{
	static const uint16_t profiles[] = {KEYS_GCM_128, KEYS_GCM_256, KEYS_CM_SHA1_80};
	SSL_CTX *s = c->ssl;

	if (!SSL_CTX_set_min_proto_version(s, DTLS1_2_VERSION) || !SSL_CTX_set_cipher_list(s, CIPHERS) ||
	    !SSL_CTX_set1_groups_list(s, GROUPS) || !SSL_CTX_use_certificate(s, c->cert) ||
	    !SSL_CTX_use_PrivateKey(s, c->key) || dtls_ctx_set_profiles(c, profiles, ARRAY_LEN(profiles)) < 0)
		return -EIO;
	SSL_CTX_set_options(s, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(s, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_read_ahead(s, 1);
	SSL_CTX_set_verify(s, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(s, on_verify, NULL);
	SSL_CTX_set_max_cert_list(s, 16 * 1024);
	return 0;
}

struct dtls_ctx *dtls_ctx_new(void)
{
	struct dtls_ctx *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->first_us = RETRANSMIT_FIRST_US;
	c->ssl = SSL_CTX_new(DTLS_method());
	c->bio = bio_method();
	c->key = EVP_EC_gen("P-256");
	c->cert = c->key ? make_cert(c->key) : NULL;
	if (c->ssl == NULL || c->bio == NULL || c->cert == NULL || ctx_configure(c) < 0 ||
	    write_fingerprint(c) < 0) {
		dtls_ctx_free(c);
		return err_null(EIO);
	}
	return c;
}

void dtls_ctx_free(struct dtls_ctx *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ssl);
	X509_free(c->cert);
	EVP_PKEY_free(c->key);
	BIO_meth_free(c->bio);
	free(c);
}

const char *dtls_ctx_fingerprint(const struct dtls_ctx *c)
{
	return c->fingerprint;
}

// --- association -------------------------------------------------------------------------------
// us is 0 when a flight is sent for the first time, else the delay that has just run out.
static unsigned on_timer(SSL *ssl, unsigned us)
{
	struct dtls *d = SSL_get_app_data(ssl);

	if (us == 0)
		return d->ctx->first_us;
	return us > RETRANSMIT_MAX_US / 2 ? RETRANSMIT_MAX_US : us * 2;
}

struct dtls *dtls_new(struct dtls_ctx *c, enum dtls_role role, const struct dtls_fingerprint *peer,
		      const struct dtls_ops *ops, void *arg)
{
	struct dtls *d = calloc(1, sizeof(*d));
	BIO *bio;

	assert(ops->send && ops->on_up && ops->on_data);
	if (d == NULL)
		return NULL;
	*d = (struct dtls){
		.ctx = c, .ops = *ops, .arg = arg, .peer = *peer, .role = role, .deadline = NS_NEVER};
	d->ssl = SSL_new(c->ssl);
	bio = d->ssl ? BIO_new(c->bio) : NULL;
	if (bio == NULL) {
		SSL_free(d->ssl);
		free(d);
		return err_null(ENOMEM);
	}
	BIO_set_data(bio, d);
	SSL_set_bio(d->ssl, bio, bio);
	SSL_set_app_data(d->ssl, d);
	SSL_set_mtu(d->ssl, DTLS_MTU);
	DTLS_set_timer_cb(d->ssl, on_timer);
	if (role == DTLS_SERVER)
		SSL_set_accept_state(d->ssl);
	else
		SSL_set_connect_state(d->ssl);
	return d;
}

static void release(struct dtls *d)
{
	SSL_free(d->ssl);
	free(d);
}

void dtls_free(struct dtls *d)
{
	if (d == NULL)
		return;
	assert(!d->doomed);
	d->doomed = true;
	if (d->depth == 0)
		release(d);
}

// Enter and leave OpenSSL; leave returns false when the association is gone.
static void enter(struct dtls *d)
{
	if (d->depth++ == 0 && d->started)
		SSL_alloc_buffers(d->ssl);
	ERR_clear_error();
}

static bool leave(struct dtls *d)
{
	assert(d->depth > 0);
	if (--d->depth > 0)
		return true;
	if (d->doomed) {
		release(d);
		return false;
	}
	SSL_free_buffers(d->ssl);
	return true;
}

static void go_down(struct dtls *d, enum dtls_end why)
{
	if (d->state == DTLS_DOWN)
		return;
	d->state = DTLS_DOWN;
	d->deadline = NS_NEVER;
	if (!d->doomed && d->ops.on_down)
		d->ops.on_down(d->arg, why);
}

// Judge the result of an OpenSSL call; returns true when the association goes on.
static bool judge(struct dtls *d, int rc)
{
	switch (SSL_get_error(d->ssl, rc)) {
	case SSL_ERROR_NONE:
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return true;
	case SSL_ERROR_ZERO_RETURN:
		go_down(d, DTLS_END_CLOSED);
		return false;
	default:
		go_down(d, d->cert_refused ? DTLS_END_CERTIFICATE : DTLS_END_ALERT);
		return false;
	}
}

static void handshake(struct dtls *d)
{
	int rc;

	sslmem_watch(&d->handshake_buffer);
	rc = SSL_do_handshake(d->ssl);
	sslmem_watch(NULL);
	if (rc != 1) {
		judge(d, rc);
		return;
	}
	if (SSL_get_selected_srtp_profile(d->ssl) == NULL) {
		SSL_shutdown(d->ssl);
		go_down(d, DTLS_END_PROFILE);
		return;
	}
	sslmem_drop_pages(&d->handshake_buffer);
	d->state = DTLS_UP;
	d->deadline = NS_NEVER;
	d->ops.on_up(d->arg);
}

static void read_records(struct dtls *d)
{
	uint8_t data[DTLS_MAX_DATAGRAM];

	while (d->state == DTLS_UP && !d->doomed) {
		int n = SSL_read(d->ssl, data, sizeof(data));
		if (n <= 0) {
			judge(d, n);
			return;
		}
		d->ops.on_data(d->arg, data, (size_t)n);
		if (d->in_len == 0 && !SSL_has_pending(d->ssl))
			return; // a datagram with one record, as nearly all: asking for another takes as long as reading one
	}
}

static void drive(struct dtls *d)
{
	if (d->state == DTLS_HANDSHAKE)
		handshake(d);
	read_records(d);
}

void dtls_start(struct dtls *d, ns_t now)
{
	if (d->state != DTLS_NEW)
		return;
	d->state = DTLS_HANDSHAKE;
	d->deadline = now + DTLS_HANDSHAKE_NS;
	enter(d);
	d->started = true;
	if (d->role == DTLS_CLIENT)
		drive(d);
	leave(d);
}

void dtls_input(struct dtls *d, const uint8_t *datagram, size_t len, ns_t now)
{
	if (d->state == DTLS_NEW || d->state == DTLS_DOWN || len == 0 || len > DTLS_MAX_DATAGRAM)
		return;
	assert(d->in == NULL); // not from inside a callback
	enter(d);
	d->in = datagram;
	d->in_len = len;
	drive(d);
	d->in = NULL;
	d->in_len = 0;
	leave(d);
}

int dtls_send(struct dtls *d, const uint8_t *data, size_t len)
{
	int n;

	if (d->state != DTLS_UP)
		return -ENOTCONN;
	if (len == 0 || len > DTLS_MAX_DATA)
		return -EMSGSIZE;
	enter(d);
	n = SSL_write(d->ssl, data, (int)len);
	if (n <= 0)
		judge(d, n);
	leave(d);
	return n > 0 ? 0 : -EIO;
}

void dtls_tick(struct dtls *d, ns_t now)
{
	if (d->state != DTLS_HANDSHAKE)
		return;
	enter(d);
	if (now >= d->deadline)
		go_down(d, DTLS_END_TIMEOUT);
	else if (DTLSv1_handle_timeout(d->ssl) < 0)
		go_down(d, DTLS_END_TIMEOUT);
	leave(d);
}

ns_t dtls_due(const struct dtls *d, ns_t now)
{
	struct timeval left;
	ns_t due;

	if (d->state != DTLS_HANDSHAKE)
		return NS_NEVER;
	if (!DTLSv1_get_timeout(d->ssl, &left))
		return d->deadline;
	due = now + left.tv_sec * NS_PER_S + left.tv_usec * NS_PER_US;
	return due < d->deadline ? due : d->deadline;
}

void dtls_close(struct dtls *d)
{
	bool was_up = d->state == DTLS_UP;

	d->state = DTLS_DOWN;
	if (!was_up)
		return;
	enter(d);
	SSL_shutdown(d->ssl);
	leave(d); // the owner may have freed it when it sent
}

const char *dtls_end_text(enum dtls_end why)
{
	switch (why) {
	case DTLS_END_NONE:
		return "not ended";
	case DTLS_END_CLOSED:
		return "closed by the peer";
	case DTLS_END_TIMEOUT:
		return "handshake timed out";
	case DTLS_END_CERTIFICATE:
		return "certificate does not match the fingerprint in SDP";
	case DTLS_END_PROFILE:
		return "no common SRTP profile";
	case DTLS_END_ALERT:
		return "fatal alert";
	}
	return "unknown";
}

int dtls_export(const struct dtls *d, struct keys *k)
{
	static const char label[] = "EXTRACTOR-dtls_srtp";
	uint8_t material[KEYS_MAX_EXPORT];
	const SRTP_PROTECTION_PROFILE *profile;
	size_t len;
	int rc;

	if (d->state != DTLS_UP)
		return -ENOTCONN;
	profile = SSL_get_selected_srtp_profile(d->ssl);
	len = profile ? keys_export_len((uint16_t)profile->id) : 0;
	if (len == 0)
		return -ENOTSUP;
	if (SSL_export_keying_material(d->ssl, material, len, label, sizeof(label) - 1, NULL, 0, 0) != 1)
		return -EIO;
	rc = keys_split(k, (uint16_t)profile->id, d->role == DTLS_SERVER, material, len);
	explicit_bzero(material, sizeof(material));
	return rc;
}
