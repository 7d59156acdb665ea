#include "lib/rtc/wire/deframe.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base/buf.h"

void deframe_init(struct deframe *d)
{
	d->have = 0;
	d->n_empty = 0;
}

// Move input into buf until it holds `want` bytes. False: there is not enough.
static bool fill(struct deframe *d, uint8_t **p, size_t *n, size_t want)
{
	size_t take = want - d->have;

	assert(want >= d->have && want <= sizeof(d->buf));
	if (take > *n)
		take = *n;
	memcpy(d->buf + d->have, *p, take);
	d->have = (uint16_t)(d->have + take);
	*p += take;
	*n -= take;
	return d->have == want;
}

// Is a frame of this length to be taken? 1: yes, 0: it is empty, else why the connection ends.
static int judge(struct deframe *d, size_t len)
{
	if (len > DEFRAME_MAX)
		return -EMSGSIZE;
	if (len > 0) {
		d->n_empty = 0;
		return 1;
	}
	return ++d->n_empty >= DEFRAME_MAX_EMPTY ? -EPROTO : 0;
}

// A frame that began in an earlier read. 0: not complete, or it was empty.
static int finish(struct deframe *d, uint8_t **p, size_t *n, uint8_t **frame)
{
	size_t len;
	int rc;

	if (d->have < DEFRAME_HDR && !fill(d, p, n, DEFRAME_HDR))
		return 0;
	len = be16_get(d->buf);
	if (d->have == DEFRAME_HDR && (rc = judge(d, len)) <= 0) {
		d->have = 0;
		return rc;
	}
	if (!fill(d, p, n, DEFRAME_HDR + len))
		return 0;
	d->have = 0;
	*frame = d->buf + DEFRAME_HDR;
	return (int)len;
}

int deframe_next(struct deframe *d, uint8_t **p, size_t *n, uint8_t **frame)
{
	while (*n > 0) {
		size_t len;
		int rc;

		if (d->have > 0 || *n < DEFRAME_HDR || *n - DEFRAME_HDR < be16_get(*p)) {
			if ((rc = finish(d, p, n, frame)) != 0)
				return rc;
			continue;
		}
		len = be16_get(*p); // whole in the input: no copy
		*frame = *p + DEFRAME_HDR;
		*p += DEFRAME_HDR + len;
		*n -= DEFRAME_HDR + len;
		if ((rc = judge(d, len)) != 0)
			return rc < 0 ? rc : (int)len;
	}
	return 0;
}
