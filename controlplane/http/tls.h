// TLS of the API port over a connected non-blocking socket. The only file here that knows OpenSSL's SSL_*.
// Minimum TLS 1.2, X25519 and P-256, ALPN http/1.1. thread: loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_ctx;
struct tls;

// PEM files. NULL: why[size] says what is wrong with which file.
struct tls_ctx *tls_ctx_new(const char *cert_file, const char *key_file, char *why, size_t size);
void tls_ctx_free(struct tls_ctx *); // NULL is allowed

struct tls *tls_new(struct tls_ctx *, int fd); // fd is borrowed; NULL + errno
void tls_free(struct tls *);                   // sends close_notify when it can; NULL is allowed

// Like read(2) and write(2) without errno: bytes, 0 at the end, -EAGAIN, or another negative errno.
ssize_t tls_read(struct tls *, void *p, size_t len);
ssize_t tls_write(struct tls *, const void *p, size_t len);
// After -EAGAIN of tls_read: the handshake needs the socket writable.
bool tls_wants_write(const struct tls *);
