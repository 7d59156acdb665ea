#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/ipc/statseg.h"

static void test_reader_sees_what_writers_count(void)
{
	struct statseg *w = statseg_create(3, 77), *r;

	CHECK_OR_RETURN(w != NULL);
	r = statseg_open(statseg_fd(w));
	CHECK_OR_RETURN(r != NULL);
	statseg_add(statseg_block(w, 0), DROP_REPLAY, 5);
	statseg_add(statseg_block(w, 2), DROP_REPLAY, 1);
	statseg_set(statseg_block(w, 1), GAUGE_SESSIONS, 9);
	CHECK_EQ(statseg_read(r, 0, DROP_REPLAY), 5);
	CHECK_EQ(statseg_read(r, 1, DROP_REPLAY), 0);
	CHECK_EQ(statseg_sum(r, DROP_REPLAY), 6);
	CHECK_EQ(statseg_sum(r, GAUGE_SESSIONS), 9);
	CHECK_EQ(statseg_read(r, 3, DROP_REPLAY), 0);
	CHECK_EQ(statseg_read(r, 0, N_COUNTERS), 0);
	CHECK_EQ((uintptr_t)statseg_block(w, 1) % 64, 0);
	statseg_close(r);
	statseg_close(w);
	statseg_close(NULL);
}

static void test_receiver_of_the_descriptor_cannot_write(void)
{
	struct statseg *w = statseg_create(1, 1);
	char byte = 1;
	void *p;

	CHECK_OR_RETURN(w != NULL);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, statseg_fd(w), 0);
	CHECK(p == MAP_FAILED);
	CHECK_EQ(pwrite(statseg_fd(w), &byte, 1, 0), -1);
	CHECK_EQ(ftruncate(statseg_fd(w), 0), -1);
	CHECK_EQ(ftruncate(statseg_fd(w), 1 << 20), -1);
	statseg_close(w);
}

static int sealed_memfd(const void *bytes, size_t len, int seals)
{
	int fd = memfd_create("t", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	if (write(fd, bytes, len) != (ssize_t)len || fcntl(fd, F_ADD_SEALS, seals) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_error(int fd)
{
	struct statseg *s = statseg_open(fd);
	int err = s ? 0 : errno;

	statseg_close(s);
	close(fd);
	return err;
}

static void test_other_files_are_refused(void)
{
	int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	struct statseg *w = statseg_create(2, 1);
	static uint8_t copy[1 << 16];
	ssize_t len;

	CHECK_OR_RETURN(w != NULL);
	len = pread(statseg_fd(w), copy, sizeof(copy), 0);
	CHECK_OR_RETURN(len > 64);
	CHECK_EQ(open_error(sealed_memfd(copy, (size_t)len, all)), 0);
	CHECK_EQ(open_error(sealed_memfd(copy, (size_t)len, F_SEAL_GROW)), EBADMSG);
	CHECK_EQ(open_error(sealed_memfd(copy, (size_t)len - 8, all)), EBADMSG);
	CHECK_EQ(open_error(sealed_memfd(copy, 10, all)), EBADMSG);
	CHECK_EQ(open_error(open("/dev/null", O_RDONLY)), EBADMSG);
	copy[8]++; // version
	CHECK_EQ(open_error(sealed_memfd(copy, (size_t)len, all)), EPROTO);
	copy[8]--;
	copy[24]++; // hash of the names: another build numbers its counters differently
	CHECK_EQ(open_error(sealed_memfd(copy, (size_t)len, all)), EPROTO);
	copy[24]--;
	copy[13] = 1; // 258 blocks
	CHECK_EQ(open_error(sealed_memfd(copy, (size_t)len, all)), EBADMSG);
	statseg_close(w);
}

static void test_every_counter_has_a_row(void)
{
	CHECK(counter_info(CTR_NONE) == NULL);
	CHECK(counter_info(N_COUNTERS) == NULL);
	CHECK(N_DROPS <= 256); // a verdict is one byte
	for (unsigned i = 1; i < N_COUNTERS; i++) {
		const struct counter_info *info = counter_info(i);

		CHECK_OR_RETURN(info != NULL);
		CHECK(info->name[0] && info->unit[0] && info->help[0]);
		CHECK_EQ(info->kind, i < N_DROPS ? STAT_DROP : i < GAUGE_FIRST ? STAT_COUNTER : STAT_GAUGE);
		for (unsigned j = 1; j < i; j++)
			CHECK(counter_info(j)->kind != info->kind ||
			      strcmp(counter_info(j)->name, info->name) != 0);
	}
}

#define N_ADDS 100000u

static void *add_many(void *block)
{
	for (unsigned i = 0; i < N_ADDS; i++)
		statseg_add(block, CTR_RX_PACKETS, 2);
	return NULL;
}

static void test_threads_count_without_loss(void)
{
	struct statseg *w = statseg_create(2, 1);
	uint64_t before = 0, now;
	pthread_t a, b;

	CHECK_OR_RETURN(w != NULL);
	CHECK_EQ(pthread_create(&a, NULL, add_many, statseg_block(w, 0)), 0);
	CHECK_EQ(pthread_create(&b, NULL, add_many, statseg_block(w, 1)), 0);
	do { // meanwhile a reader sees it grow, by whole steps
		now = statseg_sum(w, CTR_RX_PACKETS);
		CHECK_OR_RETURN(now >= before && now % 2 == 0);
		before = now;
	} while (now < 4 * N_ADDS);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	CHECK_EQ(statseg_sum(w, CTR_RX_PACKETS), 4 * N_ADDS);
	statseg_close(w);
}

CU_TestInfo statseg_tests[] = {
	{"a reader sees what each writer counts", test_reader_sees_what_writers_count},
	{"who holds the descriptor cannot write, map writable or truncate",
	 test_receiver_of_the_descriptor_cannot_write},
	{"other files, versions and sizes are refused", test_other_files_are_refused},
	{"every counter has a name of its own, a unit and a help text", test_every_counter_has_a_row},
	{"threads count without loss while one reads", test_threads_count_without_loss},
	CU_TEST_INFO_NULL,
};
