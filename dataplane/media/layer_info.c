#include "dataplane/media/layer_info.h"

#include "dataplane/media/layer_priv.h"

void layer_ask_key(struct layer *l)
{
	atomic_fetch_add_explicit(&l->wishes, 1, memory_order_relaxed); // a number, nothing hangs on it
}

uint32_t layer_wishes(const struct layer *l)
{
	return atomic_load_explicit(&l->wishes, memory_order_relaxed);
}

void layer_tell(struct layer *l, const struct layer_info *i)
{
	const uint64_t word[LAYER_INFO_WORDS] = {
		(uint64_t)i->bps << 32 | (uint64_t)i->is_active << 2 | (uint64_t)i->has_key << 1 |
			(uint64_t)i->n_tids << 8,
		i->sr.ntp,
		(uint64_t)i->sr.rtp << 32 | i->sr.clock_hz,
		(uint64_t)i->sr.era << 32 | i->sr.valid,
		(uint64_t)i->clock.at,
		(uint64_t)i->clock.rtp << 32 | i->clock.clock_hz,
		i->clock.valid,
	};

	seqlock_write(&l->info_lock, l->info, word, LAYER_INFO_WORDS);
}

void layer_info(const struct layer *l, struct layer_info *i)
{
	uint64_t word[LAYER_INFO_WORDS];

	seqlock_read(&l->info_lock, l->info, word, LAYER_INFO_WORDS);
	*i = (struct layer_info){.bps = (uint32_t)(word[0] >> 32),
				 .is_active = word[0] & 4,
				 .has_key = word[0] & 2,
				 .n_tids = (uint8_t)(word[0] >> 8),
				 .sr = {.ntp = word[1],
					.rtp = (uint32_t)(word[2] >> 32),
					.clock_hz = (uint32_t)word[2],
					.era = (uint32_t)(word[3] >> 32),
					.valid = word[3] & 1},
				 .clock = {.at = (ns_t)word[4],
					   .rtp = (uint32_t)(word[5] >> 32),
					   .clock_hz = (uint32_t)word[5],
					   .valid = word[6] & 1}};
}
