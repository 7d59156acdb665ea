#include "dataplane/media/source.h"

#include <string.h>

void source_map_set(struct source *s, const struct clock_map *map)
{
	const uint64_t word[SOURCE_MAP_WORDS] = {(uint64_t)map->at,
						 map->valid ? (uint64_t)map->rtp << 32 | map->clock_hz : 0};

	seqlock_write(&s->map_lock, s->map, word, SOURCE_MAP_WORDS);
}

bool source_map_get(const struct source *s, struct clock_map *map)
{
	uint64_t word[SOURCE_MAP_WORDS];

	seqlock_read(&s->map_lock, s->map, word, SOURCE_MAP_WORDS);
	*map = (struct clock_map){.at = (ns_t)word[0],
				  .rtp = (uint32_t)(word[1] >> 32),
				  .clock_hz = (uint32_t)word[1],
				  .valid = word[1] != 0};
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
