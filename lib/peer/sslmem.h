// The handshake buffer of a DTLS association, given back to the kernel once the handshake is over. OpenSSL keeps it, zeroed to its
// 16 KiB, for as long as the association lives: it only copies flights there that it sends again, so what is in it between two calls
// does not matter. There is no call to release it; so its allocation is noticed, and its pages are dropped while it stays allocated.
//
// thread: any, each for itself
#pragma once

#include <stddef.h>

// Zeroed is valid. One per association.
struct sslmem {
	void *block; // borrowed: OpenSSL's handshake buffer, NULL: not seen
	size_t len;  // bytes that are its own
};

// Take the place of OpenSSL's allocator: once, at the beginning of main. Without it nothing is noticed and nothing dropped.
//
// returns: 0, -EBUSY when OpenSSL has allocated already
[[nodiscard]] int sslmem_install(void);

// Notice what OpenSSL allocates until the next call, NULL: nothing.
void sslmem_watch(struct sslmem *);
// Drop the pages of the buffer; they come back zeroed when they are touched.
void sslmem_drop_pages(struct sslmem *);
