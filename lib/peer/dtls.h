// One DTLS 1.2 association in either role, sans-I/O: datagrams in and out through calls, time is passed in.
//
// 1. dtls_ctx_new once per process: certificate (ECDSA P-256, self-signed) and its fingerprint for SDP
// 2. dtls_new per peer, dtls_start (a client sends its hello), dtls_input for each datagram
// 3. on_up: handshake done, the peer's certificate matched; dtls_export gives the SRTP master keys
// 4. dtls_send and on_data carry application records (SCTP); dtls_tick at or after dtls_due
// 5. dtls_close says goodbye (close_notify), dtls_free ends it; both are allowed inside callbacks
//
// No cookie exchange: the caller lets in only datagrams of a path the peer proved with its ICE password.
// OpenSSL keeps the flight to retransmit, after 200 ms doubling to 3 s of the real clock (it has no other);
// the passed time decides only that 30 s without success are the end.
//
// thread: any one thread per association; a context may be shared only within one thread.
// source: RFC 6347, RFC 5764, RFC 8122, RFC 8842
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/peer/keys.h"

#define DTLS_MTU 1200           // bytes of a datagram we send, UDP payload
#define DTLS_MAX_DATA 1150      // bytes of application data that surely fit one datagram
#define DTLS_MAX_DATAGRAM 2048  // longer input is dropped
#define DTLS_FINGERPRINT_LEN 95 // "AB:CD:..." of SHA-256
#define DTLS_HANDSHAKE_NS (30 * NS_PER_S)

struct dtls_ctx;
struct dtls;

enum dtls_role { DTLS_SERVER, DTLS_CLIENT };

// Why an association ended.
enum dtls_end {
	DTLS_END_NONE,
	DTLS_END_CLOSED,      // close_notify from the peer
	DTLS_END_TIMEOUT,     // handshake not done in time
	DTLS_END_CERTIFICATE, // the peer's certificate is not the announced one
	DTLS_END_PROFILE,     // no SRTP profile in common
	DTLS_END_ALERT,       // fatal alert, ours or theirs
};

// Called from dtls_start, dtls_input, dtls_send, dtls_tick and dtls_close. send must not call back into
// the same association; the others may.
struct dtls_ops {
	void (*send)(void *arg, const uint8_t *datagram, size_t len);
	void (*on_up)(void *arg);
	void (*on_data)(void *arg, const uint8_t *data, size_t len);
	void (*on_down)(void *arg, enum dtls_end why); // once, and never after dtls_close or dtls_free
};

// The certificate the peer announced in SDP.
struct dtls_fingerprint {
	uint8_t len; // bytes of value: 32 (SHA-256), 48 or 64
	uint8_t value[64];
};

// Parse the two words of a=fingerprint. returns: 0, -ENOTSUP (hash other than sha-256/384/512), -EBADMSG
[[nodiscard]] int dtls_fingerprint_parse(struct dtls_fingerprint *, struct str hash, struct str hex);

// A new key and certificate, valid 30 days either side of now. NULL + errno.
struct dtls_ctx *dtls_ctx_new(void);
void dtls_ctx_free(struct dtls_ctx *); // after all its associations; NULL is allowed

// SHA-256 fingerprint as SDP writes it, NUL-terminated, DTLS_FINGERPRINT_LEN characters.
const char *dtls_ctx_fingerprint(const struct dtls_ctx *);

// Offer (client) or allow (server) other SRTP profiles than the default 0x0007, 0x0008, 0x0001, in order
// of preference; for tests and the load generator. returns: 0 or -EINVAL
[[nodiscard]] int dtls_ctx_set_profiles(struct dtls_ctx *, const uint16_t *profiles, size_t n);

// First retransmission after this many microseconds instead of 200,000; for tests.
void dtls_ctx_set_retransmit(struct dtls_ctx *, uint32_t first_us);

// New association; peer and ops are copied, arg is borrowed and handed to each callback. NULL + errno.
struct dtls *dtls_new(struct dtls_ctx *, enum dtls_role, const struct dtls_fingerprint *peer,
		      const struct dtls_ops *ops, void *arg);
void dtls_free(struct dtls *); // NULL is allowed; sends nothing

void dtls_start(struct dtls *, ns_t now);

// Feed one datagram that arrived. Anything may be in it.
void dtls_input(struct dtls *, const uint8_t *datagram, size_t len, ns_t now);

// Send application data as one record. returns: 0, -ENOTCONN before up or after down, -EMSGSIZE, -EIO
[[nodiscard]] int dtls_send(struct dtls *, const uint8_t *data, size_t len);

// Retransmit or give up when it is time. dtls_due: when to call next, NS_NEVER when nothing runs.
void dtls_tick(struct dtls *, ns_t now);
ns_t dtls_due(const struct dtls *, ns_t now);

// Send close_notify (or nothing before up); no callback follows.
void dtls_close(struct dtls *);

const char *dtls_end_text(enum dtls_end);

// SRTP master keys of the finished handshake, for the caller to wipe. returns: 0, -ENOTCONN, -ENOTSUP
[[nodiscard]] int dtls_export(const struct dtls *, struct keys *);
