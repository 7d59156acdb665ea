#include "lib/peer/keys.h"

#include "lib/base/err.h"
#include "tests/unit/check.h"

// Splits by role; the bytes are RFC 5764 section 4.2's order.
static void splits_by_role(void)
{
	uint8_t material[KEYS_MAX_EXPORT];
	struct keys k;

	for (size_t i = 0; i < sizeof(material); i++)
		material[i] = (uint8_t)i;
	CHECK_EQ(keys_export_len(KEYS_CM_SHA1_80), 60);
	CHECK_EQ(keys_split(&k, KEYS_CM_SHA1_80, true, material, 60), 0);
	CHECK_EQ(k.rx_key[0], 0);
	CHECK_EQ(k.tx_key[0], 16);
	CHECK_EQ(k.rx_salt[0], 32);
	CHECK_EQ(k.tx_salt[0], 46);
	CHECK_EQ(keys_split(&k, KEYS_GCM_256, false, material, 88), 0);
	CHECK_EQ(k.tx_key[0], 0);
	CHECK_EQ(k.rx_key[31], 63);
	CHECK_EQ(k.tx_salt[0], 64);
	CHECK_EQ(k.rx_salt[0], 76);
	CHECK_EQ(k.rx_salt[12], 0);
	CHECK_EQ(keys_split(&k, 0x0002, false, material, 60), -ENOTSUP);
	CHECK_EQ(keys_split(&k, KEYS_GCM_128, false, material, 60), -EBADMSG);
	keys_wipe(&k);
	CHECK_EQ(k.rx_key[31] | k.profile, 0);
}

CU_TestInfo keys_tests[] = {
	{"exported keys are split by role", splits_by_role},
	CU_TEST_INFO_NULL,
};
