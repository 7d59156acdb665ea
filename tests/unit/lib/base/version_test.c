#include "lib/base/version.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/check.h"

static void test_full(void)
{
	char want[256];

	snprintf(want, sizeof(want), "%s (%s)", version_release, version_commit);
	CHECK(strcmp(version_full, want) == 0);
}

static void test_release_is_three_numbers(void)
{
	unsigned major, minor, patch;
	int end = -1;

	CHECK_EQ(sscanf(version_release, "%u.%u.%u%n", &major, &minor, &patch, &end), 3);
	CHECK_EQ(end, (int)strlen(version_release));
	CHECK(strlen(version_commit) > 0);
}

CU_TestInfo version_tests[] = {
	{"the version names release and commit", test_full},
	{"a release is three numbers", test_release_is_three_numbers},
	CU_TEST_INFO_NULL,
};
