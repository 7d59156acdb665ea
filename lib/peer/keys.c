#include "lib/peer/keys.h"

#include "lib/base/err.h"

static bool lengths(uint16_t profile, size_t *key, size_t *salt)
{
	switch (profile) {
	case KEYS_GCM_128:
		*key = 16;
		*salt = 12;
		return true;
	case KEYS_GCM_256:
		*key = 32;
		*salt = 12;
		return true;
	case KEYS_CM_SHA1_80:
		*key = 16;
		*salt = 14;
		return true;
	default:
		return false;
	}
}

size_t keys_export_len(uint16_t profile)
{
	size_t key, salt;

	return lengths(profile, &key, &salt) ? 2 * (key + salt) : 0;
}

int keys_split(struct keys *k, uint16_t profile, bool is_server, const uint8_t *material, size_t len)
{
	size_t key, salt;

	if (!lengths(profile, &key, &salt))
		return -ENOTSUP;
	if (len != 2 * (key + salt))
		return -EBADMSG;
	const uint8_t *client_key = material, *server_key = material + key;
	const uint8_t *client_salt = material + 2 * key, *server_salt = client_salt + salt;

	*k = (struct keys){.profile = profile, .key_len = (uint8_t)key, .salt_len = (uint8_t)salt};
	memcpy(k->rx_key, is_server ? client_key : server_key, key);
	memcpy(k->tx_key, is_server ? server_key : client_key, key);
	memcpy(k->rx_salt, is_server ? client_salt : server_salt, salt);
	memcpy(k->tx_salt, is_server ? server_salt : client_salt, salt);
	return 0;
}

void keys_wipe(struct keys *k)
{
	explicit_bzero(k, sizeof(*k));
}
