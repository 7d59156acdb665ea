#include "controlplane/http/tls.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/base/err.h"

struct tls_ctx {
	SSL_CTX *ssl;
};

struct tls {
	SSL *ssl;
	bool wants_write, is_broken;
};

static int on_alpn(SSL *, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		   unsigned in_len, void *)
{
	static const unsigned char ours[] = "\x08http/1.1";

	if (SSL_select_next_proto((unsigned char **)out, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static void *ctx_refuse(SSL_CTX *ctx, char *why, size_t size, const char *file)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	snprintf(why, size, "%s: %s", file, reason ? reason : "cannot be used");
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

struct tls_ctx *tls_ctx_new(const char *cert_file, const char *key_file, char *why, size_t size)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
	struct tls_ctx *ctx;

	if (ssl == NULL)
		return ctx_refuse(NULL, why, size, "TLS");
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ssl,
			    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set1_groups_list(ssl, "X25519:P-256");
	SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
	if (SSL_CTX_use_certificate_chain_file(ssl, cert_file) != 1)
		return ctx_refuse(ssl, why, size, cert_file);
	if (SSL_CTX_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ssl) != 1)
		return ctx_refuse(ssl, why, size, key_file);
	ctx = calloc(1, sizeof(*ctx));
	if (ctx == NULL)
		return ctx_refuse(ssl, why, size, "TLS");
	ctx->ssl = ssl;
	return ctx;
}

void tls_ctx_free(struct tls_ctx *ctx)
{
	if (ctx == NULL)
		return;
	SSL_CTX_free(ctx->ssl);
	free(ctx);
}

struct tls *tls_new(struct tls_ctx *ctx, int fd)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ssl = SSL_new(ctx->ssl);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1) {
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return err_null(ENOMEM);
	}
	SSL_set_accept_state(t->ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	if (!t->is_broken && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
	SSL_free(t->ssl);
	free(t);
}

static ssize_t tls_result(struct tls *t, int rc)
{
	int error;

	if (rc > 0)
		return rc;
	error = SSL_get_error(t->ssl, rc);
	t->wants_write = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	t->is_broken = true; // SSL_shutdown must not be called any more
	return -EPROTO;
}

ssize_t tls_read(struct tls *t, void *p, size_t len)
{
	ERR_clear_error();
	t->wants_write = false;
	return tls_result(t, SSL_read(t->ssl, p, len > INT_MAX ? INT_MAX : (int)len));
}

ssize_t tls_write(struct tls *t, const void *p, size_t len)
{
	ERR_clear_error();
	return tls_result(t, SSL_write(t->ssl, p, len > INT_MAX ? INT_MAX : (int)len));
}

bool tls_wants_write(const struct tls *t)
{
	return t->wants_write;
}
