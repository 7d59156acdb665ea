// What other workers read of a source while its own writes it; meant for ThreadSanitizer too (make tsan T=source).
#include "dataplane/media/source.h"

#include <pthread.h>
#include <string.h>

#include "tests/unit/check.h"

#define ROUNDS 20000

static _Atomic bool stop;

static void *write_map(void *src)
{
	for (int64_t i = 1; i <= ROUNDS; i++) {
		struct clock_map map = {.at = i, .rtp = (uint32_t)i * 3, .clock_hz = 48000, .valid = true};
		source_map_set(src, &map);
	}
	atomic_store(&stop, true);
	return NULL;
}

static void clock_map_is_whole(void)
{
	static struct source src;
	pthread_t writer;
	struct clock_map map;
	unsigned n_torn = 0, n_back = 0;
	ns_t last = 0;

	memset(&src, 0, sizeof(src));
	stop = false;
	CHECK(!source_map_get(&src, &map));
	pthread_create(&writer, NULL, write_map, &src);
	while (!stop) {
		if (!source_map_get(&src, &map))
			continue;
		n_torn += map.rtp != (uint32_t)map.at * 3 || map.clock_hz != 48000;
		n_back += map.at < last;
		last = map.at;
	}
	pthread_join(writer, NULL);
	CHECK_EQ(n_torn, 0);
	CHECK_EQ(n_back, 0);
}

CU_TestInfo source_tests[] = {
	{"a clock map is never read half written", clock_map_is_whole},
	CU_TEST_INFO_NULL,
};
