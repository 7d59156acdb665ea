#include "dataplane/core/cacheline.h"

#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

void *cacheline_zalloc(size_t size)
{
	void *p = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));

	if (p != NULL)
		memset(p, 0, size);
	return p;
}
