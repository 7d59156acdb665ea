// HMAC-SHA1 in plain C for what the libraries cannot do: libsrtp2 refuses keys longer than 20 bytes (a STUN
// password has more), and ipsec-mb's bursts get empty messages wrong.
//
// thread:  any
// cost:    about 1 us per 100 bytes
// source:  FIPS 180-4 section 6.1, RFC 2104
#pragma once

#include <stddef.h>
#include <stdint.h>

// key_len is at most 64.
void sha1_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len, uint8_t out[20]);
