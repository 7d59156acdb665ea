// Device strings of dataplane.ports: DPDK's, with options of ours among theirs.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct port_env;

#define SPEC_SIZE 256

// Is the device of this driver, as "net_af_xdp"?
bool spec_names(const char *spec, const char *driver);

// Value of "key=" in a device string, "" when absent.
void spec_get(const char *spec, const char *key, char *out, size_t size);

// Value of an option of ours that is on or off, and on when it is absent. 0, -EINVAL with env->error filled.
int spec_switch(const struct port_env *, const char *spec, const char *key, bool *is_on);

// Copy spec without our own options.
void spec_copy(const char *spec, char *out, size_t size);
