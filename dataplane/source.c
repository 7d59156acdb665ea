#include "dataplane/source.h"

#include <string.h>

void source_map_set(struct source *s, const struct clock_map *map)
{
	uint32_t seq = atomic_load_explicit(&s->map_seq, memory_order_relaxed);

	atomic_store_explicit(&s->map_seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); // odd before the values; pairs with source_map_get
	atomic_store_explicit(&s->map_at, map->at, memory_order_relaxed);
	atomic_store_explicit(&s->map_rtp_hz, map->valid ? (uint64_t)map->rtp << 32 | map->clock_hz : 0,
			      memory_order_relaxed);
	atomic_store_explicit(&s->map_seq, seq + 2, memory_order_release); // values before even
}

bool source_map_get(const struct source *s, struct clock_map *map)
{
	uint32_t before, after;
	uint64_t rtp_hz;

	do {
		before = atomic_load_explicit(&s->map_seq, memory_order_acquire);
		map->at = atomic_load_explicit(&s->map_at, memory_order_relaxed);
		rtp_hz = atomic_load_explicit(&s->map_rtp_hz, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire); // values before the second look
		after = atomic_load_explicit(&s->map_seq, memory_order_relaxed);
	} while (before != after || (before & 1));
	map->rtp = (uint32_t)(rtp_hz >> 32);
	map->clock_hz = (uint32_t)rtp_hz;
	map->valid = rtp_hz != 0;
	return map->valid;
}

uint8_t source_codec(const struct source *s, uint8_t pt)
{
	for (unsigned i = 0; i < IPC_TRACK_CODECS; i++)
		if (s->codec[i].codec != CODEC_NONE && s->codec[i].pt == pt)
			return s->codec[i].codec;
	return CODEC_NONE;
}

void source_declare(struct source *s, const struct ipc_track_add *add)
{
	s->sid = add->sid;
	s->id = add->track;
	s->kind = add->kind;
	s->mid_len = (uint8_t)strnlen(add->mid, sizeof(add->mid));
	memcpy(s->mid, add->mid, s->mid_len);
	s->clock_hz = add->clock_hz;
	memcpy(s->ssrc, add->ssrc, sizeof(s->ssrc));
	for (unsigned i = 0; i < IPC_TRACK_CODECS; i++) {
		s->codec[i].pt = add->codec[i].pt;
		s->codec[i].codec = add->codec[i].codec;
	}
}
