// Intrusive lists: the BSD queue macros, under one roof. Use LIST_, STAILQ_ and TAILQ_ from sys/queue.h.
#pragma once

#include <sys/queue.h>

// glibc lacks the _SAFE iterators: the next element is read before the body runs.
#define LIST_EACH_SAFE(var, head, field, tmp) \
	for ((var) = LIST_FIRST(head); (var) && ((tmp) = LIST_NEXT(var, field), 1); (var) = (tmp))
#define TAILQ_EACH_SAFE(var, head, field, tmp) \
	for ((var) = TAILQ_FIRST(head); (var) && ((tmp) = TAILQ_NEXT(var, field), 1); (var) = (tmp))
