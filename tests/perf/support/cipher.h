// The ciphers of ipsec-mb alone, as fast as the library can do them in the same place: as many keys, as many
// destinations, packets of the same size. What the dataplane needs beyond it is ours to answer for.
#pragma once

#include <stdint.h>

#include "dataplane/port/dpdk.h"
#include "lib/seal/seal.h"

#define CIPHER_HDR 20 // RTP header with the level: authenticated, not encrypted

struct cipher;

// Destinations are n_out buffers of the pool, used in turn, whose layout in memory is thereby that of the dataplane's.
struct cipher *cipher_new(enum seal_profile profile, unsigned n_keys, struct rte_mempool *pool,
			  unsigned n_out);
void cipher_free(struct cipher *);

// One packet of len bytes of payload for each key.
void cipher_seal(struct cipher *, uint16_t len);
