#include "lib/rtc/send/rewrite.h"

#include <assert.h>
#include <stddef.h>

#include "lib/rtc/wire/rtp.h"

// --- source half --------------------------------------------------------------------------------
// rank(index) = index - (suppressed indices below it). The last few suppressed stretches ("holes") are
// remembered with the count before them, so that a late packet from before one still finds its place.

static bool late_rank(const struct seqrank *s, uint64_t index, uint64_t *rank)
{
	uint64_t n = s->n_skipped;

	if (index < s->floor)
		return false;
	for (unsigned k = 0; k < s->n_holes; k++) { // newest first
		unsigned i = (s->newest + SEQRANK_HOLES - k) % SEQRANK_HOLES;
		if (index >= s->hole[i].end)
			break;
		if (index >= s->hole[i].first)
			return false;
		n = s->hole[i].n_before;
	}
	*rank = index - n;
	return true;
}

bool seqrank_take(struct seqrank *s, uint64_t index, uint64_t *rank, bool *resumed)
{
	*resumed = false;
	if (!s->started) {
		s->started = true;
		s->top = index;
		s->floor = index;
		*rank = index;
		return true;
	}
	if (index <= s->top)
		return late_rank(s, index, rank);
	*resumed = s->in_hole;
	s->in_hole = false;
	s->top = index;
	*rank = index - s->n_skipped;
	return true;
}

void seqrank_skip(struct seqrank *s, uint64_t index)
{
	if (!s->started) {
		s->started = true;
		s->floor = index;
		s->top = index - 1; // wraps at 0, and back below
	}
	if (s->top != index - 1 && index <= s->top)
		return; // late: its place stays reserved, or was never ranked
	if (!s->in_hole) {
		if (s->n_holes == SEQRANK_HOLES)
			s->floor = s->hole[(s->newest + 1) % SEQRANK_HOLES].end;
		else
			s->n_holes++;
		s->newest = (uint8_t)((s->newest + 1) % SEQRANK_HOLES);
		s->hole[s->newest].first = index;
		s->hole[s->newest].n_before = s->n_skipped;
		s->in_hole = true;
	}
	s->hole[s->newest].end = index + 1;
	s->n_skipped = s->hole[s->newest].n_before + (index + 1 - s->hole[s->newest].first);
	s->top = index;
}

// --- receiver half ------------------------------------------------------------------------------

void rewrite_init(struct rewrite *r, uint16_t start_seq, uint32_t clock_hz, uint32_t frame_ticks)
{
	assert(clock_hz > 0);
	*r = (struct rewrite){.next_out = start_seq, .clock_hz = clock_hz, .frame_ticks = frame_ticks};
}

// k-th epoch back from the newest; its range of output indices is [first_out, *end_out).
static const struct rewrite_epoch *epoch_back(const struct rewrite *r, unsigned k, uint64_t *end_out)
{
	const struct rewrite_epoch *e = &r->epoch[(r->newest + REWRITE_EPOCHS - k) % REWRITE_EPOCHS];
	unsigned next = (r->newest + REWRITE_EPOCHS - k + 1) % REWRITE_EPOCHS;

	*end_out = k == 0 ? r->next_out : r->epoch[next].first_out;
	return e;
}

// Ticks that passed since the highest packet was sent.
static uint32_t elapsed_ticks(const struct rewrite *r, ns_t now)
{
	int64_t ns = now > r->last_sent ? now - r->last_sent : 0;

	return (uint32_t)(ns / NS_PER_S * r->clock_hz + ns % NS_PER_S * r->clock_hz / NS_PER_S);
}

// The offset that makes in->ts follow the last output timestamp by the time that passed, at least one frame
// and rounded to whole ones.
static uint32_t offset_elapsed(const struct rewrite *r, const struct rewrite_in *in)
{
	uint32_t frame = r->frame_ticks ? r->frame_ticks : 1;
	uint32_t n = (elapsed_ticks(r, in->now) + frame / 2) / frame;

	return r->last_ts + (n ? n : 1) * frame - in->ts;
}

// After a pause the publisher's timestamps should have advanced with real time. When they are more than a
// second off (a new source behind the same SSRC) the offset is taken anew.
static uint32_t offset_checked(const struct rewrite *r, const struct rewrite_in *in, uint32_t offset)
{
	int32_t d = seq32_diff(in->ts + offset, r->last_ts);
	int64_t off_by = seq32_diff((uint32_t)d, elapsed_ticks(r, in->now));

	if (off_by > (int64_t)r->clock_hz || off_by < -(int64_t)r->clock_hz || d < 0)
		return offset_elapsed(r, in);
	return offset;
}

static void epoch_begin(struct rewrite *r, const struct rewrite_in *in, uint32_t ts_offset, unsigned n_gap)
{
	const struct rewrite_epoch last = r->epoch[r->newest]; // zeroed before the first

	r->newest = (uint8_t)((r->newest + 1) % REWRITE_EPOCHS);
	if (r->n_epochs < REWRITE_EPOCHS)
		r->n_epochs++;
	r->next_out += n_gap;
	r->epoch[r->newest] = (struct rewrite_epoch){.first_out = r->next_out,
						     .first_rank = in->rank,
						     .source = in->source,
						     .ts_offset = ts_offset,
						     .pid_offset = last.pid_offset,
						     .tl0_offset = last.tl0_offset};
	r->paused = false;
}

void rewrite_switch(struct rewrite *r, const struct rewrite_in *in, enum rewrite_ts how, uint32_t ts_arg,
		    unsigned n_gap)
{
	uint32_t offset = ts_arg;

	assert(in->source != REWRITE_NO_SOURCE);
	if (r->n_epochs > 0 && how == REWRITE_TS_KEEP)
		offset = offset_checked(r, in, r->epoch[r->newest].ts_offset);
	else if (r->n_epochs > 0 && how == REWRITE_TS_ELAPSED)
		offset = offset_elapsed(r, in);
	epoch_begin(r, in, offset, r->n_epochs > 0 ? n_gap : 0);
}

void rewrite_vp8(struct rewrite *r, uint16_t pid_offset, uint8_t tl0_offset)
{
	assert(r->n_epochs > 0);
	r->epoch[r->newest].pid_offset = pid_offset;
	r->epoch[r->newest].tl0_offset = tl0_offset;
}

void rewrite_pause(struct rewrite *r)
{
	r->paused = true;
}

uint64_t rewrite_pad(struct rewrite *r)
{
	struct rewrite_in none = {.source = REWRITE_NO_SOURCE};

	assert(r->n_epochs > 0);
	if (!rewrite_is_padded(r))
		epoch_begin(r, &none, r->epoch[r->newest].ts_offset, 0);
	return r->next_out++;
}

// A packet behind the highest index: it may only take the number that its epoch kept for it.
static enum rewrite_verdict late_packet(struct rewrite *r, const struct rewrite_in *in,
					struct rewrite_out *out)
{
	for (unsigned k = 0; k < r->n_epochs; k++) {
		uint64_t end, index;
		const struct rewrite_epoch *e = epoch_back(r, k, &end);

		if (e->source != in->source || in->rank < e->first_rank)
			continue;
		index = e->first_out + (in->rank - e->first_rank);
		if (index >= end || index + REWRITE_BACK < r->next_out)
			return REWRITE_LATE;
		*out = (struct rewrite_out){.index = index,
					    .ts = in->ts + e->ts_offset,
					    .pid_offset = e->pid_offset,
					    .tl0_offset = e->tl0_offset,
					    .is_late = true};
		return REWRITE_OK;
	}
	return REWRITE_LATE;
}

enum rewrite_verdict rewrite_packet(struct rewrite *r, const struct rewrite_in *in, struct rewrite_out *out)
{
	struct rewrite_epoch *e = &r->epoch[r->newest];
	uint64_t index;
	uint32_t offset;
	bool fresh;

	if (r->n_epochs == 0)
		return REWRITE_SWITCH_NEEDED;
	if (e->source != in->source) {
		// Late packets of the previous source fill their gaps; anything newer needs a decision.
		return late_packet(r, in, out) == REWRITE_OK ? REWRITE_OK : REWRITE_SWITCH_NEEDED;
	}
	if (in->rank < e->first_rank || e->first_out + (in->rank - e->first_rank) < r->next_out)
		return late_packet(r, in, out);
	index = e->first_out + (in->rank - e->first_rank);
	offset = e->ts_offset;
	if (r->paused || in->resumed)
		offset = offset_checked(r, in, offset);
	if (r->paused || offset != e->ts_offset || index - r->next_out > REWRITE_MAX_GAP) {
		epoch_begin(r, in, offset, 0);
		e = &r->epoch[r->newest];
		index = e->first_out;
	}
	assert(index >= r->next_out); // never used: two plaintexts under one index would break the cipher
	fresh = index == e->first_out;
	*out = (struct rewrite_out){.index = index,
				    .ts = in->ts + e->ts_offset,
				    .pid_offset = e->pid_offset,
				    .tl0_offset = e->tl0_offset,
				    .set_marker = fresh || in->resumed};
	r->next_out = index + 1;
	r->last_ts = out->ts;
	r->last_sent = in->now;
	return REWRITE_OK;
}

bool rewrite_ts_offset(const struct rewrite *r, uint32_t *ts_offset)
{
	if (r->n_epochs == 0)
		return false;
	*ts_offset = r->epoch[r->newest].ts_offset;
	return true;
}

const struct rewrite_epoch *rewrite_epoch_of(const struct rewrite *r, uint64_t index)
{
	for (unsigned k = 0; k < r->n_epochs; k++) {
		uint64_t end; // cannot be passed: the newer epochs were looked at first
		const struct rewrite_epoch *e = epoch_back(r, k, &end);

		if (index >= e->first_out)
			return e;
	}
	return NULL;
}

bool rewrite_origin(const struct rewrite *r, uint16_t seq, uint64_t *index, uint32_t *source, uint64_t *rank)
{
	const struct rewrite_epoch *e;
	uint64_t i;

	if (r->n_epochs == 0 || !seq64_extend(r->next_out - 1, seq, &i) || i >= r->next_out ||
	    i + REWRITE_BACK < r->next_out)
		return false;
	e = rewrite_epoch_of(r, i);
	if (!e)
		return false;
	*index = i;
	*source = e->source;
	*rank = e->first_rank + (i - e->first_out);
	return true;
}
