#include "dataplane/port/tcp/tcp_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/port.h"
#include "lib/base/buf.h"
#include "lib/rtc/wire/deframe.h"

// Fullness is counted in these.
#define PERCENT 100

struct tcp_frame {
	TAILQ_ENTRY(tcp_frame) next;
	ns_t at;
	uint16_t len; // of data
	uint8_t class;
	uint8_t data[]; // length field and datagram
};

void tcp_queue_init(struct tcp_queue *q)
{
	*q = (struct tcp_queue){};
	TAILQ_INIT(&q->frames);
}

void tcp_queue_clear(struct tcp_queue *q)
{
	struct tcp_frame *f;

	while ((f = TAILQ_FIRST(&q->frames)) != NULL) {
		TAILQ_REMOVE(&q->frames, f, next);
		free(f);
	}
	q->bytes = 0;
	q->written = 0;
	q->awaits_key = false;
}

static void count_drop(struct tcp_queue *q, unsigned class)
{
	if (class == CLASS_CONTROL)
		q->n_other++;
	else if (class == CLASS_AUDIO)
		q->n_audio++;
	else
		q->n_video++;
}

static unsigned fullness(const struct tcp_queue *q, unsigned more, ns_t now)
{
	const struct tcp_frame *first = TAILQ_FIRST(&q->frames);
	uint64_t by_bytes = (uint64_t)(q->bytes + more) * PERCENT / TCP_QUEUE_BYTES;
	uint64_t by_age = first && now > first->at ? (uint64_t)(now - first->at) * PERCENT / TCP_QUEUE_NS : 0;

	return (unsigned)(by_bytes > by_age ? by_bytes : by_age);
}

// Drop frames of one class from the oldest on, until no more than `limit` percent is full; those that came after
// `until` stay.
static void drop_class(struct tcp_queue *q, unsigned class, unsigned limit, unsigned more, ns_t until,
		       ns_t now)
{
	struct tcp_frame *f = TAILQ_FIRST(&q->frames);

	if (f != NULL && q->written > 0) // started: it goes out whole
		f = TAILQ_NEXT(f, next);
	while (f != NULL && f->at <= until && fullness(q, more, now) > limit) {
		struct tcp_frame *next = TAILQ_NEXT(f, next);

		if (f->class == class) {
			TAILQ_REMOVE(&q->frames, f, next);
			q->bytes -= f->len;
			count_drop(q, class);
			free(f);
		}
		f = next;
	}
}

static void make_room(struct tcp_queue *q, unsigned more, ns_t now)
{
	if (fullness(q, more, now) <= 50)
		return;
	drop_class(q, CLASS_VIDEO, 50, more, now, now);
	if (fullness(q, more, now) > 75) {
		drop_class(q, CLASS_KEY, 75, more, now, now);
		q->awaits_key = true;
	}
	if (fullness(q, more, now) > 95)
		drop_class(q, CLASS_AUDIO, 95, more, now - TCP_OLD_AUDIO_NS, now);
	if ((uint64_t)q->bytes + more > TCP_QUEUE_BYTES) // young voice is all there is
		drop_class(q, CLASS_AUDIO, PERCENT, more, now, now);
}

// May a frame of this class come in, as full as it is?
static bool admits(struct tcp_queue *q, unsigned class, unsigned more, ns_t now)
{
	unsigned full = fullness(q, more, now);

	if (q->bytes + more > TCP_QUEUE_BYTES)
		return false;
	if (class == CLASS_KEY && full <= 75)
		q->awaits_key = false;
	if (class == CLASS_VIDEO)
		return full <= 50 && !q->awaits_key;
	return class != CLASS_KEY || full <= 75;
}

void tcp_queue_add(struct tcp_queue *q, unsigned class, const void *data, uint16_t len, ns_t now)
{
	uint16_t size = (uint16_t)(DEFRAME_HDR + len);
	struct tcp_frame *f;

	assert(class <= CLASS_VIDEO && len <= DEFRAME_MAX);
	make_room(q, size, now);
	if (!admits(q, class, size, now) || (f = malloc(sizeof(*f) + size)) == NULL) {
		count_drop(q, class);
		return;
	}
	f->at = now;
	f->len = size;
	f->class = (uint8_t) class;
	be16_put(f->data, len);
	memcpy(f->data + DEFRAME_HDR, data, len);
	TAILQ_INSERT_TAIL(&q->frames, f, next);
	q->bytes += size;
}

unsigned tcp_queue_peek(const struct tcp_queue *q, struct iovec *iov, unsigned max)
{
	const struct tcp_frame *f;
	size_t skip = q->written;
	unsigned n = 0;

	TAILQ_FOREACH (f, &q->frames, next) {
		if (n == max)
			break;
		iov[n++] = (struct iovec){(void *)(uintptr_t)(f->data + skip), f->len - skip};
		skip = 0;
	}
	return n;
}

void tcp_queue_written(struct tcp_queue *q, size_t n)
{
	struct tcp_frame *f;

	assert(q->written + n <= q->bytes);
	while (n > 0 && (f = TAILQ_FIRST(&q->frames)) != NULL) {
		size_t left = (size_t)f->len - q->written;

		if (n < left) {
			q->written = (uint16_t)(q->written + n);
			return;
		}
		n -= left;
		q->written = 0;
		q->bytes -= f->len;
		TAILQ_REMOVE(&q->frames, f, next);
		free(f);
	}
}
