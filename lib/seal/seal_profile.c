// What the profiles are made of.
#include "lib/base/err.h"
#include "lib/seal/seal_impl.h"

static const struct profile_info {
	const char *name;
	uint8_t key_len, salt_len, tag_len;
} profiles[] = {
	[SEAL_AES128_CM_SHA1_80] = {"AES128_CM_SHA1_80", 16, 14, SEAL_CM_TAG},
	[SEAL_AEAD_AES_128_GCM] = {"AEAD_AES_128_GCM", 16, 12, SEAL_GCM_TAG},
	[SEAL_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", 32, 12, SEAL_GCM_TAG},
};

static const struct profile_info *profile_info(enum seal_profile profile)
{
	static const struct profile_info none = {"none", 0, 0, 0};

	if ((unsigned)profile >= ARRAY_LEN(profiles) || !profiles[profile].name)
		return &none;
	return &profiles[profile];
}

size_t seal_key_len(enum seal_profile profile)
{
	return profile_info(profile)->key_len;
}

size_t seal_salt_len(enum seal_profile profile)
{
	return profile_info(profile)->salt_len;
}

size_t seal_rtp_tag_len(enum seal_profile profile)
{
	return profile_info(profile)->tag_len;
}

size_t seal_rtcp_growth(enum seal_profile profile)
{
	size_t tag_len = profile_info(profile)->tag_len;

	return tag_len ? tag_len + SEAL_INDEX_WORD : 0;
}

const char *seal_profile_name(enum seal_profile profile)
{
	return profile_info(profile)->name;
}
