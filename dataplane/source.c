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

static int find_pt(const struct source *s, uint8_t pt)
{
	for (int i = 0; i < IPC_TRACK_CODECS; i++)
		if (s->decl.codec[i].codec != CODEC_NONE && s->decl.codec[i].pt == pt)
			return i;
	return -1;
}

uint8_t source_codec(const struct source *s, uint8_t pt)
{
	int i = find_pt(s, pt);

	return i < 0 ? CODEC_NONE : s->decl.codec[i].codec;
}

uint8_t source_fb(const struct source *s, uint8_t pt)
{
	int i = find_pt(s, pt);

	return i < 0 ? 0 : s->decl.codec[i].fb;
}

uint8_t source_apt(const struct source *s, uint8_t pt)
{
	int i = find_pt(s, pt);

	return i < 0 ? 0 : s->decl.codec[i].apt;
}

bool source_declare(struct source *s, const struct ipc_track_add *add)
{
	struct ipc_track_add decl = *add;

	decl.hdr = (struct ipc_hdr){};
	decl.enabled = 0;
	if (memcmp(&decl, &s->decl, sizeof(decl)) == 0)
		return false;
	s->decl = decl;
	s->sid = add->sid;
	s->id = add->track;
	s->kind = add->kind;
	s->mid_len = (uint8_t)strnlen(add->mid, sizeof(add->mid));
	s->clock_hz = add->clock_hz;
	return true;
}
