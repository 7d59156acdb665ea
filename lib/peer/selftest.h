// Proof at start that this process can serve anybody: a DTLS handshake with itself, a data channel over it, a message. What
// would refuse every client later (a system-wide OpenSSL policy without our curve or ciphers, a broken library) is refused now, and
// the first client does not wait for the libraries to be paged in.
#pragma once

#include "lib/base/clock.h"
#include "lib/peer/dtls.h"

// After dchan_start; leaves nothing behind. returns: 0, -ENOMEM, -EPROTO with *why the step that failed
[[nodiscard]] int peer_selftest(struct dtls_ctx *, ns_t now, const char **why);
