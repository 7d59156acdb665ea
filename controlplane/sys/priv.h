// What the process may still do once it serves, and what it tells systemd.
#pragma once

// No new privileges, then a seccomp allow-list for all threads: anything else ends with EPERM and is logged
// by the kernel. Call after everything is open and connected modules are loaded. 0, or -errno (the caller
// warns and goes on).
[[nodiscard]] int priv_confine(void);

// sd_notify(3) without its library: "READY=1\nSTATUS=...". Nothing when not started by systemd.
void priv_notify(const char *state);

// As many descriptors as the hard limit allows.
void priv_raise_files(void);
